"""Runs inside a container that has the shard's lock: a new CODEX_HOME that contains only a copy of the login file.

Standard library only, sent as part of other programs. An earlier run's agent could write anything into the login
volume: a `config.toml` there would send the next login to another server. So Codex never works in the volume. It gets
a new folder in the container's own scratch space, and a login that it renewed there is moved back by rename.
"""

import contextlib
import hashlib
import os
import secrets
import stat
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO, Self

# Login files of all agents: one agent must not remove another agent's login.
LOGIN_FILES = ("auth.json", "agent.env")
CODEX_LOGIN = "auth.json"
LARGEST_LOGIN = 256 * 1024
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# A renewal invalidates the old tokens, so the new ones are stored before the turn ends.
LOOK_SECONDS = 0.1
CLEAN_SECONDS = 20


def open_regular(path: Path) -> BinaryIO | None:
    """Open a regular file for reading; None for anything else, including links."""
    try:
        # Without O_NONBLOCK a planted FIFO would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, limit: int) -> bytes | None:
    """The bytes of a regular file up to the limit; None for anything else."""
    file = open_regular(path)
    if file is None:
        return None
    with file:
        content = file.read(limit + 1)
    return content if len(content) <= limit else None


def digest(path: Path) -> str | None:
    """The login file's SHA-256; None if it is missing or cannot be read."""
    content = read_regular(path, LARGEST_LOGIN)
    return None if content is None else hashlib.sha256(content).hexdigest()


def write_by_rename(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read; replaces anything at the path, even a folder."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    try:
        new.replace(path)
    except IsADirectoryError:
        # Rename first: a folder that cannot be emptied must not block the path.
        path.rename(path.with_name(f".{path.name}.{secrets.token_hex(8)}"))
        new.replace(path)


def clean(folder: Path, keep: tuple[str, ...] = LOGIN_FILES) -> None:
    """Remove everything from the login volume except regular files of these names, as far as possible."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    doomed = [entry.path for entry in entries if not (entry.name in keep and is_regular(entry))]
    # A folder without permissions for its owner cannot be emptied. Links below it are not followed.
    run_quietly(["chmod", "-R", "u+rwX", "--", str(folder)])
    for start in range(0, len(doomed), 1000):
        # Not in Python: a tree of thousands of levels exceeds its recursion limit.
        run_quietly(["rm", "-rf", "--", *doomed[start : start + 1000]])


def run_quietly(command: list[str]) -> None:
    """Run a command, discard its output, and end it after `CLEAN_SECONDS`."""
    nothing = subprocess.DEVNULL
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(  # noqa: S603 - by fixed name
            command, stdin=nothing, stdout=nothing, stderr=nothing, timeout=CLEAN_SECONDS, check=False
        )


def is_regular(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a regular file, not a link to one."""
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def trust(home: Path, extra_ca: Path) -> None:
    """Create the CA bundle that the environment names, if the operator configured additional authorities."""
    if extra_ca.is_file():
        (home / "ca.pem").write_bytes(SYSTEM_BUNDLE.read_bytes() + b"\n" + extra_ca.read_bytes())


class CodexHome:
    """A new CODEX_HOME during a `with` block, with a copy of the login.

    A login that the block's program changes is moved back to the volume within a tenth of a second, and at the end of
    the block. A login that the program removes stays in the volume.
    """

    def __init__(self, home: Path, volume: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="codex-", dir=home))
        self.login = self.folder / CODEX_LOGIN
        self.kept = volume / CODEX_LOGIN
        self.known = read_regular(self.kept, LARGEST_LOGIN)
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.watcher = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> Self:
        if self.known is not None:
            write_by_rename(self.login, self.known)
        self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.watcher.join()
        self.move_back()

    def environment(self) -> dict[str, str]:
        """The process's own environment with this CODEX_HOME."""
        return {**os.environ, "CODEX_HOME": str(self.folder)}

    def watch(self) -> None:
        """Watch for a renewed login until the end of the block."""
        while not self.over.wait(LOOK_SECONDS):
            self.move_back()

    def move_back(self) -> None:
        """Store the login in the volume if it changed. An incomplete file is ignored."""
        with self.lock:
            content = read_regular(self.login, LARGEST_LOGIN)
            if content is None or content == self.known or not content.rstrip().endswith(b"}"):
                return
            try:
                write_by_rename(self.kept, content)
            except OSError:
                return
            self.known = content
