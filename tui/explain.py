"""Describes a run in sentences: what it waits for and until when, why it failed and who acts, its outcome."""

from collections.abc import Sequence
from datetime import datetime

from moonmind_appliance.models import PHASE_ORDER, PhaseStatus, RunStatus, WaitReason, WhoActs
from moonmind_appliance.views.run_summary import RunSummary, WaitingForDetail
from tui.text import age, clock, countdown, length, one_line

_WAITS: dict[WaitReason, str] = {
    WaitReason.LOGIN: "a shard that is signed in (2, then i)",
    WaitReason.QUOTA: "quota",
    WaitReason.DISK: "disk space",
    WaitReason.ENGINE: "the Docker engine",
    WaitReason.GITHUB: "GitHub",
    WaitReason.SHARD_BUSY: "its shard, which is busy or paused",
    WaitReason.DRAINED: "the appliance to be resumed (2, then D)",
}
_ACTORS: dict[WhoActs, str] = {
    WhoActs.OPERATOR: "Operator",
    WhoActs.SUBMITTER: "Submitter",
    WhoActs.GITHUB_ADMIN: "GitHub admin",
    WhoActs.NOBODY: "It resolves by itself",
}

_ENDS: dict[RunStatus, str] = {
    RunStatus.FAILED: "Failed.",
    RunStatus.CANCELLED: "Cancelled. r queues it again.",
    RunStatus.NO_CHANGES: "Ended without a change to propose.",
}


def waiting_text(waiting: WaitingForDetail | None, now: datetime) -> str:
    """What a queued run waits for, until when, and how long that is."""
    if waiting is None:
        return "Waits for its turn."
    until = ""
    if waiting.until is not None:
        left = (waiting.until - now).total_seconds()
        until = f" until {clock(waiting.until, now)} ({countdown(left)})"
    return f"Waits for {_WAITS[waiting.reason]}{until}."


def short_waiting_text(waiting: WaitingForDetail, now: datetime) -> str:
    """The same in a few cells: `quota 14:20`."""
    word = "busy" if waiting.reason is WaitReason.SHARD_BUSY else waiting.reason.value
    return f"{word} {clock(waiting.until, now)}" if waiting.until is not None else word


def failure_text(run: RunSummary, now: datetime) -> str:
    """The person who must act, and the next step."""
    failed = run.failure
    if failed is None:
        return ""
    again = f" Not before {clock(failed.retry_at, now)}." if failed.retry_at is not None else ""
    return f"{_ACTORS[failed.who_acts]}: {failed.next_step}{again}"


def current_phase(phases: Sequence[PhaseStatus]) -> str:
    """The name of the phase that runs, "" for none."""
    for name, status in zip(PHASE_ORDER, phases, strict=False):
        if status in {PhaseStatus.RUNNING, PhaseStatus.RETRYING}:
            return name.value
    return ""


def outcome_text(
    run: RunSummary,
    phases: Sequence[PhaseStatus],
    now: datetime,
    *,
    serve_is_running: bool | None,
    message: bool = False,
) -> str:
    """The run in one or two sentences; `message`: a failure with all its details."""
    if run.status is RunStatus.QUEUED:
        idle = " `serve` is not running: the run starts when it does." if serve_is_running is False else ""
        return waiting_text(run.waiting_for, now) + idle
    if run.status is RunStatus.IN_PROGRESS:
        phase = current_phase(phases)
        shard = f" on shard {run.shard}" if run.shard is not None else ""
        since = f", started {age((now - run.started_at).total_seconds())} ago" if run.started_at else ""
        return f"Running {phase or 'its phases'}{shard}{since}."
    if run.failure is not None:
        detail = f": {one_line(run.failure.message)}" if message else "."
        return f"{run.failure.code.value}{detail} {failure_text(run, now)}"
    return _ENDS.get(run.status) or _success_text(run)


def about_text(run: RunSummary, now: datetime) -> str:
    """The submitter of the run, the time of submission, and the duration."""
    text = f"Submitted by {one_line(run.created_by.username)} {clock(run.accepted_at, now)}"
    took = run.seconds(now)
    if run.started_at is not None and took is not None:
        text += f", began {clock(run.started_at, now)}"
        if run.completed_at is not None:
            text += f", ended {clock(run.completed_at, now)} after {length(took)}"
    return f"{text}{f', shard {run.shard}' if run.shard is not None else ''}."


def _success_text(run: RunSummary) -> str:
    took = ""
    if run.started_at and run.completed_at:
        took = f" in {length((run.completed_at - run.started_at).total_seconds())}"
    if run.pull_request_url:
        return f"Draft pull request{took}: {one_line(run.pull_request_url)}"
    if run.dry_run:
        return f"Dry run, nothing was pushed. It took{took.removeprefix(' in') or ' some time'}."
    return f"Succeeded{took}. {one_line(run.result_summary or '')}".rstrip()
