"""A small disk that can be filled to its last byte: a tmpfs on a folder. Needs root, to mount it."""

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

FILLER = "filler"
"""The file that takes the space."""
_CHUNK = b"\0" * 4096


class NeedsRoot(RuntimeError):
    """The disk cannot be mounted."""


class SmallDisk:
    """A context manager: mounts a disk of `mib` MiB on the folder, and unmounts it at the end."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder, self._mib = folder, mib

    def __enter__(self) -> Self:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = f"size={self._mib}m,mode=0700"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NeedsRoot(f"The small disk cannot be mounted; this needs root. {done.stderr.strip()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Lazily: a process of the appliance may still end.
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> None:
        """Take the space that is left. May be called again, for what was freed meanwhile."""
        fill(self.folder)

    def free(self) -> None:
        """Give the space back."""
        (self.folder / FILLER).unlink(missing_ok=True)

    @property
    def free_bytes(self) -> int:
        """The bytes that are left."""
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize


def fill(folder: Path) -> None:
    """Fill the disk of this folder to its last byte, from any process."""
    file = os.open(folder / FILLER, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        disk = os.statvfs(folder)
        try:
            if disk.f_bavail:
                os.posix_fallocate(file, os.fstat(file).st_size, disk.f_bavail * disk.f_frsize)
        except OSError:
            # Another process took a part of it: what is left follows in small pieces.
            pass
        os.lseek(file, 0, os.SEEK_END)
        while True:
            os.write(file, _CHUNK)
    except OSError:
        # No space is left.
        pass
    finally:
        os.close(file)
