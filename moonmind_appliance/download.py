"""Save an artifact's bytes into a folder that other users may be able to write to.

Root may download into `/tmp` or into a checkout, where another user could create links at any predictable name. So the
bytes go into a new file with a random name, relative to the folder's descriptor. One rename then moves it to its name:
the rename replaces a link, and never follows it.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_NAME = 255


class BadName(ValueError):
    """Not a valid name of a file in the folder."""


class Incomplete(Exception):
    """The bytes do not match the checksum."""


class DownloadFolder:
    """A folder to save files in, created if it is missing; a context manager that closes its descriptor.

    Raises:
        OSError: the folder cannot be made or opened, or it is a link that belongs to another user.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        if not path.is_symlink():
            flags |= os.O_NOFOLLOW
        elif path.lstat().st_uid not in {0, os.geteuid()}:
            raise PermissionError(errno.EPERM, "it is a symbolic link owned by another user", str(path))
        self._folder = os.open(path, flags)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder. Idempotent."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def save(self, name: str, chunks: Iterable[bytes], *, sha256: str = "") -> Path:
        """Save a file atomically; replaces an existing file or link of that name.

        Args:
            name: the file's name in the folder.
            chunks: its bytes, in order.
            sha256: the expected checksum in hexadecimal; "" if unknown, as for a log that is still growing.

        Returns:
            the file's path, below the folder's path as given.

        Raises:
            BadName: the name is hidden, contains a path, or is not a safe file name.
            Incomplete: the checksum differs; no file is left.
            OSError: the write failed, or a folder has the name; no file is left.
        """
        if name != Path(name).name or name.startswith(".") or not 0 < len(os.fsencode(name)) <= _LONGEST_NAME:
            raise BadName(name)
        part = f".moonmind-{secrets.token_hex(16)}.part"
        file = os.open(part, _NEW_FILE, 0o666, dir_fd=self._folder)
        try:
            digest = hashlib.sha256()
            with os.fdopen(file, "wb") as target:
                for chunk in chunks:
                    digest.update(chunk)
                    target.write(chunk)
            if sha256 and sha256 != digest.hexdigest():
                raise Incomplete(name)  # noqa: TRY301 - what follows every failure is the same
            os.rename(part, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(part, dir_fd=self._folder)
            raise
        return self.path / name
