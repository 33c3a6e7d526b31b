"""The scenarios of a rehearsal, and how each must end."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from moonmind_appliance.models import FailureCode, RunStatus
from moonmind_appliance.rehearsal import github as hub
from moonmind_appliance.rehearsal import openai as model
from moonmind_appliance.rehearsal.openai import StandInOpenAI, feature_files


class Expected(NamedTuple):
    """How a scenario ends when the appliance works: the run's status, its failure code, pull requests opened by it."""

    status: RunStatus
    failure: FailureCode | None = None
    pull_requests: int = 1


class Day(NamedTuple):
    """A scenario: what it shows, its configuration, and how every run of it must end.

    `openai` applies from `phase` on, for `times` turns (None: all); a used-up limit resets after `resets_in`
    seconds. `signs_in_again`: sign the shard in when a run waits for a login.
    """

    shows: str
    expected: Expected
    openai: model.Play = model.Play.NORMAL
    phase: str | None = None
    times: int | None = None
    resets_in: int = 3600
    signs_in_again: bool = False
    shards: int = 1
    runs: int = 1
    github: hub.Scenario | None = None
    prepare: Callable[[Path, str], None] | None = None


def hold_what_would_be_written(repository: Path, text: str) -> None:
    """Write the files that the stand-in model would write for `text` into a folder in advance."""
    for name, content in feature_files(text).items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


DAYS: dict[str, Day] = {
    "normal": Day("a draft pull request", Expected(RunStatus.SUCCEEDED)),
    "no-changes": Day(
        "the repository already contains the specification",
        Expected(RunStatus.NO_CHANGES, pull_requests=0),
        openai=model.Play.NO_CHANGES,
        prepare=hold_what_would_be_written,
    ),
    "agent-fails": Day(
        "the model refuses during the plan phase",
        Expected(RunStatus.FAILED, FailureCode.AGENT_FAILED, 0),
        openai=model.Play.AGENT_FAILS,
        phase="speckit-plan",
    ),
    "template-left": Day(
        "the model does not fill in the template, and Codex still exits with 0",
        Expected(RunStatus.FAILED, FailureCode.TEMPLATE_LEFT, 0),
        openai=model.Play.TEMPLATE_LEFT,
    ),
    "clarifications": Day(
        "open questions appear in the pull request",
        Expected(RunStatus.SUCCEEDED),
        openai=model.Play.CLARIFICATIONS,
    ),
    "push-refused": Day(
        "a branch rule on GitHub rejects the push",
        Expected(RunStatus.FAILED, FailureCode.PUSH_REJECTED, 0),
        github=hub.Scenario.PUSH_REFUSED,
    ),
    "pr-exists": Day(
        "the branch already has a pull request: it is updated",
        Expected(RunStatus.SUCCEEDED),
        github=hub.Scenario.PR_EXISTS,
    ),
    "draft-refused": Day(
        "the repository does not support drafts: a regular pull request marked [Draft]",
        Expected(RunStatus.SUCCEEDED),
        github=hub.Scenario.DRAFT_REFUSED,
    ),
    "usage-limit": Day(
        "the account reaches its usage limit during the plan: the run waits and resumes automatically",
        Expected(RunStatus.SUCCEEDED),
        openai=model.Play.USAGE_LIMIT,
        phase="speckit-plan",
        times=1,
        resets_in=5,
    ),
    "dead-login": Day(
        "the login is revoked during the plan: the run waits for a new login and resumes automatically",
        Expected(RunStatus.SUCCEEDED),
        openai=model.Play.DEAD_LOGIN,
        phase="speckit-plan",
        times=1,
        signs_in_again=True,
    ),
    "three-shards": Day(
        "twelve runs on three accounts, one of which reaches its limit: its run continues on another",
        Expected(RunStatus.SUCCEEDED),
        openai=model.Play.USAGE_LIMIT,
        phase="speckit-plan",
        times=1,
        shards=3,
        runs=12,
    ),
}


def put_on(day: Day, openai: StandInOpenAI, github: hub.StandInGitHub) -> None:
    """Configure both stand-ins for the scenario."""
    if day.times is not None:
        openai.play(model.NORMAL)
    openai.play(model.Scenario(day.openai, resets_in=day.resets_in), phase=day.phase, times=day.times)
    if day.github is not None:
        github.play(day.github)
