"""Runs a scenario without accounts: sign in, submit over HTTP, follow the run, and check its results."""

import json
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from moonmind_appliance.api_address import BASE_PATH
from moonmind_appliance.models import FINAL_RUN_STATUSES
from moonmind_appliance.rehearsal.environment import SLUG, TOKEN_NAME, RehearsalEnvironment, RunningAppliance
from moonmind_appliance.rehearsal.prepare import (
    BASE_BRANCH,
    Progress,
    ProgressReport,
    RehearsalFailed,
    RehearsalOptions,
    prepare,
    scenario_of,
    sign_in_shards,
)
from moonmind_appliance.rehearsal.scenarios import Scenario
from moonmind_appliance.settings import Settings

_POLL_SECONDS = 0.1
_TIMEOUT_SECONDS = 30 * 60


class RehearsalReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome. `as_expected` decides the result; `kept` is the folder that `keep` keeps."""

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


def rehearse(
    base: Settings,
    options: RehearsalOptions,
    on_progress: Callable[[Progress], None],
    stopped: Callable[[], bool] = lambda: False,
) -> RehearsalReport:
    """Run the scenario in a temporary environment, which is removed afterwards unless `keep`.

    Raises:
        RehearsalFailed: unknown scenario, no such repository folder, or the appliance does not start.
        RehearsalStopped: `stopped` returned True; everything is removed.
        EngineError: Docker cannot be used.
    """
    scenario = scenario_of(options)
    shards = options.shards or scenario.shards
    progress = ProgressReport(on_progress, stopped)
    with RehearsalEnvironment(
        base,
        think_seconds=options.think_seconds,
        shards=shards,
        github_app=scenario.github_app,
        login_broker=options.login_broker,
    ) as environment:
        prepare(environment, scenario, options, progress)
        with RunningAppliance(environment.settings) as running:
            progress(f"The appliance listens on {running.url}.")
            sign_in_shards(environment, running, shards, progress)
            token = running.appliance.resources.store.tokens.create(
                TOKEN_NAME, operator=False, expires_at=running.appliance.resources.clock() + timedelta(hours=1)
            )

            def sign_in_again() -> None:
                if scenario.signs_in_again:
                    progress(f"Shard 0 is signed in again by device code {environment.sign_in(running).code}.")

            specs = [options.spec] if scenario.runs == 1 else _numbered(options.spec, scenario.runs)
            runs = _run_to_end(running.url, token, specs, progress, sign_in_again)
            summary = _artifact(running.url, token, runs[0], "diff_summary.md")
            refused = [host for run in runs for host in _refused(_artifact(running.url, token, run, "egress.json"))]
        return _report(
            environment, scenario, options, runs=runs, summary=summary, refused=refused, seconds=progress.seconds
        )


def _numbered(spec: str, count: int) -> list[str]:
    """That many specifications, with different first lines."""
    first, _, rest = spec.partition("\n")
    return [f"{first} {number}\n{rest}" for number in range(1, count + 1)]


def _changed_files(bare: Path, branch: str) -> list[str]:
    """The changes of the pushed branch against the base, from the stand-in's repository."""
    command = ["git", "-C", str(bare), "diff", "--name-only", f"{BASE_BRANCH}...{branch}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - git, on the rehearsal's own folder
    return done.stdout.split("\n")[:-1]


def _run_to_end(
    url: str, token: str, specs: list[str], progress: ProgressReport, sign_in_again: Callable[[], None]
) -> list[dict[str, Any]]:
    """Submit over HTTP and follow the runs to their ends; returns them in the order of submission."""
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
    ) as client:
        ids = [_submit(client, spec) for spec in specs]
        single = len(ids) == 1
        progress(f"Submitted over HTTP: 202, run {ids[0]}." if single else f"Submitted {len(ids)} runs over HTTP.")
        reported: dict[str, object] = {}
        limit = time.monotonic() + _TIMEOUT_SECONDS
        while True:
            progress.check()
            runs = [client.get(f"{BASE_PATH}/runs/{run_id}").raise_for_status().json() for run_id in ids]
            for run in runs:
                if _report_changes(run, reported, progress, single=single) == "login":
                    sign_in_again()
            if all(run["status"] in FINAL_RUN_STATUSES for run in runs):
                return runs
            if time.monotonic() > limit:
                raise RehearsalFailed(f"The runs did not end within {_TIMEOUT_SECONDS} s.")
            time.sleep(_POLL_SECONDS * len(ids))


def _submit(client: httpx.Client, spec: str) -> str:
    body = {"repository": SLUG, "base_branch": BASE_BRANCH, "specify_text": spec, "external_ref": "rehearsal"}
    answer = client.post(f"{BASE_PATH}/runs", json=body)
    if answer.status_code != httpx.codes.ACCEPTED:
        raise RehearsalFailed(f"The run was not accepted: {answer.status_code} {answer.text}")
    return str(answer.json()["run_id"])


