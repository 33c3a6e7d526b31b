"""What people are shown of the API's answers: read tolerantly, a newer appliance may tell more."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.runs.access import RunAccess
from moonmind_appliance.cli.terminal import MARKS, STYLES, clean, clock, facts, line, span, state, table
from moonmind_appliance.errors import NotFound
from moonmind_appliance.models import FINAL_RUN_STATUSES

_WHOLE_ID = 36
_SHORTEST_PREFIX = 4
_PAGE = 200
_PAGES = 10
_SHOWN = 8


class Waiting(msgspec.Struct):
    """What a queued run waits for."""

    reason: str
    until: datetime | None = None

    def __str__(self) -> str:
        until = f" until {clock(self.until)}" if self.until else ""
        return f"waits for {clean(self.reason).replace('_', ' ')}{until}"


class FailureView(msgspec.Struct):
    """Why a run failed, and who does what next."""

    code: str
    who_acts: str
    message: str
    next_step: str
    retry_at: datetime | None = None


class PhaseView(msgspec.Struct):
    """One phase."""

    phase: str
    status: str
    attempt: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None

    def seconds(self, now: datetime) -> float | None:
        """How long it took, or has been going; None before it began."""
        if self.started_at is None:
            return None
        return max(0.0, ((self.completed_at or now) - self.started_at).total_seconds())


class ArtifactView(msgspec.Struct):
    """One kept file."""

    artifact_id: str
    name: str
    artifact_type: str
    size_bytes: int
    expires_at: datetime | None = None


class Submitter(msgspec.Struct):
    """Whose run it is."""

    username: str = ""


class RunView(msgspec.Struct):
    """One run."""

    run_id: str
    repository: str
    status: str
    accepted_at: datetime
    base_branch: str = ""
    dry_run: bool = False
    external_ref: str | None = None
    waiting_for: Waiting | None = None
    branch_name: str | None = None
    pull_request_url: str | None = None
    result_summary: str | None = None
    failure: FailureView | None = None
    clarifications: list[str] = []
    shard: int | None = None
    created_by: Submitter = msgspec.field(default_factory=Submitter)
    started_at: datetime | None = None
    completed_at: datetime | None = None
    phases: list[PhaseView] = []
    artifacts: list[ArtifactView] = []

    @property
    def short_id(self) -> str:
        """Enough of the id for people."""
        return clean(self.run_id)[:_SHOWN]

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL_RUN_STATUSES


def run_view(answer: Mapping[str, Any]) -> RunView:
    """Read a run, from a list or in detail."""
    return msgspec.convert(answer, RunView)


def resolve(access: RunAccess, run: str) -> str:
    """The whole id of a run that was named by its id, by its first characters, or as `latest`.

    Raises:
        NotFound: none of the caller's latest runs is meant.
        CommandFailed: several are.
    """
    name = run.strip().lower()
    if name == "latest":
        items = access.page({"limit": 1})["items"]
        if not items:
            raise NotFound("There is no run yet.", hint=f"Submit one: `{PROGRAM} runs submit --help`.")
        return str(items[0]["run_id"])
    if not name or not all(character in "0123456789abcdef-" for character in name):
        raise CommandFailed(
            f"{run!r} is no run's id.", hint="Give the id, its first characters, or `latest`.", code=Exit.USAGE
        )
    if len(name) >= _WHOLE_ID:
        return name
    if len(name) < _SHORTEST_PREFIX:
        raise CommandFailed(f"{run!r} is too short.", hint="Give four characters or more of the id.", code=Exit.USAGE)
    found, cursor = [], None
    for _ in range(_PAGES):
        page = access.page({"limit": _PAGE, "cursor": cursor})
        found += [item["run_id"] for item in page["items"] if item["run_id"].startswith(name)]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    if not found:
        raise NotFound(
            f"There is no run that begins with {name}.", hint=f"`{PROGRAM} runs list` shows them; you see your own."
        )
    if len(found) > 1:
        raise CommandFailed(f"{len(found)} runs begin with {name}.", hint="Give more of the id.", code=Exit.USAGE)
    return str(found[0])


def status_text(run: RunView) -> Text:
    """The status, and what it waits for."""
    text = state(run.status)
    if run.waiting_for is not None:
        text.append(f", {run.waiting_for}", "yellow")
    return text


def head(run: RunView) -> RenderableType:
    """The run's facts."""
    now = datetime.now(UTC)
    took = (run.completed_at or now) - run.started_at if run.started_at else None
    return facts(
        [
            ("run", Text(clean(run.run_id), "bold")),
            ("status", status_text(run)),
            ("repository", f"{run.repository}, from {run.base_branch}"),
            ("dry run", "yes: nothing is pushed" if run.dry_run else ""),
            ("reference", run.external_ref or ""),
            ("submitted by", f"{run.created_by.username}, {clock(run.accepted_at)}"),
            ("shard", "" if run.shard is None else str(run.shard)),
            ("took" if run.final else "going for", span(took.total_seconds()) if took else ""),
            ("branch", run.branch_name or ""),
        ]
    )


def outcome(run: RunView) -> RenderableType:
    """How it ended: pull request, failure with who acts and the next step, open questions."""
    parts: list[RenderableType] = []
    pairs: list[tuple[str, str | Text]] = []
    if run.pull_request_url:
        pairs.append(("pull request", Text(clean(run.pull_request_url), "bold")))
    # The summary of a pull request tells its address once more.
    if run.result_summary and not run.failure and (run.pull_request_url or "\0") not in run.result_summary:
        pairs.append(("result", run.result_summary))
    if run.failure is not None:
        pairs += [
            ("failure", Text(clean(run.failure.code), "bold red")),
            ("", clean(run.failure.message)),
            ("who acts", run.failure.who_acts.replace("_", " ")),
            ("next step", run.failure.next_step),
            ("not before", clock(run.failure.retry_at)),
        ]
        if run.final:
            pairs.append(("retry", f"{PROGRAM} runs retry {run.short_id}"))
    if pairs:
        parts.append(facts(pairs))
    if run.clarifications:
        parts.append(Text("Open questions for the reviewers:", "yellow"))
        parts += [Text(f"  • {line(question)}") for question in run.clarifications]
    return Group(*parts)


def phases_table(run: RunView) -> RenderableType:
    """The nine phases: how each stands, how long it took."""
    now = datetime.now(UTC)
    shown = table("", "PHASE", "STATUS", "TOOK", "ATTEMPT", "BEGAN", right={"TOOK", "ATTEMPT"})
    for phase in run.phases:
        seconds = phase.seconds(now)
        style = STYLES.get(phase.status, "")
        shown.add_row(
            Text(MARKS.get(phase.status, "?"), style),
            clean(phase.phase),
            Text(clean(phase.status), style),
            "" if seconds is None else span(seconds),
            str(phase.attempt) if phase.attempt else "",
            Text(clock(phase.started_at), "dim"),
        )
    return shown
