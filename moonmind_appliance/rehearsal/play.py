"""Play a whole run without accounts: sign in, submit over HTTP, follow it, and look at what it left."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.models import FINAL_RUN_STATUSES
from moonmind_appliance.rehearsal.github.sample import SAMPLE_PROJECT
from moonmind_appliance.rehearsal.scenarios import DAYS, Day, put_on
from moonmind_appliance.rehearsal.stage import SLUG, TOKEN_NAME, RunningAppliance, Stage
from moonmind_appliance.settings import Settings

API = "/api/spec-automation"
SAMPLE_SPEC = """# Due dates for the reading list

- Goal: people can give each book a date by which they want to have read it
- Scope: the command line and the stored list
- The list shows overdue books first
- A book without a date stays where it is today
"""
_POLL_SECONDS = 0.1
_LONGEST_SECONDS = 30 * 60
_BASE_BRANCH = "main"


class RehearsalFailed(ApplianceError):
    """The rehearsal could not be played, or did not end as its scenario must."""


class RehearsalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to play. `think_seconds` is the stand-in model's pause before each answer."""

    spec: str = SAMPLE_SPEC
    repository: Path | None = None
    scenario: str = "normal"
    keep: bool = False
    think_seconds: float = 0.3


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, to be shown as it happens. `phase` and `status` are set for phases of the run."""

    text: str
    seconds: float
    phase: str | None = None
    status: str | None = None


class RehearsalReport(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended. `as_expected` is what decides; `kept` is the folder that `keep` left behind."""

    scenario: str
    as_expected: bool
    problem: str | None
    seconds: float
    run: dict[str, Any]
    pull_requests: list[dict[str, Any]]
    commit_files: list[str]
    diff_summary: str
    artifacts_folder: str | None
    kept: str | None
    refused_hosts: list[str]


def rehearse(base: Settings, options: RehearsalOptions, tell: Callable[[Step], None]) -> RehearsalReport:
    """Play it on a throw-away stage; everything is gone afterwards, unless `keep`.

    Raises:
        RehearsalFailed: unknown scenario, repository or an appliance that does not start.
        EngineError: Docker cannot be used.
    """
    day = DAYS.get(options.scenario)
    if day is None:
        known = ", ".join(DAYS)
        raise RehearsalFailed(f"There is no scenario {options.scenario!r}.", hint=f"Choose one of: {known}.")
    began = time.monotonic()

    def say(text: str, **more: str) -> None:
        tell(Step(text=text, seconds=time.monotonic() - began, **more))

    with Stage(base, think_seconds=options.think_seconds) as stage, _source(day, options) as source:
        stage.keep = options.keep
        _refuse_without_image(stage)
        stage.github.add_repository(SLUG, source)
        put_on(day, stage.openai, stage.github)
        say(f"Stand-ins for OpenAI and GitHub answer on {stage.github.server_url}.")
        with RunningAppliance(stage.settings) as running:
            say(f"The appliance answers on {running.url}.")
            prompt = stage.sign_in(running)
            say(f"Shard 0 is signed in by device code {prompt.code}.")
            token = running.appliance.tools.store.tokens.create(
                TOKEN_NAME, operator=False, expires_at=running.appliance.tools.clock() + timedelta(hours=1)
            )
            run = _play(running.url, token, options.spec, say)
            summary = _artifact(running.url, token, run, "diff_summary.md")
        return _report(stage, day, options, run=run, summary=summary, seconds=time.monotonic() - began)


def _refuse_without_image(stage: Stage) -> None:
    image = stage.settings.spec_automation_job_image
    if stage.engine.image(image) is None:
        raise RehearsalFailed(f"The Docker engine has no image {image}.", hint="Build it with ./install.sh.")