def _report_changes(
    run: dict[str, Any], reported: dict[str, object], progress: ProgressReport, *, single: bool
) -> str | None:
    """Report changes: the phases of a single run, else only the run's state. Returns a new wait reason."""
    run_id = run["run_id"]
    for phase in run["phases"] if single else []:
        attempt = (phase["status"], phase["attempt"])
        if reported.get(phase["phase"], ("pending", 0)) != attempt:
            reported[phase["phase"]] = attempt
            progress(phase["phase"], phase=phase["phase"], status=phase["status"])
    waiting = run["waiting_for"] or {}
    state = (run["status"], waiting.get("reason"), run["shard"] if run["status"] == "in_progress" else None)
    if reported.get(run_id) == state:
        return None
    reported[run_id] = state
    name = "The run" if single else f"Run {run_id[:8]}"
    if run["status"] in FINAL_RUN_STATUSES:
        progress(f"{name} ended: {run['status']}.")
    elif waiting:
        until = f" until {waiting['until']}" if waiting.get("until") else ""
        progress(f"{name} waits for {waiting['reason']}{until}.")
        return str(waiting["reason"])
    elif not single and run["status"] == "in_progress":
        progress(f"{name} runs on shard {run['shard']}.")
    return None


def _artifact(url: str, token: str, run: dict[str, Any], name: str) -> str:
    """An artifact's text, downloaded over the API; "" if the run has none with the name."""
    for artifact in run["artifacts"]:
        if artifact["name"] == name:
            with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
                path = f"{BASE_PATH}/runs/{run['run_id']}/artifacts/{artifact['artifact_id']}"
                return client.get(f"{path}/content").raise_for_status().text
    return ""


def _refused(record: str) -> list[str]:
    """What the wall around the agent refused, from its record; "" is an empty record."""
    targets = json.loads(record)["targets"] if record else []
    return [each["target"] for each in targets if each["outcome"] == "refused"]


def _report(
    environment: RehearsalEnvironment,
    scenario: Scenario,
    options: RehearsalOptions,
    *,
    runs: list[dict[str, Any]],
    summary: str,
    refused: list[str],
    seconds: float,
) -> RehearsalReport:
    run = runs[0]
    hosted = environment.github.pull_requests(SLUG)
    pulls = [pull for pull in hosted if pull.head in {each["branch_name"] for each in runs}]
    problems = [
        _difference(scenario, each, sum(pull.head == each["branch_name"] for pull in hosted), environment)
        for each in runs
    ]
    problem = next((found for found in problems if found), None)
    problem = problem or _repeated_turns(scenario, environment) or _token_left(scenario, environment)
    if problem is None and refused:
        problem = f"The wall refused what no scenario needs: {', '.join(refused[:3])}."
    folder = environment.data_dir / "runs" / run["run_id"] / "artifacts"
    return RehearsalReport(
        scenario=options.scenario,
        as_expected=problem is None,
        problem=problem,
        seconds=round(seconds, 2),
        run=run,
        pull_requests=[
            {"number": pull.number, "title": pull.title, "draft": pull.draft, "url": pull.html_url} for pull in pulls
        ],
        commit_files=_changed_files(environment.github.git_folder(SLUG), run["branch_name"]) if pulls else [],
        diff_summary=summary,
        artifacts_folder=str(folder) if options.keep else None,
        kept=str(environment.folder) if options.keep else None,
        refused_hosts=[*environment.openai.refused_hosts, *refused],
    )


def _repeated_turns(scenario: Scenario, environment: RehearsalEnvironment) -> str | None:
    """A message if a run repeated a finished phase after it waited or moved, or None."""
    begun = sum(turn.skills == ("speckit-specify",) for turn in environment.openai.turns)
    continues = scenario.times is not None or scenario.github_times is not None
    if continues and begun != scenario.runs:
        return f"The model received {begun} requests to specify for {scenario.runs} specification(s)."
    return None


def _token_left(scenario: Scenario, environment: RehearsalEnvironment) -> str | None:
    """A message if the GitHub App's token was not renewed, or its last one not revoked; or None."""
    if not scenario.github_app:
        return None
    tokens = environment.github.installation_tokens
    if len(tokens) < 2:  # noqa: PLR2004 - the first one and another
        return "The run did not renew the token of the GitHub App."
    return None if tokens[-1].revoked else "The run did not revoke the last token of the GitHub App."


def _difference(scenario: Scenario, run: dict[str, Any], pulls: int, environment: RehearsalEnvironment) -> str | None:
    """The first difference from the scenario's expected result, or None."""
    expected = scenario.expected
    if run["status"] != expected.status:
        return f"The run ended as {run['status']}, not {expected.status.value}: {run['result_summary']}"
    code = (run["failure"] or {}).get("code")
    if code != (expected.failure.value if expected.failure else None):
        return f"The run's failure code is {code}, not {expected.failure}."
    if pulls != expected.pull_requests:
        return f"GitHub has {pulls} pull request(s) from the run's branch, not {expected.pull_requests}."
    if environment.openai.internal_errors:
        return f"The stand-in model received unknown requests: {environment.openai.internal_errors[:3]}"
    return None
