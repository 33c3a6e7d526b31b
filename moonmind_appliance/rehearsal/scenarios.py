"""The scenarios of a rehearsal, and the expected result of each."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from moonmind_appliance.models import FailureCode, RunStatus
from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from moonmind_appliance.rehearsal.openai import NORMAL, ResponseKind, ScriptedResponse, StandInOpenAI, feature_files

_TOKEN_LIFE, _TOKEN_GRACE = 2.0, 3600.0


class Expected(NamedTuple):
    """The expected result of each run: its status, its failure code, and how many pull requests it opens."""

    status: RunStatus
    failure: FailureCode | None = None
    pull_requests: int = 1


class Scenario(NamedTuple):
    """A scenario: its summary, the faults that it injects, and the expected result of each of its runs.

    The model responds with `openai` from `phase` on, for `times` turns (None: all). Each of GitHub's faults occurs
    `github_times` times (None: always). A used-up limit resets after `resets_in` seconds. `signs_in_again`: sign the
    shard in when a run waits for a login. `prepare` writes files for a specification into a folder; they are added to
    the repository. `github_app`: the appliance has a GitHub App instead of a token.
    """

    summary: str
    expected: Expected
    openai: ResponseKind = ResponseKind.NORMAL
    phase: str | None = None
    times: int | None = None
    resets_in: int = 3600
    signs_in_again: bool = False
    shards: int = 1
    runs: int = 1
    github: tuple[Fault, ...] = ()
    github_times: int | None = None
    prepare: Callable[[Path, str], None] | None = None
    github_app: bool = False


def write_expected_files(folder: Path, text: str) -> None:
    """Write the files that the stand-in model would write for `text` into the folder."""
    for name, content in feature_files(text).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def write_old_feature(folder: Path, _text: str) -> None:
    """Write a feature and a committed record of it, as in a repository that already uses Spec Kit."""
    for name, content in feature_files("# Opening hours\n\n- Each shop shows when it is open\n").items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (folder / ".specify").mkdir()
    record = '{"feature_directory": "specs/001-opening-hours"}\n'
    (folder / ".specify/feature.json").write_text(record, encoding="utf-8")


SCENARIOS: dict[str, Scenario] = {
    "normal": Scenario("a draft pull request", Expected(RunStatus.SUCCEEDED)),
    "no-changes": Scenario(
        "the repository already contains the specification",
        Expected(RunStatus.NO_CHANGES, pull_requests=0),
        openai=ResponseKind.NO_CHANGES,
        prepare=write_expected_files,
    ),
    "agent-fails": Scenario(
        "the model refuses during the plan phase",
        Expected(RunStatus.FAILED, FailureCode.AGENT_FAILED, 0),
        openai=ResponseKind.AGENT_FAILS,
        phase="speckit-plan",
    ),
    "template-left": Scenario(
        "the model does not fill in the template, and Codex still exits with 0",
        Expected(RunStatus.FAILED, FailureCode.TEMPLATE_LEFT, 0),
        openai=ResponseKind.TEMPLATE_LEFT,
    ),
    "only-talks": Scenario(
        "the model writes nothing, although the repository has a filled feature and a record of it",
        Expected(RunStatus.FAILED, FailureCode.PHASE_OUTPUT_MISSING, 0),
        openai=ResponseKind.ONLY_TALKS,
        prepare=write_old_feature,
    ),
    "unrecorded": Scenario(
        "the model writes a new feature without a record of it, and the repository has a record of an old one",
        Expected(RunStatus.SUCCEEDED),
        openai=ResponseKind.UNRECORDED,
        prepare=write_old_feature,
    ),
    "clarifications": Scenario(
        "open questions appear in the pull request",
        Expected(RunStatus.SUCCEEDED),
        openai=ResponseKind.CLARIFICATIONS,
    ),
    "push-refused": Scenario(
        "a branch rule on GitHub rejects the push",
        Expected(RunStatus.FAILED, FailureCode.PUSH_REJECTED, 0),
        github=(Fault.PUSH_REFUSED,),
    ),
    "pr-exists": Scenario(
        "the branch already has a pull request: it is updated",
        Expected(RunStatus.SUCCEEDED),
        github=(Fault.PR_EXISTS,),
    ),
    "draft-refused": Scenario(
        "the repository does not support drafts: a regular pull request marked [Draft]",
        Expected(RunStatus.SUCCEEDED),
        github=(Fault.DRAFT_REFUSED,),
    ),
    "github-limit": Scenario(
        "GitHub's rate limit is reached before the run starts: the run waits and resumes automatically",
        Expected(RunStatus.SUCCEEDED),
        github=(Fault.TOO_MANY_REQUESTS,),
        github_times=1,
        resets_in=2,
    ),
    "github-flaky": Scenario(
        "each address of git on GitHub fails once: the appliance repeats the call, and the run does not wait",
        Expected(RunStatus.SUCCEEDED),
        github=(Fault.GIT_REFS_ERROR, Fault.GIT_FETCH_ERROR, Fault.GIT_PUSH_ERROR),
        github_times=1,
    ),
    "github-app": Scenario(
        "a GitHub App instead of a token: the first token expires during the run; the run gets another one, and "
        "revokes it at its end",
        Expected(RunStatus.SUCCEEDED),
        github_app=True,
    ),
    "usage-limit": Scenario(
        "the account reaches its usage limit during the plan: the run waits and resumes automatically",
        Expected(RunStatus.SUCCEEDED),
        openai=ResponseKind.USAGE_LIMIT,
        phase="speckit-plan",
        times=1,
        resets_in=5,
    ),
    "dead-login": Scenario(
        "the login is revoked during the plan: the run waits for a new login and resumes automatically",
        Expected(RunStatus.SUCCEEDED),
        openai=ResponseKind.DEAD_LOGIN,
        phase="speckit-plan",
        times=1,
        signs_in_again=True,
    ),
    "three-shards": Scenario(
        "twelve runs on three accounts, one of which reaches its limit: its run continues on another",
        Expected(RunStatus.SUCCEEDED),
        openai=ResponseKind.USAGE_LIMIT,
        phase="speckit-plan",
        times=1,
        shards=3,
        runs=12,
    ),
}


def configure(scenario: Scenario, openai: StandInOpenAI, github: StandInGitHub) -> None:
    """Configure both stand-ins: script the model's responses, and inject GitHub's faults."""
    if scenario.times is not None:
        openai.respond_with(NORMAL)
    response = ScriptedResponse(scenario.openai, resets_in=scenario.resets_in)
    openai.respond_with(response, phase=scenario.phase, times=scenario.times)
    if scenario.github_app:
        # The appliance renews tokens by GitHub's `expires_at`. They work longer, so that a slow machine does not fail.
        github.set_token_life(_TOKEN_LIFE, grace=_TOKEN_GRACE)
    for fault in scenario.github:
        github.inject(fault, times=scenario.github_times, retry_after=scenario.resets_in)
