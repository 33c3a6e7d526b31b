"""The plan: what is past its retention time now. The hourly job and the command `prune` remove what it lists."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from moonmind_appliance.containers.volume_lock import lock_holder
from moonmind_appliance.errors import EngineError, EngineUnreachable, FileUnusable, NameTaken
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_BUILD, LABEL_REPOSITORY, LABEL_ROLE, LABEL_RUN, LABEL_SHARD
from moonmind_appliance.resources import Resources
from moonmind_appliance.shards.leftovers import login_leftovers
from moonmind_appliance.shards.spec import SIGN_IN, STAGING
from moonmind_appliance.store.retention import RunEnd

# Events are small and explain what happened, so they are kept longer than files.
_EVENTS_AT_LEAST = timedelta(days=90)
# A build that is in progress uses untagged images.
_IMAGES_AT_LEAST = timedelta(days=1)


class Kind(StrEnum):
    """What can be past its retention time."""

    WORKSPACE = "workspace"
    REPOSITORY_CACHE = "repository_cache"
    ARTIFACTS = "artifacts"
    SPECIFICATION = "specification"
    EVENTS = "events"
    LOGIN_LEFTOVERS = "login_leftovers"
    SIGN_IN = "sign_in"
    IMAGE = "image"


EVERYTHING = frozenset(Kind)
FILES = frozenset({Kind.WORKSPACE, Kind.REPOSITORY_CACHE, Kind.ARTIFACTS, Kind.IMAGE})
"""The kinds whose removal frees disk space at once; SQLite keeps the pages of deleted rows for new ones."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is past its retention time.

    Attributes:
        kind: what it is.
        names: the volumes, the image, or the folder below the data folder; empty for rows of the database.
        run_id: the run that it belongs to, if there is one.
        shard: the shard that it belongs to, if there is one.
        repository: the repository that it belongs to, if it is a cache.
        since: when its run or its repository's last run ended, the image was created, or the oldest event happened
            (UTC); None if that is unknown.
        size_bytes: what its removal frees; None if that is unknown.
        count: the number of files, events, or 1.
    """

    kind: Kind
    names: list[str] = []
    run_id: str | None = None
    shard: int | None = None
    repository: str | None = None
    since: datetime | None = None
    size_bytes: int | None = None
    count: int = 1


class Plan(msgspec.Struct, frozen=True):
    """What is past its retention time, and what could not be examined."""

    items: list[Item]
    not_examined: list[str]
    engine_failed: bool = False


def make_plan(resources: Resources, kinds: Collection[Kind] = EVERYTHING, *, all_caches: bool = False) -> Plan:
    """List what is past its retention time; removes nothing.

    Lists existing volumes and folders, not rows. So it also finds those of a run that has no row any more (a restored
    database) or that ended without an expiry of its artifacts (cancelled in the queue).

    With `all_caches`, the caches of all repositories without a run in progress are past their time.

    To measure login leftovers, a container mounts the volume of each shard that no run uses, for about a second.
    """
    now, items, problems = resources.clock(), list[Item](), list[str]()
    engine_failed = False
    expired = set(resources.store.artifacts.runs_expired(now))
    if Kind.ARTIFACTS in kinds:
        try:
            items += _artifacts(resources, expired, now)
        except FileUnusable as error:
            problems.append(f"artifacts: {error}")
    in_engine: dict[Kind, Callable[[], list[Item]]] = {
        Kind.WORKSPACE: lambda: _workspaces(resources, expired, now),
        Kind.REPOSITORY_CACHE: lambda: _caches(resources, now, every=all_caches),
        Kind.LOGIN_LEFTOVERS: lambda: _login_leftovers(resources, problems),
        Kind.SIGN_IN: lambda: _sign_ins(resources),
        Kind.IMAGE: lambda: _images(resources, now),
    }
    for kind, examine in in_engine.items():
        if kind not in kinds or engine_failed:
            continue
        try:
            items += examine()
        except EngineError as error:
            engine_failed = isinstance(error, EngineUnreachable)
            problems.append(f"{kind.replace('_', ' ')}: {error}")
    if Kind.SPECIFICATION in kinds and (before := texts_before(resources, now)) is not None:
        items += [
            Item(kind=Kind.SPECIFICATION, run_id=old.run_id, since=old.ended_at, size_bytes=old.size_bytes)
            for old in resources.store.retention.old_texts(before)
        ]
    if Kind.EVENTS in kinds:
        events = resources.store.retention.old_events(events_before(resources, now))
        if events.number:
            items.append(Item(kind=Kind.EVENTS, since=events.oldest, size_bytes=events.size_bytes, count=events.number))
    return Plan(items, problems, engine_failed)


def events_before(resources: Resources, now: datetime) -> datetime:
    """Events before this time are past their retention time."""
    return now - max(_EVENTS_AT_LEAST, timedelta(seconds=resources.settings.artifact_retention))


def texts_before(resources: Resources, now: datetime) -> datetime | None:
    """Texts of runs that ended before this time are past their retention time; None: texts are kept."""
    kept = resources.settings.text_retention
    return None if kept is None else now - timedelta(seconds=kept)


def is_over(resources: Resources, end: RunEnd | None, now: datetime) -> bool:
    """Whether the retention time of a run's files has ended; True if there is no such run."""
    if end is None:
        return True
    kept = timedelta(seconds=resources.settings.artifact_retention)
    return end.ended_at is not None and end.ended_at < now - kept


