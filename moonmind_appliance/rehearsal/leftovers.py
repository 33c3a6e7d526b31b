"""Removes the containers, volumes, network and folder of a rehearsal: at its end, or in the next one after a kill."""

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import DataFolderInUse, EngineError, StoreError
from moonmind_appliance.models import LABEL_APPLIANCE
from moonmind_appliance.store import DataFolderLock

KEPT = "kept"
_FOLDER = re.compile(r"moonmind-rehearsal-([0-9a-f]{8})-\w+")


def network_name(environment_id: str) -> str:
    """The job containers' network of that environment."""
    return f"moonmind-rehearsal-{environment_id}"


def volume_prefix(environment_id: str) -> str:
    """The prefix of the names of that environment's login volumes."""
    return f"moonmind_rehearsal_{environment_id}_"


def make_environment_folder(environment_id: str) -> tuple[Path, DataFolderLock]:
    """A new temporary folder and its lock; a locked folder belongs to a running rehearsal."""
    # Lock it before it gets the name that others search for.
    hidden = Path(tempfile.mkdtemp(prefix=f".moonmind-rehearsal-{environment_id}-"))
    lock = DataFolderLock(hidden)
    lock.acquire()
    return hidden.rename(hidden.with_name(hidden.name[1:])), lock


def remove_environment(engine: ContainerEngine, environment_id: str) -> None:
    """Containers, volumes and the network of that environment. Idempotent; objects that cannot be removed are left."""
    with suppress(EngineError):
        prefix = volume_prefix(environment_id)
        volumes = [volume for volume in engine.volumes({}) if volume.name.startswith(prefix)]
        for appliance_id in {volume.labels.get(LABEL_APPLIANCE) for volume in volumes} - {None}:
            label = {LABEL_APPLIANCE: str(appliance_id)}
            for container in engine.containers(label):
                engine.remove(container.container_id)
            for volume in engine.volumes(label):
                engine.remove_volume(volume.name)
    with suppress(EngineError):
        engine.remove_network(network_name(environment_id))


def remove_abandoned_environments(engine: ContainerEngine) -> list[str]:
    """Remove what this user's killed rehearsals left; returns their ids. Running and kept rehearsals stay."""
    removed = []
    for folder in Path(tempfile.gettempdir()).glob("moonmind-rehearsal-*"):
        match = _FOLDER.fullmatch(folder.name)
        if not match or not _may_be_removed(folder):
            continue
        lock = DataFolderLock(folder)
        try:
            lock.acquire()
        except (DataFolderInUse, StoreError):
            continue
        try:
            remove_environment(engine, match[1])
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()
        removed.append(match[1])
    return removed


def _may_be_removed(folder: Path) -> bool:
    """Whether it is this user's and not to be kept; False if another rehearsal has just removed it."""
    try:
        owner = folder.lstat().st_uid
    except FileNotFoundError:
        return False
    return owner == os.getuid() and not folder.is_symlink() and not (folder / KEPT).exists()
