"""The cache of a repository: the packs that earlier clones received from GitHub, in a volume of their own.

A clone copies the packs, and then fetches the base branch from GitHub, which sends only what is missing. Nothing else
is taken from the volume, and all of it counts as untrusted: only regular files with the recorded names and sizes are
read, and each must have the checksum that Git wrote into it. `git_cache_save` writes the volume:

    lock             shared while a clone copies, exclusive while `current` is replaced
    writer.lock      held by the one process that writes
    current/         record.json, pack-….pack, pack-….idx
    new-…/, old-…/   of a writer that works, or was killed
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from moonmind_appliance.in_container.git import Git, GitError

FORMAT = 1
LOCK, CURRENT, RECORD = "lock", "current", "record.json"
MOST_PACKS = 40
MOST_HEADS = 50
LONGEST_RECORD = 1024**2
CHUNK = 1024**2
# Beyond this, and twice what a new clone needed, the cache is dropped.
GROWTH = 64 * 1024**2

_LOCKED_WITHIN = 10.0
_SHA1 = 20
_OBJECT = re.compile(r"[0-9a-f]{40}")
_FILE = re.compile(r"pack-[0-9a-f]{40}\.(?:pack|idx)")
_REFS = "refs/moonmind/cache"


# Git's own messages if a fetch failed; GitHub's begin with "remote:".
_REFUSED = re.compile(
    r"^fatal: (?:unable to access '|couldn't find remote ref|Authentication failed|could not read (?:User|Pass)|"
    r"invalid refspec|repository '.*' not found|unable to update url base)",
    re.MULTILINE,
)
_BROKE_OFF = re.compile(
    r"^(?!remote:).*(?:RPC failed|early EOF|hung up|unexpected disconnect|Operation too slow|timed out|Empty reply|"
    r"Connection (?:reset|refused))",
    re.MULTILINE,
)


class Cause(Enum):
    """What made a clone with the cache fail: GitHub, perhaps the cache, or the transfer, which may be either."""

    GITHUB = auto()
    CACHE = auto()
    TRANSFER = auto()


def cause_of(errors: str) -> Cause:
    """The cause, from Git's standard error."""
    if _REFUSED.search(errors):
        return Cause.GITHUB
    return Cause.TRANSFER if _BROKE_OFF.search(errors) else Cause.CACHE


class Unusable(Exception):
    """The cache cannot be used, and the reason; a clone without it can succeed."""


class Record(NamedTuple):
    """What `current` contains.

    Attributes:
        depth: the commits of history that were fetched; 0: all.
        heads: the base branches that were fetched, with their commits; the latest is the last.
        shallow: the commits whose parents are missing.
        files: names and sizes of the packs and their indexes.
        fresh_bytes: the size of all packs after the last clone without a cache.
    """

    depth: int
    heads: dict[str, str]
    shallow: list[str]
    files: dict[str, int]
    fresh_bytes: int

    @property
    def size(self) -> int:
        """The bytes of all packs and indexes."""
        return sum(self.files.values())

    @property
    def too_old(self) -> bool:
        """Whether it grew so much by small fetches that a new clone is better."""
        return len(self.files) > 2 * MOST_PACKS or self.size > 2 * self.fresh_bytes + GROWTH

    def text(self) -> bytes:
        """The content of record.json."""
        return json.dumps({"format": FORMAT, **self._asdict()}).encode()


