"""The check of the free disk space: which disks are watched, and what is removed before work is refused.

Below `MIN_FREE_DISK` no run starts. Below half of it a running turn ends and its run waits (`phases/workspace_watch`).
Below a quarter of it the API accepts no run: until then runs are accepted, and wait.
"""

import logging
import os
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import ApplianceError, EngineError
from moonmind_appliance.resources import Resources
from moonmind_appliance.retention.plan import FILES, Kind, make_plan
from moonmind_appliance.retention.prune import prune
from moonmind_appliance.settings import Settings

# Time between two attempts to make room, and the longest time of one: a caller may wait for it.
_AGAIN_AFTER = 60.0
_LONGEST = 10.0

_log = logging.getLogger(__name__)


class Disk(NamedTuple):
    """A watched disk: what is on it, a folder on it, and its free bytes."""

    what: str
    folder: Path
    free: int


def least_to_accept(settings: Settings) -> int:
    """Free bytes of the data folder's disk below which no run is accepted."""
    return settings.min_free_disk // 4


def data_disk(settings: Settings) -> Disk:
    """The disk of the data folder, or of the nearest folder above it that exists."""
    folder = settings.moonmind_data_dir
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    return Disk("the data folder", nearest, shutil.disk_usage(nearest).free)


def watched_disks(settings: Settings, engine: ContainerEngine | None) -> list[Disk]:
    """The data folder's disk, and the engine's if that is another one and this process can see it.

    An engine that does not respond is left out.
    """
    disks = [data_disk(settings)]
    try:
        folder = None if engine is None else engine.data_folder()
        if folder is not None and os.stat(folder).st_dev != os.stat(disks[0].folder).st_dev:  # noqa: PTH116 - as short
            disks.append(Disk("Docker's data", folder, shutil.disk_usage(folder).free))
    except (EngineError, OSError):
        pass
    return disks


def low_disk(resources: Resources, least: int, *, with_engine: bool) -> Disk | None:
    """A disk with fewer free bytes than `least`; None if all have more.

    If one has fewer, what is past its retention time is removed first: files, workspaces and images; then, if that is
    not enough, the caches of all repositories without a run in progress. At most once a minute, for up to ten seconds.
    `with_engine` also examines the engine's disk, which may wait for the engine.
    """
    found = _lowest(resources, least, with_engine=with_engine)
    if found is None:
        return None
    # In a thread: a caller must not wait for an engine that hangs.
    enough = partial(_has_room, resources, least, with_engine=with_engine)
    removal = threading.Thread(target=_make_room, args=(resources, enough), name="make-room", daemon=True)
    removal.start()
    removal.join(_LONGEST)
    return _lowest(resources, least, with_engine=with_engine)


def _has_room(resources: Resources, least: int, *, with_engine: bool) -> bool:
    return _lowest(resources, least, with_engine=with_engine) is None


def _make_room(resources: Resources, enough: Callable[[], bool]) -> None:
    with resources.making_room.turn(_AGAIN_AFTER) as mine:
        if not mine:
            return
        try:
            for _ in prune(resources, make_plan(resources, FILES), seconds=_LONGEST):
                pass
            if not enough():
                caches = make_plan(resources, {Kind.REPOSITORY_CACHE}, all_caches=True)
                for _ in prune(resources, caches, seconds=_LONGEST):
                    pass
        except ApplianceError as error:
            _log.warning("A disk is nearly full, and what is past its retention time could not be removed: %s", error)


def _lowest(resources: Resources, least: int, *, with_engine: bool) -> Disk | None:
    disks = watched_disks(resources.settings, resources.engine if with_engine else None)
    return min((disk for disk in disks if disk.free < least), key=lambda disk: disk.free, default=None)
