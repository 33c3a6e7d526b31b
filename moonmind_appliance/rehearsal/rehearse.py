"""Runs a scenario without accounts: sign in, submit over HTTP, follow the run, and check its results."""

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
from moonmind_appliance.rehearsal.environment import SLUG, TOKEN_NAME, RunningAppliance, Stage
from moonmind_appliance.rehearsal.github.sample_project import SAMPLE_PROJECT
from moonmind_appliance.rehearsal.scenarios import DAYS, Day, put_on
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
    """The rehearsal could not run, or did not end as its scenario must."""


class RehearsalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a rehearsal. `think_seconds` is the stand-in model's pause before each answer."""

    spec: str = SAMPLE_SPEC
    repository: Path | None = None
    scenario: str = "normal"
    keep: bool = False
    think_seconds: float = 0.3


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a rehearsal, to show as it happens. `phase` and `status` are set for phases of the run."""

    text: str
    seconds: float
    phase: str | None = None
    status: str | None = None


class RehearsalReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome. `as_expected` decides the result; `kept` is the folder that `keep` left."""

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
    """Run it on a temporary stage, which is removed afterwards unless `keep`.

    Raises:
        RehearsalFailed: unknown scenario, repository or an appliance that does not start.
        EngineError: Docker cannot be used.
    """
    day = DAYS.get(options.scenario)
    if day is None:
        known = ", ".join(DAYS)
        raise RehearsalFailed(f"Unknown scenario {options.scenario!r}.", hint=f"Choose one of: {known}.")
    began = time.monotonic()

    def say(text: str, **more: str) -> None:
        tell(Step(text=text, seconds=time.monotonic() - began, **more))

    with Stage(base, think_seconds=options.think_seconds, shards=day.shards) as stage, _source(day, options) as source:
        stage.keep = options.keep
        _refuse_without_image(stage)
        stage.github.add_repository(SLUG, source)
        put_on(day, stage.openai, stage.github)
        say(f"Local stand-ins for OpenAI and GitHub listen on {stage.github.server_url}.")
        with RunningAppliance(stage.settings) as running:
            say(f"The appliance listens on {running.url}.")
            for shard in range(day.shards):
                prompt = stage.sign_in(running, shard)
                say(f"Shard {shard} is signed in by device code {prompt.code}.")
            token = running.appliance.resources.store.tokens.create(
                TOKEN_NAME, operator=False, expires_at=running.appliance.resources.clock() + timedelta(hours=1)
            )

            def sign_in_again() -> None:
                if day.signs_in_again:
                    say(f"Shard 0 is signed in again by device code {stage.sign_in(running).code}.")

            specs = [options.spec] if day.runs == 1 else _numbered(options.spec, day.runs)
            runs = _play(running.url, token, specs, say, sign_in_again)
            summary = _artifact(running.url, token, runs[0], "diff_summary.md")
        return _report(stage, day, options, runs=runs, summary=summary, seconds=time.monotonic() - began)


def _numbered(spec: str, count: int) -> list[str]:
    """That many specifications, with different first lines."""
    first, _, rest = spec.partition("\n")
    return [f"{first} {number}\n{rest}" for number in range(1, count + 1)]


def _refuse_without_image(stage: Stage) -> None:
    image = stage.settings.spec_automation_job_image
    if stage.engine.image(image) is None:
        raise RehearsalFailed(f"The Docker engine has no image {image}.", hint="Build it with ./install.sh.")


@contextmanager
def _source(day: Day, options: RehearsalOptions) -> Iterator[Path | None]:
    """The repository's content: the operator's folder, the sample, or a copy of either, changed by the scenario."""
    if options.repository is not None and not options.repository.is_dir():
        raise RehearsalFailed(f"{options.repository} is not a folder.", hint="Use a folder or a Git repository.")
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
    """The changes of the pushed branch against the base, from the stand-in's repository."""
    command = ["git", "-C", str(bare), "diff", "--name-only", f"{_BASE_BRANCH}...{branch}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - git, on the rehearsal's own folder
    return done.stdout.split("\n")[:-1]


def _play(
    url: str, token: str, specs: list[str], say: Callable[..., None], sign_in_again: Callable[[], None]
) -> list[dict[str, Any]]:
    """Submit over HTTP and follow the runs to their ends; returns them in the order of submission."""
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
    ) as client:
        ids = [_submit(client, spec) for spec in specs]
        say(f"Submitted over HTTP: 202, run {ids[0]}." if len(ids) == 1 else f"Submitted {len(ids)} runs over HTTP.")
        shown: dict[str, object] = {}
        limit = time.monotonic() + _LONGEST_SECONDS
        while True:
            runs = [client.get(f"{API}/runs/{run_id}").raise_for_status().json() for run_id in ids]
            for run in runs:
                waits = _tell(run, shown, say, whole=len(ids) == 1)
                if waits == "login":
                    sign_in_again()
            if all(run["status"] in FINAL_RUN_STATUSES for run in runs):
                return runs
            if time.monotonic() > limit:
                raise RehearsalFailed(f"The runs did not end within {_LONGEST_SECONDS} s.")
            time.sleep(_POLL_SECONDS * len(ids))


