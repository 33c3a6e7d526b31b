"""Ensures that only this process's user can write to the data folder and its contents.

Another user who could write to it could replace the database, also by a link.
"""

import os
import stat
from pathlib import Path

from moonmind_appliance.errors import StoreError

_ROOT_GROUP = 0
# These two may be on another disk.
_MAY_BE_LINKED = frozenset({"runs", "backups"})


def make_data_folder(data_dir: Path) -> None:
    """Create the folder, accessible only to its owner. Idempotent.

    Raises:
        StoreError: it cannot be created, or another user could have written to it.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(data_dir)
    except OSError as error:
        raise StoreError(
            f"The data folder {data_dir} cannot be created: {error.strerror}.",
            hint="Set MOONMIND_DATA_DIR to a folder that this user can write to.",
        ) from error


def check_database_exists(data_dir: Path, name: str) -> None:
    """Refuse to begin with an empty database if the folder shows that there was one.

    Raises:
        StoreError: the database's file is missing or empty, but there are runs or backups.
    """
    file = data_dir / name
    try:
        if file.stat().st_size > 0:
            return
        state = "is empty"
    except FileNotFoundError:
        state = "is missing"
    except OSError:
        return  # opening it gives a better message
    left = [folder for folder in sorted(_MAY_BE_LINKED) if _has_entries(data_dir / folder)]
    # SQLite stores the newest changes here first, and deletes this file if the database is new.
    left += [f"{name}-wal"] if _size(data_dir / f"{name}-wal") else []
    if left:
        raise StoreError(
            f"The database {file} {state}, but the data folder contains {' and '.join(left)}: the database was lost.",
            hint=f"Restore it (docs/backup.md says how). To begin without the old runs, move {', '.join(left)} away.",
        )


def _has_entries(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(not entry.name.startswith(".") for entry in entries)
    except OSError:
        return False


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _check(data_dir: Path) -> None:
    trusted = {0, os.geteuid()}
    if data_dir.lstat().st_uid not in trusted:
        raise _foreign(f"The data folder {data_dir}", data_dir.lstat().st_uid)
    found = data_dir.stat()
    if found.st_uid not in trusted:
        raise _foreign(f"The data folder {data_dir}", found.st_uid)
    if _others_write(found):
        raise StoreError(
            f"Other users can write to the data folder {data_dir} (mode {stat.S_IMODE(found.st_mode):04o}).",
            hint=f"Check its content, then run: chmod 700 {data_dir}",
        )
    with os.scandir(data_dir) as entries:
        for entry in entries:
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if info.st_uid not in trusted:
                raise _foreign(entry.path, info.st_uid)
            if stat.S_ISLNK(info.st_mode) and entry.name not in _MAY_BE_LINKED:
                raise StoreError(
                    f"{entry.path} is a symbolic link.",
                    hint="The appliance does not follow links in its data folder. Replace the link with the file.",
                )


def _others_write(found: os.stat_result) -> bool:
    """Whether more than the owner and root's group can write: a container without root works through that group."""
    group = found.st_mode & stat.S_IWGRP and found.st_gid != _ROOT_GROUP
    return bool(group or found.st_mode & stat.S_IWOTH)


def _foreign(what: str, owner: int) -> StoreError:
    return StoreError(
        f"{what} belongs to another user (user id {owner}; this process runs as {os.geteuid()}).",
        hint="Run as that user, set MOONMIND_DATA_DIR to another folder, or check its content and use chown.",
    )
