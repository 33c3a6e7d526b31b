"""Shows a run in a terminal. Every text from another machine is cleaned of control characters."""

from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM
from moonmind_appliance.cli.runs.access import RunAccess
from moonmind_appliance.cli.terminal import MARKS, STYLES, clean, clock, facts, line, state, table
from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.models import WaitReason
from moonmind_appliance.units import duration
from moonmind_appliance.views.run_detail import RunDetail
from moonmind_appliance.views.run_summary import RunSummary

# The other reasons are words that can be read as they are.
_WAITS_FOR = {WaitReason.DRAINED: "the appliance to be resumed", WaitReason.SHARD_BUSY: "a shard"}


def waits(run: RunSummary) -> str:
    """What the run waits for and until when; "" if it only waits for a free shard."""
    waiting = run.waiting_for
    if waiting is None:
        return ""
    until = f" until {clock(waiting.until)}" if waiting.until else ""
    return f"waits for {_WAITS_FOR.get(waiting.reason, waiting.reason.value)}{until}"


def accepted_text(access: RunAccess, run_id: str, accepted: Text) -> Text:
    """The message of a command that queued a run, with what the run waits for if it cannot start now."""
    try:
        waiting = waits(access.detail(run_id))
    except ApplianceError:
        # The run is queued: what cannot be read now must not look like a failure.
        return accepted
    return Text.assemble(accepted, (f"\nThe run {waiting}.", "yellow")) if waiting else accepted


def status_text(run: RunSummary) -> Text:
    """The status, and what it waits for."""
    text = state(run.status)
    if run.waiting_for is not None:
        text.append(f", {waits(run)}", "yellow")
    return text


def head(run: RunSummary) -> RenderableType:
    """The run's facts."""
    seconds = run.seconds(datetime.now(UTC))
    return facts(
        [
            ("run", Text(clean(run.run_id), "bold")),
            ("status", status_text(run)),
            ("repository", f"{run.repository}, from {run.base_branch}"),
            ("dry run", "yes: nothing is pushed" if run.dry_run else ""),
            ("reference", run.external_ref or ""),
            ("submitted by", f"{run.created_by.username}, {clock(run.accepted_at)}"),
            ("shard", "" if run.shard is None else str(run.shard)),
            ("took" if run.final else "running for", "" if seconds is None else duration(seconds)),
            ("branch", run.branch_name or ""),
            ("text", "removed after TEXT_RETENTION; the run cannot be retried" if text_removed(run) else ""),
        ]
    )


def text_removed(run: RunSummary) -> bool:
    """Whether the run's specification text is known to be removed."""
    return isinstance(run, RunDetail) and not run.specification_kept


def outcome(run: RunSummary) -> RenderableType:
    """The outcome: pull request, failure with who acts and the next step, open questions."""
    parts: list[RenderableType] = []
    pairs: list[tuple[str, str | Text]] = []
    if run.pull_request_url:
        pairs.append(("pull request", Text(clean(run.pull_request_url), "bold")))
    # The summary of a pull request repeats its address.
    if run.result_summary and not run.failure and (run.pull_request_url or "\0") not in run.result_summary:
        pairs.append(("result", run.result_summary))
    if run.failure is not None:
        pairs += [
            ("failure", Text(run.failure.code, "bold red")),
            ("", clean(run.failure.message)),
            ("who acts", run.failure.who_acts.replace("_", " ")),
            ("next step", run.failure.next_step),
            ("not before", clock(run.failure.retry_at)),
        ]
        if run.final and not text_removed(run):
            pairs.append(("retry", f"{PROGRAM} runs retry {run.short_id}"))
    if pairs:
        parts.append(facts(pairs))
    if run.clarifications:
        parts.append(Text("Open questions for the reviewers:", "yellow"))
        parts += [Text(f"  • {line(question)}") for question in run.clarifications]
    return Group(*parts)


def phases_table(run: RunDetail) -> RenderableType:
    """The nine phases: the status and the duration of each."""
    now = datetime.now(UTC)
    shown = table(
        "", "PHASE", "STATUS", "TOOK", "ATTEMPT", "BEGAN", right={"TOOK", "ATTEMPT"}, optional=("ATTEMPT", "BEGAN")
    )
    for phase in run.phases:
        seconds = phase.seconds(now)
        style = STYLES.get(phase.status, "")
        shown.add_row(
            Text(MARKS.get(phase.status, "?"), style),
            phase.phase,
            Text(phase.status, style),
            "" if seconds is None else duration(seconds),
            str(phase.attempt) if phase.attempt else "",
            Text(clock(phase.started_at), "dim"),
        )
    return shown
