"""Archives for people to keep: gzipped tar files, written completely or not at all, and checked while they are read.

An archive that is read may come from anywhere. It may contain regular files only, under names that the caller accepts.
"""

import errno
import fcntl
import gzip
import hashlib
import io
import os
import secrets
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from moonmind_appliance.errors import StoreError

_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PREFIX, _SUFFIX = ".moonmind-", ".part"
# Higher levels take several times as long for some percent less.
_COMPRESSION = 3
_CHUNK = 1024 * 1024


@contextmanager
def work_folder(parent: Path) -> Iterator[Path]:
    """A new private folder in `parent`, removed with its content at the end.

    Its name is `.moonmind-….part`. Folders that killed processes left in `parent` are removed, too.

    Raises:
        StoreError: it cannot be created.
    """
    try:
        _remove_abandoned(parent)
        folder = parent / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        folder.mkdir(mode=0o700)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise refused(parent, error) from error
    try:
        # Another process removes the folder only when this process has ended.
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def private_file(path: Path, work: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """A new file, readable only by its owner. It gets its name when the block has ended without an error.

    Args:
        path: its name. Until the end nothing has it, then the complete file has it.
        work: a folder on the same disk, for the incomplete file.
        replace: whether to replace an existing regular file of that name.

    Raises:
        StoreError: the file exists, or cannot be written.
    """
    part = work / f"{secrets.token_hex(8)}.new"
    refuse_existing(path, replace=replace)
    try:
        with os.fdopen(os.open(part, _NEW_FILE, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        refuse_existing(path, replace=replace)
        part.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise refused(path, error) from error


def refuse_existing(path: Path, *, replace: bool) -> None:
    """Raise StoreError if something has that name, unless it is a regular file that may be replaced."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused(path, error) from error
    # To replace /dev/null or /dev/stdout would damage the machine.
    if not stat.S_ISREG(mode):
        raise StoreError(
            f"{path} already exists, and is not a regular file.", hint="Choose another name; - writes to stdout."
        )
    if not replace:
        raise StoreError(
            f"{path} already exists.", hint="Choose another name, or add --force to replace the existing file."
        )


def refused(path: Path, error: OSError) -> StoreError:
    """The operating system's refusal in the operator's terms."""
    if error.errno in _NO_ROOM:
        return StoreError(
            f"{path} cannot be written: no space left on the disk.", hint="Free space there, or choose another disk."
        )
    return StoreError(
        f"{path} cannot be used: {error.strerror or error}.", hint="Check the path and this user's permissions."
    )


class Readable(Protocol):
    """A file that is open for reading."""

    def read(self, length: int = -1, /) -> bytes:
        """At most that many bytes; b"" at the end."""


class Written(NamedTuple):
    """A file in an archive."""

    name: str
    size_bytes: int
    sha256: str


class ArchiveWriter:
    """Writes files into a gzipped tar file, one after the other; the sink need not be seekable. Not thread-safe."""

    def __init__(self, sink: IO[bytes], *, at: float) -> None:
        self._at = at
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=sink, mtime=at)
        self._tar = tarfile.open(fileobj=self._gzip, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - `close`

    def add(self, name: str, content: Readable | bytes, *, size: int | None = None) -> Written:
        """Add a file: the bytes, or the first `size` bytes of an open file.

        Raises:
            OSError: the sink or the file failed, or the file is shorter.
        """
        reader = _Hashing(io.BytesIO(content) if isinstance(content, bytes) else content)
        entry = tarfile.TarInfo(name)
        entry.size = len(content) if isinstance(content, bytes) else size or 0
        entry.mode, entry.mtime = 0o600, int(self._at)
        self._tar.addfile(entry, reader)
        # The list of what was written would grow with the archive; it is for those that are also read.
        self._tar.members.clear()  # type: ignore[attr-defined] # not in typeshed
        return Written(name, entry.size, reader.sha256.hexdigest())

    def close(self) -> None:
        """Complete the archive; the sink stays open."""
        self._tar.close()
        self._gzip.close()


class Member(NamedTuple):
    """A regular file in an archive that is being read; its content must be read before the next member."""

    name: str
    size_bytes: int
    content: IO[bytes]

    def save(self, path: Path) -> Written:
        """Write the content to a new private file.

        Raises:
            StoreError: the file cannot be written, or the archive is damaged.
        """
        digest = hashlib.sha256()
        try:
            file = os.open(path, _NEW_FILE, 0o600)
        except OSError as error:
            raise refused(path, error) from error
        with os.fdopen(file, "wb") as target:
            while chunk := self.read(_CHUNK):
                digest.update(chunk)
                try:
                    target.write(chunk)
                except OSError as error:
                    raise refused(path, error) from error
        return Written(self.name, self.size_bytes, digest.hexdigest())

    def read(self, most: int) -> bytes:
        """The next bytes, b"" at the end.

        Raises:
            StoreError: the archive is damaged.
        """
        with _damage_reported():
            return self.content.read(most)


def members(source: IO[bytes]) -> Iterator[Member]:
    """The files of an archive, in order. The source need not be seekable.

    Raises:
        StoreError: it is no archive, incomplete or damaged, or contains anything but regular files.
    """
    with gzip.GzipFile(fileobj=source, mode="rb") as unpacked, _damage_reported():
        tar: tarfile.TarFile = tarfile.open(fileobj=_Bounded(unpacked), mode="r:")  # type: ignore[call-overload] # noqa: SIM115 - reads only
        while (entry := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined] # not in typeshed
            if not entry.isreg() or entry.issparse() or entry.size < 0:
                raise StoreError(
                    f"The archive contains {entry.name[:200]!r}, which is not a regular file.",
                    hint="Nothing was restored. Archives of the appliance contain regular files only.",
                )
            content = tar.extractfile(entry)
            if content is not None:
                yield Member(entry.name, entry.size, content)
        # Read to the end, where gzip has a checksum.
        if len(unpacked.read(_CHUNK)) == _CHUNK:
            raise tarfile.ReadError("it continues after its end")


@contextmanager
def _damage_reported() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError, ValueError) as error:
        raise StoreError(
            f"The archive is not complete, damaged, or not an archive of the appliance ({error}).",
            hint="Nothing was restored. Use another copy of it.",
        ) from error


class _Bounded:
    """Unpacked bytes, read forward and in limited pieces: tarfile reads a header at once, of any size."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _CHUNK:
            raise tarfile.ReadError("a header is too large")
        return self._file.read(size)

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int) -> int:
        # A header with a negative size would lead back to itself.
        if position < self._file.tell():
            raise tarfile.ReadError("a header leads back")
        return self._file.seek(position)


class _Hashing:
    """A file that is read, and the hash of what was read."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
            finally:
                os.close(lock)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
