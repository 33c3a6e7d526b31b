"""What the cache contains after a writer ended, or was killed at any point."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from moonmind_appliance.in_container import git_cache_save
from moonmind_appliance.in_container.git_cache import Cache, Record, Unusable, open_folder, read_record
from moonmind_appliance.in_container.git_cache_save import save
from tests.dispatching import no_file_grows
from tests.in_container.git_caches import GIB, CacheFolder, commit_file
from tests.in_container.git_fixture import GitRun, git

CHECKOUT = Path(git_cache_save.__file__).parents[2]
# A process that runs `save`, and kills itself at its nth step that the file system sees.
KILLED_AT = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
from moonmind_appliance.in_container.git_cache_save import save
left = int(sys.argv[2])
def step(event, _):
    global left
    if event == "open" or event.startswith(("os.", "subprocess.", "fcntl.")):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(step)
save(json.loads(sys.argv[3]), sys.stdin.buffer.read())
"""


class Volume(NamedTuple):
    """A cache's folder, and two states that a clone may have: the second has one pack more."""

    path: Path
    first: Record
    second: Record
    packs: Path

    @property
    def job(self) -> dict[str, Any]:
        return {"folder": str(self.path), "packs": str(self.packs), "min_free": 0, "link": True}

    def save(self, record: Record | None, **job: Any) -> None:
        save(self.job | job, record.text() if record else b"")

    def state(self) -> Record | None:
        """What a clone would take; None if there is nothing. It checks every pack."""
        copied = FakeGit(self.path.parent / f"clone-{os.urandom(4).hex()}")
        cache = Cache({"folder": str(self.path), "most_bytes": GIB, "min_free": 0}, 50)
        cache.take(copied)  # type: ignore[arg-type]
        taken = cache.taken
        if taken is not None:
            sizes = {path.name: path.stat().st_size for path in copied.directory.glob("objects/pack/*")}
            assert sizes == taken.files
        return taken

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.path.iterdir())