def _over(
    resources: Resources, run_ids: Iterable[str], expired: Collection[str], now: datetime
) -> Mapping[str, RunEnd | None]:
    """The ends of those runs whose retention time has ended, by id, in the order of their ends."""
    ids = sorted(set(run_ids))
    ends = resources.store.retention.ends(ids)
    over = {
        run_id: ends.get(run_id) for run_id in ids if run_id in expired or is_over(resources, ends.get(run_id), now)
    }
    return dict(sorted(over.items(), key=lambda found: _time(found[1]) or datetime.max.replace(tzinfo=now.tzinfo)))


def _time(end: RunEnd | None) -> datetime | None:
    return None if end is None else end.ended_at


def _artifacts(resources: Resources, expired: Collection[str], now: datetime) -> list[Item]:
    over = _over(resources, [*expired, *resources.files.run_ids()], expired, now)
    return [
        Item(
            kind=Kind.ARTIFACTS,
            names=[f"runs/{run_id}"],
            run_id=run_id,
            since=_time(end),
            size_bytes=resources.files.used(run_id),
        )
        for run_id, end in over.items()
    ]


def _workspaces(resources: Resources, expired: Collection[str], now: datetime) -> list[Item]:
    volumes = defaultdict[str, list[str]](list)
    for volume in resources.engine.volumes({LABEL_APPLIANCE: resources.appliance_id}):
        if run_id := volume.labels.get(LABEL_RUN):
            volumes[run_id].append(volume.name)
    over = _over(resources, volumes, expired, now)
    sizes = resources.store.retention.workspace_bytes(list(over))
    return [
        Item(
            kind=Kind.WORKSPACE,
            names=volumes[run_id],
            run_id=run_id,
            since=_time(end),
            size_bytes=sizes.get(run_id),
            count=len(volumes[run_id]),
        )
        for run_id, end in over.items()
    ]


def _caches(resources: Resources, now: datetime, *, every: bool) -> list[Item]:
    """The caches of repositories whose last run ended long ago, or of all without a run in progress."""
    settings, items = resources.settings, list[Item]()
    every = every or not settings.repository_cache_bytes
    before = now - timedelta(seconds=settings.repository_cache_retention)
    for volume in resources.engine.volumes({LABEL_APPLIANCE: resources.appliance_id, LABEL_ROLE: "cache"}):
        repository = volume.labels.get(LABEL_REPOSITORY, "")
        last = resources.store.retention.last_run(repository)
        since = last.ended_at or volume.created_at
        over = since is None or since < before
        if not last.in_progress and (every or (over and not last.is_open)):
            items.append(Item(kind=Kind.REPOSITORY_CACHE, names=[volume.name], repository=repository, since=since))
    return sorted(items, key=lambda item: item.since or now)


def _login_leftovers(resources: Resources, problems: list[str]) -> list[Item]:
    existing = {volume.name for volume in resources.engine.volumes({})}
    items = []
    for shard in resources.shards:
        if shard.volume not in existing:
            continue
        try:
            left = login_leftovers(resources, shard.index, remove=False)
        except EngineUnreachable:
            raise
        except EngineError as error:
            why = f"it is in use by {lock_holder(error)}." if isinstance(error, NameTaken) else str(error)
            problems.append(f"login volume of shard {shard.index}: {why}")
            continue
        if left.files:
            items.append(
                Item(
                    kind=Kind.LOGIN_LEFTOVERS,
                    names=[shard.volume],
                    shard=shard.index,
                    size_bytes=left.bytes,
                    count=left.files,
                )
            )
    return items


def _sign_ins(resources: Resources) -> list[Item]:
    """The volumes of sign-ins that were killed; they can contain a login. The container of one ends by itself."""
    ours = {LABEL_APPLIANCE: resources.appliance_id}
    volumes = resources.engine.volumes(ours | {LABEL_ROLE: STAGING})
    in_progress = {each.labels.get(LABEL_SHARD) for each in resources.engine.containers(ours | {LABEL_ROLE: SIGN_IN})}
    return [
        Item(kind=Kind.SIGN_IN, names=[volume.name], shard=int(shard))
        for volume in volumes
        if (shard := volume.labels.get(LABEL_SHARD, "")).isdecimal() and shard not in in_progress
    ]


def _images(resources: Resources, now: datetime) -> list[Item]:
    return [
        Item(kind=Kind.IMAGE, names=[image.image_id], since=image.created_at, size_bytes=image.size_bytes)
        for image in resources.engine.unused_images(LABEL_BUILD)
        if image.created_at + _IMAGES_AT_LEAST < now
    ]