def parse_record(text: bytes) -> Record:
    """The record in this content of record.json.

    Raises:
        Unusable: it is not a record of this format.
    """
    try:
        found: Any = json.loads(text)
        if found.pop("format") != FORMAT:
            raise Unusable("another format")
        record = Record(**found)
        of_packs, of_indexes = ({name[:45] for name in record.files if name.endswith(end)} for end in (".pack", ".idx"))
        valid = (
            all(type(number) is int and number >= 0 for number in (record.depth, record.fresh_bytes))
            and all(type(size) is int and size >= 0 and _FILE.fullmatch(name) for name, size in record.files.items())
            and all(_OBJECT.fullmatch(commit) for commit in (*record.heads.values(), *record.shallow))
            and of_packs == of_indexes
            and 0 < len(record.files) <= 4 * MOST_PACKS
            and 0 < len(record.heads) <= MOST_HEADS
            and isinstance(record.shallow, list)
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unusable("no record") from error
    if not valid:
        raise Unusable("no valid record")
    return record


def open_folder(path: str | Path, inside: int | None = None) -> int:
    """The descriptor of a folder that is no link. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=inside)


def open_file(name: str, folder: int) -> BinaryIO:
    """A regular file of the folder, for reading. Raises OSError for anything else."""
    # Without O_NONBLOCK a FIFO would wait for its writer.
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return os.fdopen(descriptor, "rb", buffering=0)


def read_record(current: int) -> Record:
    """The record of an open `current`. Raises Unusable or OSError."""
    with open_file(RECORD, current) as file:
        text = file.read(LONGEST_RECORD + 1)
    if len(text) > LONGEST_RECORD:
        raise Unusable("the record is too long")
    return parse_record(text)


@contextmanager
def locked(name: str, root: int, how: int, *, seconds: float) -> Iterator[None]:
    """Hold a lock file of the volume.

    Raises:
        Unusable: another process still holds it after `seconds`, or it is no file.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=root)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unusable(f"{name} is no file")
        give_up = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= give_up:
                    raise Unusable(f"{name} is held by another process") from error
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Write all of them."""


def copy_pack(source: BinaryIO, target: Sink, name: str, size: int) -> None:
    """Copy a pack or its index, and compare it with its checksum and its name.

    Both end with the SHA-1 of all bytes before. The pack's is its name, as `git index-pack` gave it; an index has it
    before its own (gitformat-pack(5)).

    Raises:
        Unusable: it has another size or content.
    """
    digest, before, left = hashlib.sha1(usedforsecurity=False), b"", size - _SHA1
    while left > 0:
        chunk = source.read(min(left, CHUNK))
        if not chunk:
            break
        digest.update(chunk)
        target.write(chunk)
        before = (before + chunk)[-_SHA1:]
        left -= len(chunk)
    end = source.read(_SHA1 + 1)
    of_pack = end if name.endswith(".pack") else before
    if left != 0 or end != digest.digest() or of_pack.hex() != name[5:45]:
        raise Unusable(f"{name} is damaged")
    target.write(end)


class Cache:
    """One clone's use of the cache.

    `taken` is what the clone copied; None if it did not. `found` is what can be stored after the fetch.

    Args:
        job: `folder` is the mounted volume, `most_bytes` the largest cache, `min_free` the disk space that a writer
            leaves free.
        depth: the commits of history that the clone has.
    """

    def __init__(self, job: dict[str, Any], depth: int) -> None:
        self.folder = Path(job["folder"])
        self.most_bytes: int = job["most_bytes"]
        self.min_free: int = job["min_free"]
        self.depth = depth
        self.taken: Record | None = None
        self.found: Record | None = None

    def take(self, git: Git) -> None:
        """Copy the packs into the empty private clone, and create temporary refs, which a fetch reports to GitHub.

        Does nothing if there is no cache, or it is of another depth, too large, or cannot be locked.

        Raises:
            Unusable: a pack is damaged.
            OSError: the packs cannot be copied.
            GitError: the packs do not contain the commits.
        """
        with ExitStack() as opened:
            try:
                root = open_folder(self.folder)
                opened.callback(os.close, root)
                opened.enter_context(locked(LOCK, root, fcntl.LOCK_SH, seconds=_LOCKED_WITHIN))
                current = open_folder(CURRENT, root)
                opened.callback(os.close, current)
                record = read_record(current)
            except (Unusable, OSError):
                return
            if record.depth != self.depth or record.size > self.most_bytes:
                return
            packs = git.directory / "objects" / "pack"
            packs.mkdir(parents=True, exist_ok=True)
            for name, size in record.files.items():
                with open_file(name, current) as source, (packs / name).open("xb") as target:
                    copy_pack(source, target, name, size)
                    os.fchmod(target.fileno(), 0o444)
        if record.shallow:
            write_shallow(git, record.shallow)
        self.taken = record
        refs = (f"create {_REFS}/{number} {head}\n" for number, head in enumerate(record.heads.values()))
        git("update-ref", "--stdin", feed="".join(refs).encode())

    def fetched(self, git: Git, base: str, commit: str) -> None:
        """After the fetch of a base branch: make the clone as if there were no cache, and set `found`.

        Raises:
            Unusable: the base branch no longer contains the commit that the cache has of it. The clone would contain
                commits that were removed from the branch.
            GitError: the cache is not complete.
        """
        taken, boundary = self.taken, read_shallow(git)
        heads, shallow = {base: commit}, boundary
        if taken is not None:
            refs = (f"delete {_REFS}/{number}\n" for number in range(len(taken.heads)))
            git("update-ref", "--stdin", feed="".join(refs).encode())
            # Git leaves the empty folders.
            shutil.rmtree(git.directory / "refs" / "moonmind", ignore_errors=True)
            own = _roots(git, [commit]) & boundary if boundary else set[str]()
            if _replaced(git, taken.heads.get(base, commit), commit, cut=bool(own)):
                raise Unusable("the base branch was replaced")
            others = {name: head for name, head in taken.heads.items() if name != base}
            heads = dict(list(others.items())[1 - MOST_HEADS :]) | heads
            shallow = _roots(git, list(heads.values())) & boundary if boundary and len(heads) > 1 else own
            if own != boundary:
                write_shallow(git, sorted(own))
        files = {
            entry.name: entry.stat(follow_symlinks=False).st_size
            for entry in os.scandir(git.directory / "objects" / "pack")
            if _FILE.fullmatch(entry.name)
        }
        fresh = sum(files.values()) if taken is None else taken.fresh_bytes
        self.found = Record(self.depth, heads, sorted(shallow), dict(sorted(files.items())), fresh)


def read_shallow(git: Git) -> set[str]:
    """The commits of the private clone whose parents are missing."""
    try:
        return set((git.directory / "shallow").read_text().split())
    except FileNotFoundError:
        return set()


def write_shallow(git: Git, commits: list[str]) -> None:
    """Replace the list of commits whose parents are missing; Git has no file for an empty one."""
    path = git.directory / "shallow"
    if commits:
        path.write_text("".join(f"{commit}\n" for commit in commits))
    else:
        path.unlink(missing_ok=True)


def _roots(git: Git, commits: list[str]) -> set[str]:
    """The commits without parents in the history of these."""
    return set(git("rev-list", "--max-parents=0", *commits).decode().split())


def _replaced(git: Git, old: str, new: str, *, cut: bool) -> bool:
    """Whether a branch that was at `old` was set to a `new` commit without it. `cut`: the history is incomplete."""
    if old == new:
        return False
    try:
        common = git("merge-base", old, new).decode().strip()
    except GitError:  # nothing in common, as far as is known
        return not cut
    return common != old