class FakeGit:
    """A private clone, of which only the folder matters."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, *_: str, feed: bytes = b"") -> bytes:
        return b""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Record, Path]:
    """Two packs, and the records of the first and of both."""
    root = tmp_path_factory.mktemp("packs")
    git(root, "init", "--quiet", "--bare", ".")
    packs = root / "packs"
    packs.mkdir()
    records = []
    for number in range(2):
        blob = git(root, "hash-object", "-w", "--stdin", feed=os.urandom(3000))
        git(root, "pack-objects", "--quiet", str(packs / "pack"), feed=blob)
        files = {path.name: path.stat().st_size for path in sorted(packs.iterdir())}
        records.append(Record(50, {"main": f"{number}" * 40}, [], files, sum(files.values())))
    return records[0], records[1], packs


@pytest.fixture
def volume(tmp_path: Path, made: tuple[Record, Record, Path]) -> Volume:
    (tmp_path / "cache").mkdir()
    return Volume(tmp_path / "cache", *made)


def test_a_state_is_stored_and_replaced(volume: Volume) -> None:
    """Packs that the cache has are linked, so that only new ones are written; packs that left are removed."""
    volume.save(volume.first)
    assert volume.state() == volume.first
    inodes = {path.name: path.stat().st_ino for path in (volume.path / "current").glob("pack-*")}
    volume.save(volume.second)
    assert volume.state() == volume.second
    assert {name: (volume.path / "current" / name).stat().st_ino for name in inodes} == inodes
    volume.save(volume.first)
    assert volume.state() == volume.first
    assert volume.names() == ["current", "lock", "writer.lock"]


def test_an_empty_state_empties_the_cache(volume: Volume) -> None:
    """Also if there is none."""
    for _ in range(2):
        volume.save(None)
        assert volume.names() == ["lock", "writer.lock"]
        volume.save(volume.first)
    volume.save(None)
    assert volume.names() == ["lock", "writer.lock"]


def test_a_killed_writer_leaves_the_old_state_or_the_new_one_or_none(volume: Volume) -> None:
    """Killed at each of its steps; the next writer removes what is left."""
    seen = set[int | None]()
    for number in range(1, 400):
        volume.save(volume.first)
        command = [sys.executable, "-c", KILLED_AT, str(CHECKOUT), str(number), json.dumps(volume.job)]
        done = subprocess.run(command, input=volume.second.text(), check=False)
        state = volume.state()
        assert state in (volume.first, volume.second, None)
        seen.add(None if state is None else len(state.files))
        volume.save(volume.second)
        assert volume.state() == volume.second
        assert volume.names() == ["current", "lock", "writer.lock"]
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert number > 30
    assert seen == {2, 4, None}


def test_only_one_writer_works(volume: Volume) -> None:
    """The second gives up; the cache is as the first leaves it."""
    volume.save(volume.first)
    (volume.path / "new-of-the-other").mkdir()
    with (volume.path / "writer.lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Unusable, match="held"):
            volume.save(volume.second)
        assert volume.state() == volume.first
        assert "new-of-the-other" in volume.names()
    volume.save(volume.second)
    assert volume.names() == ["current", "lock", "writer.lock"]


def test_a_clone_during_a_change_sees_one_state(volume: Volume) -> None:
    """The old one or the new one, complete, while a writer replaces it again and again."""
    volume.save(volume.first)
    over = threading.Event()

    def write() -> None:
        for _ in range(30):
            volume.save(volume.second)
            volume.save(volume.first)
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not over.is_set():
        seen.append(volume.state())
    writer.join()
    assert len(seen) > 5
    assert all(state in (volume.first, volume.second) for state in seen)


def test_a_disk_without_space_leaves_the_cache_as_it_was(volume: Volume) -> None:
    """Whether a write fails, or less space is left than a run needs."""
    volume.save(volume.first)
    with no_file_grows(), pytest.raises(OSError, match="large"):
        volume.save(volume.second)
    with pytest.raises(Unusable, match="full"):
        volume.save(volume.second, min_free=1 << 60)
    assert volume.state() == volume.first
    assert volume.names() == ["current", "lock", "writer.lock"]


@pytest.mark.parametrize("missing", [True, False])
def test_a_clone_that_is_gone_or_damaged_is_not_stored(volume: Volume, tmp_path: Path, *, missing: bool) -> None:
    """The next attempt of a run removes its clone."""
    volume.save(volume.first)
    packs = tmp_path / "packs"
    packs.mkdir()
    for name in volume.second.files if not missing else ():
        (packs / name).write_bytes(b"x" * volume.second.files[name])
    with pytest.raises(Unusable):
        volume.save(volume.second, packs=str(packs))
    assert volume.state() == volume.first
    assert volume.names() == ["current", "lock", "writer.lock"]


def damaged_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("damage", [damaged_link, Path.unlink, lambda path: os.truncate(path, 10)])
def test_what_the_cache_has_no_longer_is_copied(volume: Volume, damage: Callable[[Path], object]) -> None:
    """A pack in the cache that is not the recorded one is never linked."""
    volume.save(volume.first)
    damage(next((volume.path / "current").glob("*.pack")))
    volume.save(volume.second)
    assert volume.state() == volume.second


def test_links_at_the_volumes_names_are_not_followed(volume: Volume, tmp_path: Path) -> None:
    """What they point to is neither read nor removed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    for name in ("current", "new-1", "old-1"):
        (volume.path / name).symlink_to(outside)
    volume.save(volume.first)
    assert volume.state() == volume.first
    assert volume.names() == ["current", "lock", "writer.lock"]
    assert (outside / "file").read_text() == "kept"


def test_an_unchanged_cache_is_not_written(git_run: GitRun) -> None:
    """A clone that fetched nothing new leaves the files as they are."""
    cache = CacheFolder(git_run)
    git_run.host()
    cache.clone()
    before = cache.current.stat().st_ino
    cache.clone()
    assert cache.current.stat().st_ino == before
    commit_file(git_run, "new.txt", "new\n")
    cache.clone()
    assert cache.current.stat().st_ino != before


@pytest.mark.parametrize(("packs", "size", "too_old"), [(40, 1, False), (41, 1, True), (2, 64, False), (2, 65, True)])
def test_a_cache_that_grew_too_much_starts_again(packs: int, size: int, *, too_old: bool) -> None:
    """Many small packs, or 64 MiB more than twice what a new clone needed."""
    files = {f"pack-{number:040d}.{ending}": 0 for number in range(packs) for ending in ("pack", "idx")}
    files[next(iter(files))] = 2 * 1000 + size * 1024**2
    assert Record(50, {"main": "0" * 40}, [], files, 1000).too_old is too_old


def test_the_writer_has_neither_the_token_nor_the_output(git_run: GitRun) -> None:
    """Its environment and its files are its own: the exec of the clone ends before it."""
    cache = CacheFolder(git_run)
    git_run.host()
    with cache.lock("lock"):
        answer = git_run.run("clone", cache=cache.job)
        assert answer.code == 0
        (process,) = cache.writers()
        environment = (process / "environ").read_bytes()
        streams = [(process / "fd" / str(number)).readlink() for number in (1, 2)]
        assert os.getsid(int(process.name)) == int(process.name)
    cache.wait_for_writer()
    assert b"GIT_CONFIG" not in environment
    assert b"PATH=" in environment
    assert streams == [Path(os.devnull)] * 2
    folder = open_folder(cache.current)
    assert read_record(folder).heads == {"main": answer.result["base_commit"]}
    os.close(folder)
