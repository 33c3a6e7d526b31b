"""Removes what a plan lists, beside a running appliance: in short transactions, with pauses for other writers."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TypeVar

import msgspec

from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.resources import Resources
from moonmind_appliance.retention.plan import Item, Kind, Plan, events_before, texts_before
from moonmind_appliance.shards.leftovers import login_leftovers

LABELS = {
    Kind.WORKSPACE: "workspace",
    Kind.REPOSITORY_CACHE: "cache",
    Kind.ARTIFACTS: "artifacts",
    Kind.SPECIFICATION: "specification text",
    Kind.EVENTS: "events",
    Kind.LOGIN_LEFTOVERS: "files beside the login",
    Kind.SIGN_IN: "interrupted sign-in",
    Kind.IMAGE: "untagged image",
}

_RUNS_AT_ONCE = 100
_TEXTS_AT_ONCE = 200
_LONGEST_PAUSE = 1.0
_QUEUED_AGAIN = "the run was queued again"

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Result(msgspec.Struct, frozen=True):
    """An item, and why it was not removed; "" if it was."""

    item: Item
    problem: str = ""


def prune(resources: Resources, plan: Plan, *, seconds: float | None = None) -> Iterator[Result]:
    """Remove the plan's items one after the other, and yield each with its result. Idempotent.

    A run that was queued again since the plan was made keeps everything. An item that cannot be removed does not stop
    the others. Several processes may do this at the same time. Ends early when the process stops, or after `seconds`;
    the items that are left are not yielded.
    """
    pruning = _Pruning(resources, None if seconds is None else time.monotonic() + seconds)
    for kind, items in groupby(plan.items, lambda item: item.kind):
        for result in _REMOVE[kind](pruning, list(items)):
            if result.problem:
                _log.warning("Not removed: %s: %s", describe(result.item), result.problem)
            yield result
            if pruning.over:
                return


def describe(item: Item) -> str:
    """What the item is, in a few words."""
    return f"{LABELS[item.kind]}{f' of {owner}' if (owner := owner_of(item)) else ''}"


def owner_of(item: Item) -> str:
    """The run, shard or repository that the item belongs to; "" if there is none."""
    if item.run_id:
        return f"run {item.run_id[:8]}"
    return f"shard {item.shard}" if item.shard is not None else item.repository or ""


class _Pruning(msgspec.Struct, frozen=True):
    """One call of `prune`; `until` is a time of the monotonic clock."""

    resources: Resources
    until: float | None

    @property
    def over(self) -> bool:
        """Whether to end early."""
        late = self.until is not None and time.monotonic() >= self.until
        return late or self.resources.stopping.is_set()

    def gently(self, transaction: Callable[[], _T]) -> _T:
        """Run a transaction, and then pause for as long as it took: the write lock is free half of the time."""
        began = time.monotonic()
        done = transaction()
        self.resources.stopping.wait(min(_LONGEST_PAUSE, time.monotonic() - began))
        return done


def _one_by_one(remove: Callable[[Resources, Item], str]) -> Callable[[_Pruning, Sequence[Item]], Iterator[Result]]:
    """A remover of several items from one that removes one, and returns why it did not."""

    def remove_each(pruning: _Pruning, items: Sequence[Item]) -> Iterator[Result]:
        for item in items:
            yield Result(item, _attempt(remove, pruning.resources, item))

    return remove_each


def _attempt(remove: Callable[[Resources, Item], str], resources: Resources, item: Item) -> str:
    try:
        return remove(resources, item)
    except ApplianceError as error:
        return error.message


def _workspace(resources: Resources, item: Item) -> str:
    run_id = item.run_id or ""
    end = resources.store.retention.ends([run_id]).get(run_id)
    if end is not None and end.ended_at is None:
        return _QUEUED_AGAIN
    return _volumes(resources, item)


def _cache(resources: Resources, item: Item) -> str:
    # A run that was claimed since has the volume, or is about to mount it.
    if resources.store.retention.last_run(item.repository or "").in_progress:
        return "a run uses it"
    return _volumes(resources, item)


def _volumes(resources: Resources, item: Item) -> str:
    for name in item.names:
        resources.engine.remove_volume(name)
    return ""


def _leftovers(resources: Resources, item: Item) -> str:
    if item.shard is not None:
        login_leftovers(resources, item.shard, remove=True)
    return ""


def _image(resources: Resources, item: Item) -> str:
    for name in item.names:
        resources.engine.remove_image(name)
    return ""


def _files(resources: Resources, item: Item) -> str:
    resources.files.remove_run(item.run_id or "")
    return ""


def _files_first(resources: Resources, item: Item) -> str:
    """On a full disk the deletion of the records needs the space of the files. Other writes wait meanwhile."""
    run_id = item.run_id or ""
    closed = resources.store.retention.remove_artifacts([run_id], before_commit=resources.files.remove_run)
    return "" if run_id in closed else _QUEUED_AGAIN


def _artifacts(pruning: _Pruning, items: Sequence[Item]) -> Iterator[Result]:
    resources = pruning.resources
    for batch in _batches(items, _RUNS_AT_ONCE):
        try:
            # The records first: a run that is queued again from now on has none of these files.
            closed = pruning.gently(partial(resources.store.retention.remove_artifacts, _ids(batch)))
        except ApplianceError:
            # If the reason is another program's lock, each of them waits for it.
            with resources.store.database.short_wait():
                results = [Result(item, _attempt(_files_first, resources, item)) for item in batch]
            yield from results
            continue
        for item in batch:
            kept = item.run_id not in closed
            yield Result(item, _QUEUED_AGAIN if kept else _attempt(_files, resources, item))


def _texts(pruning: _Pruning, items: Sequence[Item]) -> Iterator[Result]:
    resources = pruning.resources
    for batch in _batches(items, _TEXTS_AT_ONCE):
        before = texts_before(resources, resources.clock())
        if before is None:
            return
        try:
            removed = pruning.gently(partial(resources.store.retention.remove_texts, _ids(batch), before))
        except ApplianceError as error:
            yield from (Result(item, error.message) for item in batch)
            continue
        yield from (Result(item, "" if item.run_id in removed else _QUEUED_AGAIN) for item in batch)


def _events(pruning: _Pruning, items: Sequence[Item]) -> Iterator[Result]:
    retention = pruning.resources.store.retention
    before = events_before(pruning.resources, pruning.resources.clock())
    for item in items:
        count, after = 1, 0
        try:
            while count and not pruning.over:
                count, after = pruning.gently(partial(retention.remove_events, before, after=after))
        except ApplianceError as error:
            yield Result(item, error.message)
            continue
        yield Result(item, "stopped early; the rest goes later" if count else "")


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _ids(items: Sequence[Item]) -> list[str]:
    return [item.run_id for item in items if item.run_id]


_REMOVE: dict[Kind, Callable[[_Pruning, Sequence[Item]], Iterator[Result]]] = {
    Kind.WORKSPACE: _one_by_one(_workspace),
    Kind.REPOSITORY_CACHE: _one_by_one(_cache),
    Kind.ARTIFACTS: _artifacts,
    Kind.SPECIFICATION: _texts,
    Kind.EVENTS: _events,
    Kind.LOGIN_LEFTOVERS: _one_by_one(_leftovers),
    Kind.SIGN_IN: _one_by_one(_volumes),
    Kind.IMAGE: _one_by_one(_image),
}
