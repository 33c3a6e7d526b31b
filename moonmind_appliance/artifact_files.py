"""Artifact files on disk: a run's redacted files under `<data>/runs/<run_id>/artifacts/`.

Folders have mode 0700, files 0600. A `Written` has the size and SHA-256 of the redacted bytes on disk.
"""

import contextlib
import errno
import hashlib
import logging
import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from moonmind_appliance.errors import FileUnusable, NotFound, StoreError

if TYPE_CHECKING:
    # Its import prepares the patterns, which commands that only read do not need.
    from moonmind_appliance.redaction import Redactor

# One path component that is not a dot file and is valid on every file system.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_RUN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# A storage path, with the run's id and the artifact's name.
ARTIFACT_PATH = re.compile(rf"runs/({_RUN_ID.pattern})/artifacts/({_NAME.pattern})")
_BLOCK = 512
"""Bytes of a unit of `st_blocks`."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_log = logging.getLogger(__name__)


class Written(NamedTuple):
    """A stored file. `storage_path` is relative to the data folder."""

    storage_path: str
    size_bytes: int
    sha256: str


class ArtifactFiles:
    """The artifacts' files. Thread-safe for different names."""

    def __init__(self, data_dir: Path) -> None:
        self._data = data_dir
        self._runs = data_dir / "runs"

    def open(
        self,
        run_id: str,
        name: str,
        redactor: "Redactor",
        *,
        most_bytes: int | None = None,
        shared: "SharedLimit | None" = None,
    ) -> "ArtifactWriter":
        """Create a file that can be read while it grows. Replaces a file of that name; its readers keep the old bytes.

        After `most_bytes`, or when `shared` is used up, a last line says that the rest is not stored; None: no limit.

        Raises:
            StoreError: the name cannot be used, or the file cannot be written.
        """
        folder = self._folder(run_id, name)
        path = folder / name
        try:
            path.unlink(missing_ok=True)
            file = os.open(path, _NEW_FILE, 0o600)
        except OSError as error:
            raise _refused(path, error) from error
        storage_path = _storage_path(run_id, name)
        return ArtifactWriter(file, path, storage_path, redactor, most_bytes=most_bytes, shared=shared)

    def write(self, run_id: str, name: str, content: bytes, redactor: "Redactor") -> Written:
        """Write a whole file atomically.

        Raises:
            StoreError: the name cannot be used, or the file cannot be written.
        """
        folder = self._folder(run_id, name)
        path = folder / name
        part = folder / f".{secrets.token_hex(8)}.part"
        data = redactor.redact(content)
        try:
            file = os.open(part, _NEW_FILE, 0o600)
            try:
                _write_all(file, data)
                os.fsync(file)
            finally:
                os.close(file)
            part.replace(path)
            _sync_folder(folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise _refused(path, error) from error
        return Written(_storage_path(run_id, name), len(data), hashlib.sha256(data).hexdigest())

    def read(self, run_id: str, name: str) -> bytes | None:
        """The content of an artifact; None if there is none, or it cannot be read."""
        try:
            return self.path(_storage_path(run_id, name)).read_bytes()
        except (OSError, StoreError, NotFound):
            return None

    def path(self, storage_path: str) -> Path:
        """The file of that storage path.

        Raises:
            NotFound: the path leads out of the data folder's `runs`, or the file does not exist.
            FileUnusable: it is something else than a file, or its folder cannot be read.
        """
        try:
            path = (self._data / storage_path).resolve(strict=True)
            if self._runs.resolve() in path.parents:
                if not stat.S_ISREG(path.stat().st_mode):
                    raise FileUnusable(f"{path} is not a regular file.")
                return path
        except (ValueError, RuntimeError):
            pass
        except OSError as error:
            if error.errno not in _ABSENT:
                raise _refused(self._data / storage_path, error) from error
        raise NotFound(
            "The artifact's file does not exist: its retention time ended, or another program removed it.",
            code="artifact_gone",
        )

    def measure(self, storage_path: str) -> Written | None:
        """The file's size and SHA-256 as they are on disk; None if there is no such file.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            with self.path(storage_path).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
                return Written(storage_path, file.tell(), digest.hexdigest())
        except NotFound:
            return None
        except OSError as error:
            raise _refused(self._data / storage_path, error) from error

    def remove_all_but(self, run_id: str, names: Collection[str]) -> list[str]:
        """Remove a run's files that have none of these names, such as one cut off before its row was saved. Idempotent.

        Returns:
            the names of the removed files.

        Raises:
            StoreError: the id cannot be used, or a file cannot be removed.
        """
        _check(run_id, "run id")
        folder = self._runs / run_id / "artifacts"
        try:
            left = sorted(entry.name for entry in os.scandir(folder) if entry.name not in names)
            for name in left:
                (folder / name).unlink()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _refused(folder, error) from error
        return left

    def run_ids(self) -> list[str]:
        """The ids of the runs with files on disk; folders whose name is not a run id are ignored.

        Raises:
            StoreError: the folder cannot be read.
        """
        try:
            return sorted(entry.name for entry in os.scandir(self._runs) if _RUN_ID.fullmatch(entry.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _refused(self._runs, error) from error

    def used(self, run_id: str) -> int:
        """The disk use of a run's files, in bytes; 0 if it has none."""
        folder = self._runs / run_id / "artifacts"
        try:
            with os.scandir(folder) as entries:
                return sum(entry.stat(follow_symlinks=False).st_blocks * _BLOCK for entry in entries)
        except OSError:
            return 0

    def remove_run(self, run_id: str) -> None:
        """Remove all files of a run. Idempotent.

        Raises:
            StoreError: the id cannot be used, or a file cannot be removed.
        """
        _check(run_id, "run id")
        folder = self._runs / run_id
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _refused(folder, error) from error

    def _folder(self, run_id: str, name: str) -> Path:
        _check(run_id, "run id")
        _check(name, "artifact name")
        folder = self._runs / run_id / "artifacts"
        try:
            # One by one: `parents=True` would create the upper folders with the default mode.
            for part in (self._runs, self._runs / run_id, folder):
                part.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _refused(folder, error) from error
        return folder


class SharedLimit:
    """The bytes that several files may have together. Thread-safe."""

    def __init__(self, most: int, used: int = 0) -> None:
        self.most = most
        self._left = max(0, most - used)
        self._lock = threading.Lock()

    def take(self, wanted: int) -> int:
        """Use up to `wanted` bytes; returns how many of them are granted."""
        with self._lock:
            granted = min(wanted, self._left)
            self._left -= granted
            return granted


class ArtifactWriter:
    """A growing file: complete lines are redacted and written as they arrive. For one thread at a time."""

    def __init__(
        self,
        file: int,
        path: Path,
        storage_path: str,
        redactor: "Redactor",
        *,
        most_bytes: int | None = None,
        shared: SharedLimit | None = None,
    ) -> None:
        self.storage_path = storage_path
        self._disk = _GrowingFile(file, path)
        self._limited = _LimitedFile(self._disk, most_bytes, shared)
        self._redacting = redactor.stream(self._limited)
        self._closed = False

    def write(self, data: bytes, /) -> None:
        """Write bytes, in chunks of any size. Bytes beyond a limit are discarded without being examined.

        Raises:
            StoreError: a write failed, now or before, or the writer is closed.
        """
        if self._closed:
            raise StoreError(f"The artifact {self.storage_path} is closed.")
        if not self._limited.full:
            self._redacting.write(data)

    def close(self) -> Written:
        """Write the buffered rest and close the file. Idempotent.

        Raises:
            StoreError: a write failed, now or before; the file is closed nevertheless, with the bytes written so far.
        """
        if not self._closed:
            self._closed = True
            try:
                self._redacting.flush()
            finally:
                self._disk.close()
        return Written(self.storage_path, self._disk.size, self._disk.sha256.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except StoreError as second:
            _log.warning("%s", second)


class _LimitedFile:
    """Passes bytes on until a limit is reached, then adds a line that names it, and discards the rest.

    It receives redacted bytes, so a cut never leaves the first part of a secret. It never cuts within a character.
    """

    def __init__(self, file: "_GrowingFile", most: int | None, shared: SharedLimit | None) -> None:
        self.full = False
        self._file = file
        self._most = most
        self._shared = shared
        self._left = most

    def write(self, data: bytes, /) -> None:
        if self.full:
            return
        own = len(data) if self._left is None else min(len(data), self._left)
        granted = own if self._shared is None else self._shared.take(own)
        if granted == len(data):
            self._file.write(data)
            self._left = None if self._left is None else self._left - granted
            return
        self.full = True
        while granted and data[granted] & 0xC0 == 0x80:  # noqa: PLR2004 - a byte within a character of UTF-8
            granted -= 1
        if self._shared is not None and granted < own:
            why = f"the run's logs have more than {self._shared.most} bytes (MAX_RUN_LOG_BYTES)"
        else:
            why = f"the log has more than {self._most} bytes (MAX_LOG_BYTES)"
        self._file.write(data[:granted] + f"\n[moonmind: cut here, as {why}]\n".encode())


class _GrowingFile:
    """Counts and hashes the bytes that were actually written. After the first failed write it refuses all others."""

    def __init__(self, file: int, path: Path) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self._file = file
        self._path = path
        self._failure: StoreError | None = None

    def write(self, data: bytes, /) -> None:
        if self._failure is not None:
            raise self._failure
        view = memoryview(data)
        try:
            while view:
                done = os.write(self._file, view)
                self.sha256.update(view[:done])
                self.size += done
                view = view[done:]
        except OSError as error:
            self._failure = _refused(self._path, error)
            raise self._failure from error

    def close(self) -> None:
        try:
            if self._failure is None:
                os.fsync(self._file)
        except OSError as error:
            raise _refused(self._path, error) from error
        finally:
            os.close(self._file)


def _storage_path(run_id: str, name: str) -> str:
    return f"runs/{run_id}/artifacts/{name}"


def _check(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"The {what} {name[:60]!r} cannot be used as a file name.",
            hint="Use up to 200 letters, digits, dots, dashes and underscores; start with a letter or digit.",
        )


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _refused(path: Path, error: OSError) -> FileUnusable:
    if error.errno in _NO_ROOM:
        return FileUnusable(
            f"{path} cannot be written: no space left on the disk.",
            hint="Free space on the disk of the data folder.",
            temporary=True,
        )
    return FileUnusable(
        f"{path} cannot be used: {error.strerror or error}.",
        hint="Check the disk and that this user owns the data folder.",
        temporary=True,
    )
