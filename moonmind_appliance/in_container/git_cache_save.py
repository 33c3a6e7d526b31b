"""Writes the cache of a repository, in a process of its own, after a clone has printed its result.

A writer fills a folder `new-…` and then renames it to `current`. Whenever it is killed, `current` is complete or
missing; the next writer removes what is left. Packs that the clone took from `current` are linked, not copied.
"""

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from moonmind_appliance.in_container.git_cache import (
    CURRENT,
    LOCK,
    LONGEST_RECORD,
    RECORD,
    Cache,
    Record,
    Unusable,
    copy_pack,
    locked,
    open_folder,
    parse_record,
    read_record,
)
from moonmind_appliance.in_container.shared import open_regular, remove_entries

WRITER_LOCK = "writer.lock"
_TIME_LIMIT = 900
_SWAPPED_WITHIN = 300.0
# Written to the disk in parts, so that other programs need not wait for all of it.
_SYNC_EVERY = 32 * 1024**2


def save_in_background(cache: Cache, found: Record, private: Path) -> None:
    """Start a process that makes the cache equal to `found`, a clone's state; do not wait for it. Never raises OSError.

    A state that is too large, or has grown too much, empties the cache. The process has neither this one's output,
    which the caller waits for, nor its environment, which contains the token.
    """
    text = found.text()
    fits = found.size <= cache.most_bytes and not found.too_old and len(text) <= LONGEST_RECORD
    if (found == cache.taken) if fits else not os.path.lexists(cache.folder / CURRENT):
        return
    job = {
        "folder": str(cache.folder),
        "min_free": cache.min_free,
        "packs": str(private / "clone.git/objects/pack"),
        # A clone that did not take the packs of the cache has not checked them: one may be damaged.
        "link": cache.taken is not None,
    }
    # The program's own command again: its text is nowhere else.
    command = [sys.executable, *sys.orig_argv[1:-1], json.dumps({"save": job})]
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    nothing = subprocess.DEVNULL
    with suppress(OSError), tempfile.TemporaryFile(dir=private) as record:
        record.write(text if fits else b"")
        record.seek(0)
        subprocess.Popen(  # noqa: S603 - this program
            command, env=environment, stdin=record, stdout=nothing, stderr=nothing, cwd="/", start_new_session=True
        )


def save(job: dict[str, Any], text: bytes) -> None:
    """Replace the content of the cache.

    Args:
        job: `folder` is the volume, `packs` the folder with the clone's packs, `min_free` the disk space to leave.
            `link`: the packs that the cache has already may be linked.
        text: the new record.json; empty: the cache is emptied.

    Raises:
        Unusable: another writer works, the disk is nearly full, or a pack is damaged. The cache is as before.
        OSError: it cannot be written. The cache is as before, or empty.
    """
    folder = Path(job["folder"])
    root = open_folder(folder)
    try:
        with locked(WRITER_LOCK, root, fcntl.LOCK_EX, seconds=0):
            _remove_leftovers(folder)
            new = ""
            try:
                if text:
                    new = f"new-{secrets.token_hex(8)}"
                    os.mkdir(new, 0o700, dir_fd=root)
                    _fill(root, new, parse_record(text), text, job)
                with locked(LOCK, root, fcntl.LOCK_EX, seconds=_SWAPPED_WITHIN):
                    _swap(root, new)
            finally:
                _remove_leftovers(folder)
    finally:
        os.close(root)


def _swap(root: int, new: str) -> None:
    with suppress(FileNotFoundError):
        os.rename(CURRENT, f"old-{secrets.token_hex(8)}", src_dir_fd=root, dst_dir_fd=root)
    if new:
        os.rename(new, CURRENT, src_dir_fd=root, dst_dir_fd=root)
    os.fsync(root)


def _remove_leftovers(folder: Path) -> None:
    """Remove the folders of writers that were killed. Only under the lock of writers."""
    left = [path for path in folder.iterdir() if path.name.startswith(("new-", "old-"))]
    if left:
        remove_entries(folder, left)


def _fill(root: int, new: str, record: Record, text: bytes, job: dict[str, Any]) -> None:
    """Write the files of `record` into the folder `new`, and wait until they are on the disk."""
    target = open_folder(new, root)
    try:
        linked = _link(root, target, record) if job["link"] else set[str]()
        missing = {name: size for name, size in record.files.items() if name not in linked}
        disk = os.fstatvfs(root)
        if disk.f_bavail * disk.f_frsize - sum(missing.values()) - len(text) < job["min_free"]:
            raise Unusable("the disk is nearly full")
        for name, size in missing.items():
            source = open_regular(Path(job["packs"]) / name)
            if source is None:
                raise Unusable(f"{name} does not exist")
            with source, _create(name, target) as written:
                copy_pack(source, written, name, size)
                written.sync()
        with _create(RECORD, target) as written:
            written.write(text)
            written.sync()
        os.fsync(target)
    finally:
        os.close(target)


def _link(root: int, target: int, record: Record) -> set[str]:
    """Link the packs that `current` has already; returns their names. The clone has checked them."""
    linked = set[str]()
    try:
        current = open_folder(CURRENT, root)
    except OSError:
        return linked
    try:
        known = read_record(current).files
        for name in record.files.keys() & known.keys():
            if known[name] == record.files[name] == os.stat(name, dir_fd=current, follow_symlinks=False).st_size:
                os.link(name, name, src_dir_fd=current, dst_dir_fd=target, follow_symlinks=False)
                linked.add(name)
    except (OSError, Unusable):  # the rest is copied
        pass
    finally:
        os.close(current)
    return linked


class _Written:
    """A new file that is written to the disk in parts."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._waiting += len(data)
        if self._waiting >= _SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._waiting = 0


def _create(name: str, folder: int) -> _Written:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    return _Written(os.fdopen(descriptor, "wb"))


def run_save(job: dict[str, Any]) -> int:
    """What the process does that `save_in_background` starts."""
    signal.alarm(_TIME_LIMIT)
    os.nice(10)
    try:
        save(job, sys.stdin.buffer.read(LONGEST_RECORD))
    except (OSError, Unusable):
        return 1
    return 0
