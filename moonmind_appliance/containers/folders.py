"""An engine that keeps some volumes as folders of one Docker volume, which an operator can then remove as a whole.

In Compose that volume is declared, so `docker compose down --volumes` removes it. Compose removes no volume that its
file does not declare, whatever its labels. A container gets its own folder only, never the volume, so runs are isolated
from each other as with one volume each. The engine's own way to do this, `VolumeOptions.Subpath`, needs Docker 26.
"""

import errno
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import msgspec

from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.errors import DiskFull, EngineError
from moonmind_appliance.models import ContainerSpec, VolumeState
from moonmind_appliance.untrusted_json import decode

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# User 1000 of the containers writes to a run's folder. The folder above it is closed to all users but root.
_FOR_CONTAINERS = 0o777
_REMOVED_WITHIN = 600
"""Seconds to remove one folder."""


class FolderEngine(DockerEngine):
    """A `DockerEngine` whose volumes with one of the labels `kept_as_folders` are folders.

    Args:
        docker_host: as for `DockerEngine`.
        volume: the Docker volume that contains the folders.
        folder: where this process has that volume mounted; only it and root can read there.
        kept_as_folders: the labels.
    """

    def __init__(self, docker_host: str | None, *, volume: str, folder: Path, kept_as_folders: Collection[str]) -> None:
        super().__init__(docker_host)
        self._volume = volume
        self._folder = folder
        self._labels = frozenset(kept_as_folders)

    def data_folder(self) -> Path | None:
        """Where this process has the volume mounted: a folder on the engine's disk."""
        return self._folder if self._folder.is_dir() else None

    def ensure_volume(self, name: str, labels: dict[str, str]) -> bool:
        """Create the folder, unless it or a volume of that name exists; True if this call created it."""
        if self._labels.isdisjoint(labels) or not _NAME.fullmatch(name) or super().has_volume(name):
            return super().ensure_volume(name, labels)
        written = self._folder / f".{secrets.token_hex(8)}"
        try:
            if (self._folder / name).is_dir():
                # Again: the process may have been killed before it did so.
                (self._folder / name).chmod(_FOR_CONTAINERS)
                return False
            # The labels first: a folder without them would never be listed, and so never removed. By rename, so that a
            # reader never sees a part of them.
            with written.open("xb") as file:
                file.write(msgspec.json.encode(labels))
                file.flush()
                os.fsync(file.fileno())
            written.rename(self._labels_file(name))
            (self._folder / name).mkdir()
            (self._folder / name).chmod(_FOR_CONTAINERS)
        except FileExistsError:
            return False
        except OSError as error:
            raise _failed(self._folder / name, error) from error
        finally:
            with suppress(OSError):
                written.unlink()
        return True

    def volumes(self, labels: dict[str, str]) -> list[VolumeState]:
        """Volumes and folders that carry all these labels, by name."""
        found = super().volumes(labels)
        for file in self._folder.glob("*.json"):
            try:
                created_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                state = VolumeState(file.stem, decode(file.read_bytes(), dict[str, str]), created_at)
            except (OSError, msgspec.MsgspecError):  # removed meanwhile, or damaged: the others must be found
                continue
            if labels.items() <= state.labels.items():
                found.append(state)
        return sorted(found, key=lambda volume: volume.name)

    def remove_volume(self, name: str) -> bool:
        """Remove the folder or volume; False if there was none. Raises EngineError while a container uses it."""
        if not _NAME.fullmatch(name) or not self._labels_file(name).exists():
            return super().remove_volume(name)
        path = self._folder / name
        if path.is_dir() and (users := self.users_of_mount(self._source(name))):
            raise EngineError(f"The workspace {name} is in use by {', '.join(users)}.")
        # Not `shutil.rmtree`: an agent can nest folders deeper than Python's recursion limit.
        command = [shutil.which("rm") or "/bin/rm", "-rf", "--one-file-system", "--", str(path)]
        try:
            done = subprocess.run(  # noqa: S603 - a fixed command, and a path of checked names
                command, capture_output=True, text=True, errors="replace", timeout=_REMOVED_WITHIN, check=False
            )
            if done.returncode:
                raise EngineError(f"The folder {path} cannot be removed: {done.stderr.partition(os.linesep)[0]}")
            self._labels_file(name).unlink(missing_ok=True)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _failed(path, error) from error
        return True

    def start(self, spec: ContainerSpec, *, run: bool = True) -> str:
        """Create and start a container; its mounts of folders become bind mounts. See `ContainerEngine.start`."""
        mounts = [
            msgspec.structs.replace(mount, volume=self._source(mount.volume))
            if _NAME.fullmatch(mount.volume) and (self._folder / mount.volume).is_dir()
            else mount
            for mount in spec.mounts
        ]
        return super().start(msgspec.structs.replace(spec, mounts=mounts), run=run)

    def _labels_file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _source(self, name: str) -> str:
        return f"{self._mountpoint}/{name}"

    @cached_property
    def _mountpoint(self) -> str:
        """Where the engine has the volume on its own machine."""
        found = self.mountpoint(self._volume)
        if found is None:
            raise EngineError(
                f"The Docker volume {self._volume} does not exist.",
                hint=f"Set WORKSPACES_VOLUME to the volume that is mounted at {self._folder}.",
            )
        return found


def _failed(path: Path, error: Exception) -> EngineError:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return DiskFull(
            f"The disk of {path} is full.", hint="Free space on the disk of the Docker engine's data folder."
        )
    return EngineError(f"The workspace folder {path} cannot be changed: {error}")
