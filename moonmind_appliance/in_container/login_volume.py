"""The shard's login volume. An earlier run's agent could have written anything into it."""

import hashlib
import os
import secrets
from pathlib import Path

from moonmind_appliance.in_container.ca_bundle import trust
from moonmind_appliance.in_container.shared import read_regular, remove_entries

CODEX_LOGIN = "auth.json"
VARIABLES_LOGIN = "agent.env"
# One agent must not remove another agent's login.
LOGIN_FILES = (CODEX_LOGIN, VARIABLES_LOGIN)
# Bytes; a larger file is not a login.
LOGIN_FILE_LIMIT = 256 * 1024
CLEAN_SECONDS = 20


def digest(path: Path) -> str | None:
    """The login file's SHA-256; None if it is missing or cannot be read."""
    content = read_regular(path, LOGIN_FILE_LIMIT)
    return None if content is None else hashlib.sha256(content).hexdigest()


def write_by_rename(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read; replaces anything at the path, even a folder."""
    new = _unused_name(path)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    try:
        new.replace(path)
    except IsADirectoryError:
        # Rename first: a folder that cannot be emptied must not block the path.
        path.rename(_unused_name(path))
        new.replace(path)


def _unused_name(path: Path) -> Path:
    """A path in the same folder, whose name no agent could have used."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def place_login(folder: Path, login: Path) -> None:
    """Move a login broker's login into Codex's folder, which a container without the login volume does not have.

    Later turns find it there. An agent may have replaced the file by anything: then the folder stays as it is.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    content = read_regular(login, LOGIN_FILE_LIMIT)
    if content is not None:
        write_by_rename(folder / CODEX_LOGIN, content)
        # Its volume is kept after the run.
        login.unlink(missing_ok=True)


def clean(folder: Path, keep: tuple[str, ...] = LOGIN_FILES) -> None:
    """Remove everything from the login volume except regular files of these names, as far as possible."""
    remove_entries(folder, leftovers(folder, keep), time_limit=CLEAN_SECONDS)


def leftovers(folder: Path, keep: tuple[str, ...] = LOGIN_FILES) -> list[Path]:
    """The entries of the login volume, except regular files of these names."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return []
    return [Path(entry.path) for entry in entries if not (entry.name in keep and _is_regular(entry))]


def remove_login(folder: Path, name: str) -> None:
    """Remove everything from the login volume except other agents' logins. Nothing has the name `name` afterwards."""
    clean(folder, keep=tuple(other for other in LOGIN_FILES if other != name))
    path = folder / name
    if os.path.lexists(path):
        # A folder that was not emptied in time.
        path.rename(_unused_name(path))


def _is_regular(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a regular file, not a link to one."""
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def prepare(home: Path, folder: Path) -> None:
    """Once per container: remove what an earlier run's agent left next to the login, and write the CA bundle."""
    marker = home / ".prepared"
    if not marker.exists():
        clean(folder)
        trust(home)
        marker.touch()
