"""Removes what a stage creates on the engine and on disk: at its end, or in the next rehearsal if it was killed."""

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import DataFolderInUse, EngineError, StoreError
from moonmind_appliance.store import DataFolderLock

KEPT = "kept"
_FOLDER = re.compile(r"moonmind-rehearsal-([0-9a-f]{8})-\w+")


def stage_network(stage_id: str) -> str:
    """The job containers' network of that stage."""
    return f"moonmind-rehearsal-{stage_id}"


def stage_volume_prefix(stage_id: str) -> str:
    """The prefix of the names of that stage's login volumes."""
    return f"moonmind_rehearsal_{stage_id}_"


def make_stage_folder(stage_id: str) -> tuple[Path, DataFolderLock]:
    """A new temporary folder, and the lock that shows that its stage is in use; `remove_dead_stages` checks both."""
    # Lock it before it gets the name that others search for.
    hidden = Path(tempfile.mkdtemp(prefix=f".moonmind-rehearsal-{stage_id}-"))
    lock = DataFolderLock(hidden)
    lock.acquire()
    return hidden.rename(hidden.with_name(hidden.name[1:])), lock


def remove_stage(engine: ContainerEngine, stage_id: str) -> None:
    """Containers, volumes and the network of that stage. Safe twice; objects that cannot be removed are left."""
    with suppress(EngineError):
        prefix = stage_volume_prefix(stage_id)
        mine = [volume for volume in engine.volumes({}) if volume.name.startswith(prefix)]
        for appliance_id in {volume.labels.get("moonmind.appliance") for volume in mine} - {None}:
            label = {"moonmind.appliance": str(appliance_id)}
            for container in engine.containers(label):
                engine.remove(container.container_id)
            for volume in engine.volumes(label):
                engine.remove_volume(volume.name)
    with suppress(EngineError):
        engine.remove_network(stage_network(stage_id))


def remove_dead_stages(engine: ContainerEngine) -> list[str]:
    """Remove what killed rehearsals of this user left; returns their ids. Keeps running ones and those of `keep`."""
    removed = []
    for folder in Path(tempfile.gettempdir()).glob("moonmind-rehearsal-*"):
        match = _FOLDER.fullmatch(folder.name)
        if not match or folder.is_symlink() or folder.stat().st_uid != os.getuid() or (folder / KEPT).exists():
            continue
        lock = DataFolderLock(folder)
        try:
            lock.acquire()
        except (DataFolderInUse, StoreError):
            continue
        try:
            remove_stage(engine, match[1])
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()
        removed.append(match[1])
    return removed