@contextmanager
def _source(day: Day, options: RehearsalOptions) -> Iterator[Path | None]:
    """The repository's content: the operator's folder, the sample, or a copy of either that the scenario prepared."""
    if options.repository is not None and not options.repository.is_dir():
        raise RehearsalFailed(f"{options.repository} is not a folder.", hint="Name a folder or a git repository.")
    if day.prepare is None:
        yield options.repository
        return
    with tempfile.TemporaryDirectory(prefix="moonmind-rehearsal-source-") as folder:
        copy = Path(folder) / "repository"
        if options.repository is not None:
            shutil.copytree(options.repository, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        else:
            _write(copy, SAMPLE_PROJECT)
        day.prepare(copy, options.spec)
        yield copy


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def _changed_files(bare: Path, branch: str) -> list[str]:
    """What the pushed branch changes against the base, as GitHub's git tells it."""
    command = ["git", "-C", str(bare), "diff", "--name-only", f"{_BASE_BRANCH}...{branch}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - git, on our own folder
    return done.stdout.split("\n")[:-1]


def _play(url: str, token: str, spec: str, say: Callable[..., None]) -> dict[str, Any]:
    """Submit over HTTP and follow the run to its end."""
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
    ) as client:
        body = {"repository": SLUG, "base_branch": _BASE_BRANCH, "specify_text": spec, "external_ref": "rehearsal"}
        answer = client.post(f"{API}/runs", json=body)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise RehearsalFailed(f"The run was not accepted: {answer.status_code} {answer.text}")
        run_id = answer.json()["run_id"]
        say(f"Submitted over HTTP: 202, run {run_id}.")
        shown: dict[str, tuple[str, int]] = {}
        limit = time.monotonic() + _LONGEST_SECONDS
        while True:
            run: dict[str, Any] = client.get(f"{API}/runs/{run_id}").raise_for_status().json()
            for phase in run["phases"]:
                state = (phase["status"], phase["attempt"])
                if shown.get(phase["phase"], ("pending", 0)) != state:
                    shown[phase["phase"]] = state
                    say(phase["phase"], phase=phase["phase"], status=phase["status"])
            if run["status"] in FINAL_RUN_STATUSES:
                say(f"The run ended: {run['status']}.")
                return run
            if time.monotonic() > limit:
                raise RehearsalFailed(f"The run did not end within {_LONGEST_SECONDS} s: {run['status']}.")
            time.sleep(_POLL_SECONDS)


def _artifact(url: str, token: str, run: dict[str, Any], name: str) -> str:
    """An artifact's text, downloaded as a caller would; "" where the run has none of the name."""
    for artifact in run["artifacts"]:
        if artifact["name"] == name:
            with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
                path = f"{API}/runs/{run['run_id']}/artifacts/{artifact['artifact_id']}"
                return client.get(f"{path}/content").raise_for_status().text
    return ""


def _report(
    stage: Stage, day: Day, options: RehearsalOptions, *, run: dict[str, Any], summary: str, seconds: float
) -> RehearsalReport:
    pulls = [pull for pull in stage.github.pull_requests(SLUG) if pull.head == run["branch_name"]]
    problem = _difference(day, run, len(pulls), stage)
    folder = stage.data_dir / "runs" / run["run_id"] / "artifacts"
    return RehearsalReport(
        scenario=options.scenario,
        as_expected=problem is None,
        problem=problem,
        seconds=round(seconds, 2),
        run=run,
        pull_requests=[
            {"number": pull.number, "title": pull.title, "draft": pull.draft, "url": pull.html_url} for pull in pulls
        ],
        commit_files=_changed_files(stage.github.git_folder(SLUG), run["branch_name"]) if pulls else [],
        diff_summary=summary,
        artifacts_folder=str(folder) if options.keep else None,
        kept=str(stage.folder) if options.keep else None,
        refused_hosts=stage.openai.refused_hosts,
    )


def _difference(day: Day, run: dict[str, Any], pulls: int, stage: Stage) -> str | None:
    """What is not as the scenario must end; None when all is."""
    expected = day.expected
    if run["status"] != expected.status:
        return f"The run ended {run['status']}, not {expected.status.value}: {run['result_summary']}"
    code = (run["failure"] or {}).get("code")
    if code != (expected.failure.value if expected.failure else None):
        return f"The run's failure code is {code}, not {expected.failure}."
    if pulls != expected.pull_requests:
        return f"GitHub has {pulls} pull request(s) of the run's branch, not {expected.pull_requests}."
    if stage.openai.faults:
        return f"The stand-in model met requests that it does not know: {stage.openai.faults[:3]}"
    return None
