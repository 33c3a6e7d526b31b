"""Ensures that one process serves a data folder: an exclusive lock on a file in it, which ends with the process."""

import fcntl
import os
from pathlib import Path

from moonmind_appliance.errors import DataFolderInUse, StoreError


class DataFolderLock:
    """The lock on `<data>/serve.lock`. The file remains; the kernel releases the lock when the process ends."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "serve.lock"
        self._file: int | None = None

    def acquire(self) -> None:
        """Acquire the lock without waiting. Idempotent.

        Raises:
            DataFolderInUse: another process has it; the message says which.
            StoreError: the file cannot be created or written.
        """
        if self._file is not None:
            return
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"The lock file {self._path} cannot be created: {error.strerror}.",
                hint="Check that the data folder exists and that this user can write to it.",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(file)
            raise DataFolderInUse(
                f"The data folder {self._path.parent} is already in use by another process (pid {holder}).",
                hint="Stop that process, or set another MOONMIND_DATA_DIR.",
            ) from None
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(file)
            raise StoreError(
                f"The lock file {self._path} cannot be written: {error.strerror}.",
                hint="Free space on the data folder's disk, and check that it is mounted writable.",
            ) from error
        self._file = file

    def release(self) -> None:
        """Release the lock. Idempotent; no effect if it is not acquired."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
