"""Runs as lists show them, and the search for runs."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from moonmind_appliance.errors import InvalidRequest, NotFound
from moonmind_appliance.models import (
    FINAL_RUN_STATUSES,
    Actor,
    Failure,
    PhaseStatus,
    Run,
    RunFilter,
    RunOrder,
    RunStatus,
    WaitReason,
)
from moonmind_appliance.store import Store
from moonmind_appliance.views.cursor import cursor_after, place_of

__all__ = [
    "SHORTEST_PREFIX",
    "CreatedBy",
    "RunAccepted",
    "RunFilter",
    "RunOrder",
    "RunPage",
    "RunRow",
    "RunSummary",
    "WaitingForDetail",
    "check_run_name",
    "find_run",
    "list_runs",
    "recent_repositories",
    "run_accepted",
    "run_ids",
    "run_page",
    "run_summary",
    "runs_by_id",
    "summary_fields",
]

SHORTEST_PREFIX = 4

_SHORT_ID = 8
_WHOLE_ID = 36
_ID_CHARACTERS = frozenset("0123456789abcdef-")


class RunAccepted(msgspec.Struct, frozen=True):
    """A run that is stored."""

    run_id: Annotated[str, msgspec.Meta(examples=["5b0c6a5e-7d5c-4c1e-9a0f-2f6f5d1c7b11"])]
    status: RunStatus
    accepted_at: datetime


class WaitingForDetail(msgspec.Struct, frozen=True):
    """What a queued run waits for, and until when; without a time, until the operator acts."""

    reason: WaitReason
    until: datetime | None


class CreatedBy(msgspec.Struct, frozen=True):
    """The owner of the token that submitted the run."""

    subject: str
    username: str


class RunSummary(msgspec.Struct, frozen=True):
    """A run as lists show it."""

    run_id: str
    external_ref: str | None
    repository: str
    base_branch: str
    dry_run: bool
    status: RunStatus
    waiting_for: WaitingForDetail | None
    branch_name: str | None
    pull_request_url: str | None
    result_summary: str | None
    failure: Failure | None
    clarifications: list[str]
    shard: int | None
    created_by: CreatedBy
    accepted_at: datetime
    started_at: datetime | None
    completed_at: datetime | None

    @property
    def short_id(self) -> str:
        """The first characters of the id, for display."""
        return self.run_id[:_SHORT_ID]

    @property
    def final(self) -> bool:
        """Whether the run has ended."""
        return self.status in FINAL_RUN_STATUSES

    def seconds(self, now: datetime) -> float | None:
        """Seconds from its start to its end, or to `now`; None before it started."""
        if self.started_at is None:
            return None
        return max(0.0, ((self.completed_at or now) - self.started_at).total_seconds())


class RunPage(msgspec.Struct, frozen=True):
    """Some runs, newest first. `next_cursor` gets the next page; null: there is none."""

    items: list[RunSummary]
    next_cursor: str | None


class RunRow(NamedTuple):
    """A run in a live table: its summary, and the status of each of its nine phases, in `PHASE_ORDER`."""

    summary: RunSummary
    phases: tuple[PhaseStatus, ...]


def list_runs(
    store: Store, wanted: RunFilter, *, limit: int, before: tuple[datetime, str] | None = None
) -> list[RunSummary]:
    """At most `limit` runs, newest first, after the run `before` (its `accepted_at` and `run_id`). One statement."""
    return [run_summary(run) for run in store.run_lists.page(wanted, limit=limit, before=before)]


def run_page(store: Store, wanted: RunFilter, *, limit: int, cursor: str | None = None) -> RunPage:
    """A page of at most `limit` runs, newest first, after the page that gave `cursor` as its `next_cursor`.

    Raises:
        InvalidRequest: the cursor is not from this list.
    """
    found = list_runs(store, wanted, limit=limit + 1, before=None if cursor is None else place_of(cursor))
    page = found[:limit]
    more = len(found) > limit
    return RunPage(page, cursor_after(page[-1].accepted_at, page[-1].run_id) if more else None)


def run_ids(store: Store, wanted: RunFilter, order: RunOrder = RunOrder.ACTIVE) -> list[str]:
    """The ids of all runs that match, in that order, for a table that reads only its visible rows."""
    return store.run_lists.ids(wanted, order, now=datetime.now(UTC))


def runs_by_id(store: Store, run_ids: Iterable[str]) -> dict[str, RunRow]:
    """These runs, by id. Two statements for any number of runs. An id without a readable run is left out."""
    return {
        run_id: RunRow(run_summary(head.run), head.phases) for run_id, head in store.run_lists.by_id(run_ids).items()
    }


def find_run(store: Store, actor: Actor, name: str) -> str:
    """The whole id of a run that the actor may see.

    Args:
        store: the store to search.
        actor: an operator sees every run, others their own.
        name: `latest`, a whole id, or its first characters, at least four, in any case.

    Raises:
        NotFound: `run_not_found`: no run has that id or begins like that.
        InvalidRequest: it is not a valid id, is too short, or several runs begin like that.
    """
    text = name.strip().lower()
    created_by = None if actor.operator else actor.subject
    if text == "latest":
        newest = store.run_lists.page(RunFilter(created_by=created_by), limit=1)
        if not newest:
            raise NotFound("There are no runs yet.", hint="Submit a run first.", code="run_not_found")
        return newest[0].run_id
    check_run_name(name)
    found = store.run_lists.with_prefix(text, created_by=created_by, limit=2)
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidRequest(f"More than one run id starts with {text}.", hint="Give more characters of the id.")
    raise NotFound(
        f"Run {text} does not exist." if len(text) >= _WHOLE_ID else f"No run id starts with {text}.",
        hint="Check the id. You can see only runs that you submitted.",
        code="run_not_found",
    )


def check_run_name(name: str) -> bool:
    """Whether the name is a whole id (True) or the first characters of one (False).

    Raises:
        InvalidRequest: it is neither, or it is too short.
    """
    text = name.strip().lower()
    if not text or not _ID_CHARACTERS.issuperset(text):
        raise InvalidRequest(f"{name!r} is not a run id.", hint="Give the id, its first characters, or `latest`.")
    if len(text) < SHORTEST_PREFIX:
        raise InvalidRequest(f"{name!r} is too short.", hint="Give at least four characters of the id.")
    return len(text) >= _WHOLE_ID


def recent_repositories(store: Store, limit: int = 20) -> list[str]:
    """Repositories of earlier runs, the most recently used first."""
    return store.run_lists.repositories(limit)


def run_accepted(run: Run) -> RunAccepted:
    """The short answer of submit, cancel and retry."""
    return RunAccepted(run.run_id, run.status, run.accepted_at)


def run_summary(run: Run) -> RunSummary:
    """A run without its phases and artifacts."""
    return RunSummary(**summary_fields(run))


def summary_fields(run: Run) -> dict[str, Any]:
    """The fields of `RunSummary`, by name, for it and for the structs that add to it."""
    waiting = run.waiting_for
    return {
        "run_id": run.run_id,
        "external_ref": run.external_ref,
        "repository": run.repository,
        "base_branch": run.base_branch,
        "dry_run": run.dry_run,
        "status": run.status,
        "waiting_for": WaitingForDetail(waiting.reason, waiting.until) if waiting else None,
        "branch_name": run.branch_name,
        "pull_request_url": run.pull_request_url,
        "result_summary": run.result_summary,
        "failure": run.failure,
        "clarifications": run.clarifications,
        "shard": run.shard,
        "created_by": CreatedBy(run.created_by.subject, run.created_by.username),
        "accepted_at": run.accepted_at,
        "started_at": run.started_at,
        "completed_at": run.completed_at,
    }