def _submit(client: httpx.Client, spec: str) -> str:
    body = {"repository": SLUG, "base_branch": _BASE_BRANCH, "specify_text": spec, "external_ref": "rehearsal"}
    answer = client.post(f"{API}/runs", json=body)
    if answer.status_code != httpx.codes.ACCEPTED:
        raise RehearsalFailed(f"The run was not accepted: {answer.status_code} {answer.text}")
    return str(answer.json()["run_id"])


def _tell(run: dict[str, Any], shown: dict[str, object], say: Callable[..., None], *, whole: bool) -> str | None:
    """Show changes: each phase of a single run, the state of one of several; returns what it newly waits for."""
    run_id = run["run_id"]
    for phase in run["phases"] if whole else []:
        state = (phase["status"], phase["attempt"])
        if shown.get(phase["phase"], ("pending", 0)) != state:
            shown[phase["phase"]] = state
            say(phase["phase"], phase=phase["phase"], status=phase["status"])
    waiting = run["waiting_for"] or {}
    stands = (run["status"], waiting.get("reason"), run["shard"] if run["status"] == "in_progress" else None)
    if shown.get(run_id) == stands:
        return None
    shown[run_id] = stands
    name = "The run" if whole else f"Run {run_id[:8]}"
    if run["status"] in FINAL_RUN_STATUSES:
        say(f"{name} ended: {run['status']}.")
    elif waiting:
        until = f" until {waiting['until']}" if waiting.get("until") else ""
        say(f"{name} waits for {waiting['reason']}{until}.")
        return str(waiting["reason"])
    elif not whole and run["status"] == "in_progress":
        say(f"{name} runs on shard {run['shard']}.")
    return None


def _artifact(url: str, token: str, run: dict[str, Any], name: str) -> str:
    """An artifact's text, downloaded over the API; "" if the run has none with the name."""
    for artifact in run["artifacts"]:
        if artifact["name"] == name:
            with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
                path = f"{API}/runs/{run['run_id']}/artifacts/{artifact['artifact_id']}"
                return client.get(f"{path}/content").raise_for_status().text
    return ""


def _report(
    stage: Stage, day: Day, options: RehearsalOptions, *, runs: list[dict[str, Any]], summary: str, seconds: float
) -> RehearsalReport:
    run = runs[0]
    hosted = stage.github.pull_requests(SLUG)
    pulls = [pull for pull in hosted if pull.head in {each["branch_name"] for each in runs}]
    problems = [
        _difference(day, each, sum(pull.head == each["branch_name"] for pull in hosted), stage) for each in runs
    ]
    problem = next((found for found in problems if found), None) or _turns_spent_twice(day, stage)
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


def _turns_spent_twice(day: Day, stage: Stage) -> str | None:
    """The problem if a run that waited or moved has repeated a finished phase, or None."""
    begun = sum(turn.skills == ("speckit-specify",) for turn in stage.openai.turns)
    if day.times is not None and begun != day.runs:
        return f"The model received {begun} requests to specify for {day.runs} specification(s)."
    return None


def _difference(day: Day, run: dict[str, Any], pulls: int, stage: Stage) -> str | None:
    """The first difference from the scenario's expected end, or None."""
    expected = day.expected
    if run["status"] != expected.status:
        return f"The run ended as {run['status']}, not {expected.status.value}: {run['result_summary']}"
    code = (run["failure"] or {}).get("code")
    if code != (expected.failure.value if expected.failure else None):
        return f"The run's failure code is {code}, not {expected.failure}."
    if pulls != expected.pull_requests:
        return f"GitHub has {pulls} pull request(s) from the run's branch, not {expected.pull_requests}."
    if stage.openai.faults:
        return f"The stand-in model received unknown requests: {stage.openai.faults[:3]}"
    return None
