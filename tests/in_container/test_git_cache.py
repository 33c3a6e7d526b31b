"""Clones with a cache: real Git, a real server, and what may be wrong with the cache's files."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.in_container.git_cache import (
    LONGEST_RECORD,
    MOST_HEADS,
    MOST_PACKS,
    Cause,
    Record,
    Unusable,
    cause_of,
    parse_record,
)
from tests.github.byte_counter import ByteCounter
from tests.in_container.git_caches import CacheFolder, commit_file, state_of
from tests.in_container.git_fixture import BRANCH, GitRun, git

COMMIT = "a" * 40


@pytest.fixture
def cache(git_run: GitRun) -> CacheFolder:
    return CacheFolder(git_run)


def test_the_second_clone_takes_the_packs_of_the_first(git_run: GitRun, cache: CacheFolder) -> None:
    """And is the same as without a cache, also after a new commit on GitHub; then the cache has that commit too."""
    git_run.host(history=5)
    first = cache.clone(depth=3)
    assert first.result["cache"] == {"used": False, "bytes": 0}
    seen = state_of(git_run)
    second = cache.clone(depth=3)
    packs = [*cache.packs(), *cache.packs("idx")]
    assert second.result["cache"] == {"used": True, "bytes": sum(pack.stat().st_size for pack in packs)}
    assert state_of(git_run) == seen
    new = commit_file(git_run, "new.txt", "new\n")
    third = cache.clone(depth=3)
    assert (third.result["base_commit"], third.result["cache"]["used"]) == (new, True)
    assert (cache.record().heads, len(cache.packs())) == ({"main": new}, 2)
    seen = state_of(git_run)
    git_run.clone(depth=3)
    assert state_of(git_run) == seen


@pytest.mark.parametrize("depth", [0, 2])
def test_a_change_from_a_cached_clone_is_pushed(git_run: GitRun, cache: CacheFolder, depth: int) -> None:
    """Also if the base branch has moved since the clone. On GitHub the branch has its whole history."""
    git_run.host(history=5)
    cache.clone(depth=depth)
    base = commit_file(git_run, "new.txt", "new\n")
    assert cache.clone(depth=depth).result["cache"]["used"]
    git_run.specify()
    commit = git_run.stage().result["commit"]
    commit_file(git_run, "later.txt", "later\n")
    assert git_run.push(commit, depth=depth).result["pushed"] is True
    assert git(git_run.hosted, "rev-list", BRANCH).decode().split()[:2] == [commit, base]
    assert git(git_run.hosted, "rev-list", "--count", BRANCH).decode().strip() == "7"


def test_the_token_is_not_in_the_cache(git_run: GitRun, cache: CacheFolder) -> None:
    """The cache has packs, their indexes and the record, and nothing else."""
    git_run.host()
    cache.clone()
    files = [path for path in cache.path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {"", ".lock", ".pack", ".idx", ".json"}
    assert len(files) == 5
    assert not [path for path in files if b"gitFixtureToken" in path.read_bytes()]


def truncate(cache: CacheFolder) -> None:
    (pack,) = cache.packs()
    os.truncate(pack, pack.stat().st_size // 2)


def cut_and_recorded(cache: CacheFolder) -> None:
    truncate(cache)
    cache.change_record(files={path.name: path.stat().st_size for path in cache.current.glob("pack-*")})


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    # The same file, so that the writer may still link it.
    path.write_bytes(content)


def replace(path: Path, make: Callable[[Path], object]) -> None:
    moved = path.rename(path.with_name("moved"))
    make(path)
    assert moved.exists()


def another_content(cache: CacheFolder) -> None:
    """A valid pack of other objects under the pack's name."""
    folder = cache.run.root / "elsewhere"
    git(cache.run.root, "init", "--quiet", "--bare", str(folder))
    blob = git(folder, "hash-object", "-w", "--stdin", feed=b"x" * 1000)
    git(folder, "pack-objects", "pack", feed=blob)
    for ending in ("pack", "idx"):
        (other,) = folder.glob(f"*.{ending}")
        shutil.copy(other, cache.packs(ending)[0])
    cache.change_record(files={path.name: path.stat().st_size for path in cache.current.glob("pack-*")})


DAMAGE: dict[str, Callable[[CacheFolder], object]] = {
    "a truncated pack": truncate,
    "a truncated pack that the record agrees with": cut_and_recorded,
    "another bit in a pack": lambda cache: flip(cache.packs()[0]),
    "another bit in an index": lambda cache: flip(cache.packs("idx")[0]),
    "another pack under its name": another_content,
    "no index": lambda cache: cache.packs("idx")[0].unlink(),
    "no index, nor in the record": lambda cache: (
        cache.packs("idx")[0].unlink(),
        cache.change_record(files={path.name: path.stat().st_size for path in cache.packs()}),
    ),
    "no pack": lambda cache: cache.packs()[0].unlink(),
    "a link in place of a pack": lambda cache: replace(cache.packs()[0], lambda path: path.symlink_to("moved")),
    "a pipe in place of a pack": lambda cache: replace(cache.packs()[0], os.mkfifo),
    "a folder in place of a pack": lambda cache: replace(cache.packs()[0], Path.mkdir),
    "a link in place of the folder": lambda cache: replace(cache.current, lambda path: path.symlink_to("moved")),
    "a pipe in place of the record": lambda cache: replace(cache.current / "record.json", os.mkfifo),
    "a link in place of the record": lambda cache: replace(
        cache.current / "record.json", lambda path: path.symlink_to("moved")
    ),
    "a record that is too long": lambda cache: (cache.current / "record.json").write_bytes(b" " * LONGEST_RECORD * 2),
    "no record": lambda cache: (cache.current / "record.json").unlink(),
    "a deep record": lambda cache: (cache.current / "record.json").write_text("[" * 500_000),
    "heads that do not exist": lambda cache: cache.change_record(heads={"main": COMMIT}),
    "boundaries that do not exist": lambda cache: cache.change_record(shallow=[COMMIT]),
    "a path in place of a name": lambda cache: cache.change_record(files={"../current/record.json": 1}),
    "no files": lambda cache: cache.change_record(files={}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_replaced(git_run: GitRun, cache: CacheFolder, damage: str) -> None:
    """The clone is as without a cache, says nothing about it, and the next one uses the new cache."""
    git_run.host(history=3)
    cache.clone(depth=2)
    sound = cache.record()
    seen = state_of(git_run)
    DAMAGE[damage](cache)
    answer = cache.clone(depth=2)
    assert (answer.result["cache"]["used"], answer.stderr) == (False, "")
    assert state_of(git_run) == seen
    assert cache.record() == sound
    assert cache.clone(depth=2).result["cache"]["used"]
    assert cache.names() == ["current", "lock", *(["moved"] if damage.endswith("the folder") else []), "writer.lock"]


def test_a_cache_of_another_depth_is_replaced(git_run: GitRun, cache: CacheFolder) -> None:
    """The depth is a setting; a clone never has more or fewer commits than it says."""
    git_run.host(history=5)
    cache.clone(depth=4)
    for depth in (2, 0):
        answer = cache.clone(depth=depth)
        assert answer.result["cache"]["used"] is False
        count = git(git_run.private / "clone.git", "rev-list", "--count", "main").decode().strip()
        assert count == (str(depth) if depth else "5")
        assert cache.record().depth == depth


def test_a_replaced_base_branch_is_cloned_anew(git_run: GitRun, cache: CacheFolder) -> None:
    """No commit that was removed from the branch is in a later clone: it may contain a secret."""
    git_run.host({"secret.txt": "password\n"}, history=3)
    removed = cache.clone().result["base_commit"]
    git(git_run.hosted, "update-ref", "refs/heads/main", "main^")
    new = commit_file(git_run, "new.txt", "new\n")
    answer = cache.clone()
    assert (answer.result["base_commit"], answer.result["cache"]["used"]) == (new, False)
    for folder in (git_run.private / "clone.git", git_run.repository / ".git"):
        objects = git(folder, "cat-file", "--batch-all-objects", "--batch-check").decode()
        assert new in objects
        assert removed not in objects
    assert cache.record().heads == {"main": new}
    assert len(cache.packs()) == 1


def test_a_base_branch_with_a_new_root_is_cloned_anew(git_run: GitRun, cache: CacheFolder) -> None:
    """It has no commit in common with the cache, and GitHub no longer has the old ones."""
    git_run.host(history=3)
    cache.clone()
    new = git_run.new_root({"other.txt": "other\n"})
    answer = cache.clone()
    assert (answer.result["base_commit"], answer.result["cache"]["used"]) == (new, False)
    assert sorted(path.name for path in git_run.repository.glob("*.txt")) == ["other.txt"]


def test_a_branch_that_moved_by_more_than_the_depth(git_run: GitRun, cache: CacheFolder) -> None:
    """The old commit is out of sight, so it counts as one of the branch: the files of the cache are used."""
    git_run.host({"large.bin": os.urandom(10_000)}, history=3)
    cache.clone(depth=2)
    for number in range(4):
        new = commit_file(git_run, "new.txt", f"{number}\n")
    answer = cache.clone(depth=2)
    assert (answer.result["base_commit"], answer.result["cache"]["used"]) == (new, True)
    seen = state_of(git_run)
    git_run.clone(depth=2)
    assert state_of(git_run) == seen


def test_a_branch_that_went_back(git_run: GitRun, cache: CacheFolder) -> None:
    """To an earlier commit: the history has the depth of a new clone."""
    git_run.host(history=8)
    cache.clone(depth=2)
    git(git_run.hosted, "update-ref", "refs/heads/main", "main~4")
    cache.clone(depth=2)
    seen = state_of(git_run)
    git_run.clone(depth=2)
    assert state_of(git_run) == seen


def test_a_base_branch_that_was_deleted(git_run: GitRun, cache: CacheFolder) -> None:
    """It is reported as without a cache, once, and the cache stays for other branches."""
    git_run.host()
    git(git_run.hosted, "branch", "old", "main")
    cache.clone(base_branch="old")
    git(git_run.hosted, "branch", "-D", "old")
    answer = cache.try_clone(base_branch="old")
    assert (answer.code, answer.result) == (1, {})
    assert answer.stderr == ("fatal: couldn't find remote ref refs/heads/old\ngit fetch ended with exit code 128\n")
    assert cache.clone().result["cache"]["used"]


def test_two_base_branches_share_the_cache(git_run: GitRun, cache: CacheFolder) -> None:
    """Each clone has the refs and the history of its own branch only."""
    git_run.host({"large.bin": os.urandom(10_000)}, history=4)
    git(git_run.hosted, "branch", "release/1", "main~2")
    commit_file(git_run, "fix.txt", "fix\n", branch="release/1")
    for base in ("main", "release/1", "main", "release/1"):
        cache.clone(base_branch=base, depth=2)
        seen = state_of(git_run, base)
        git_run.clone(base_branch=base, depth=2)
        assert state_of(git_run, base) == seen
    assert list(cache.record().heads) == ["main", "release/1"]
    assert cache.clone(base_branch="main", depth=2).result["cache"]["used"]


def test_a_token_without_access_gets_nothing(git_run: GitRun, cache: CacheFolder) -> None:
    """The refusal is GitHub's, is reported once, and no file of the repository is shown."""
    git_run.host()
    cache.clone()
    git_run.github.add_token("ghp_ofAnotherRepository", repositories=["acme/other"])
    answer = cache.try_clone(token="ghp_ofAnotherRepository")
    assert (answer.code, answer.result) == (1, {})
    assert answer.stderr.count("remote: ") == 1
    assert answer.stderr.count("fatal: ") == 1
    assert list(git_run.repository.iterdir()) == []
    assert cache.clone().result["cache"]["used"]


def test_a_transfer_that_breaks_off_is_repeated_without_the_cache(git_run: GitRun, cache: CacheFolder) -> None:
    """Not at once: the appliance repeats it after a pause, as for any outage. Later runs use the cache again."""
    git_run.host()
    cache.clone()
    with ByteCounter("127.0.0.1", git_run.github.server_url, refused=b"command=fetch") as relay:
        answer = cache.try_clone(server=relay.url)
    assert answer.code == 1
    assert answer.stderr.count("fatal: ") == 1
    assert cause_of(answer.stderr) is Cause.TRANSFER
    assert cache.clone().result["cache"]["used"] is False
    assert cache.clone().result["cache"]["used"] is True


def test_a_github_that_does_not_answer_leaves_the_cache(git_run: GitRun, cache: CacheFolder) -> None:
    """It is asked once, and the next attempt uses the cache."""
    git_run.host()
    cache.clone()
    with ByteCounter("127.0.0.1", git_run.github.server_url) as relay:
        address = relay.url
    answer = cache.try_clone(server=address)
    assert (answer.code, answer.stderr.count("fatal: ")) == (1, 1)
    assert cause_of(answer.stderr) is Cause.GITHUB
    assert cache.clone().result["cache"]["used"] is True


@pytest.mark.parametrize("name", ["lock", "current/x"])
def test_a_cache_in_use_is_not_waited_for(git_run: GitRun, cache: CacheFolder, name: str) -> None:
    """A lock that is no file, or a volume that cannot be written: the clone does without."""
    git_run.host()
    cache.clone()
    if name == "lock":
        (cache.path / "lock").unlink()
        (cache.path / "lock").mkdir()
    else:
        cache.path.chmod(0)
    assert cache.clone().result["cache"]["used"] is False


def test_a_cache_that_is_larger_than_the_limit_is_dropped(git_run: GitRun, cache: CacheFolder) -> None:
    """The limit may have been lowered."""
    git_run.host({"large.bin": os.urandom(10_000)})
    cache.clone()
    answer = cache.clone(limits={"most_bytes": 9_000})
    assert answer.result["cache"] == {"used": False, "bytes": 0}
    assert cache.names() == ["lock", "writer.lock"]


VALID: dict[str, Any] = {
    "format": 1,
    "depth": 50,
    "heads": {"main": COMMIT},
    "shallow": [COMMIT],
    "files": {f"pack-{COMMIT}.pack": 100, f"pack-{COMMIT}.idx": 200},
    "fresh_bytes": 300,
}


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"depth": -1},
        {"depth": True},
        {"depth": "50"},
        {"fresh_bytes": None},
        {"heads": {}},
        {"heads": [COMMIT]},
        {"heads": {"main": "A" * 40}},
        {"heads": {"main": f"{COMMIT}\n"}},
        {"heads": {"main": 1}},
        {"heads": {str(number): COMMIT for number in range(MOST_HEADS + 1)}},
        {"shallow": [1]},
        {"shallow": COMMIT},
        {"shallow": {COMMIT: 1}},
        {"files": []},
        {"files": {f"pack-{COMMIT}.pack": 100}},
        {"files": {f"pack-{COMMIT}.pack": 1.5, f"pack-{COMMIT}.idx": 200}},
        {"files": {f"pack-{COMMIT}.pack": -1, f"pack-{COMMIT}.idx": 200}},
        {"files": {f"pack-{COMMIT}.keep": 1}},
        {"files": {f"pack-{n:040d}.{end}": 1 for n in range(2 * MOST_PACKS + 1) for end in ("pack", "idx")}},
        {"more": 1},
    ],
)
def test_an_invalid_record_is_refused(change: dict[str, Any]) -> None:
    """Every field has its type and its limits; an unknown one is refused."""
    text = Record(**{key: value for key, value in VALID.items() if key != "format"}).text()
    assert parse_record(text).text() == text
    with pytest.raises(Unusable):
        parse_record(json.dumps(VALID | change).encode())


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{}", b"\xff", b'{"format":1}', b"1" * 5000, b"[" * 100_000])
def test_what_is_no_record_is_refused(text: bytes) -> None:
    """Whatever its form."""
    with pytest.raises(Unusable):
        parse_record(text)


@pytest.mark.parametrize(
    ("errors", "cause"),
    [
        ("fatal: unable to access 'https://github.com/a/b.git/': The requested URL returned error: 503", Cause.GITHUB),
        ("fatal: unable to access 'https://github.com/a/b.git/': Could not resolve host: github.com", Cause.GITHUB),
        ("remote: Repository not found.\nfatal: repository 'https://github.com/a/b/' not found", Cause.GITHUB),
        ("fatal: couldn't find remote ref refs/heads/main", Cause.GITHUB),
        ("fatal: could not read Username for 'https://github.com': terminal prompts disabled", Cause.GITHUB),
        ("error: RPC failed; HTTP 502 curl 22\nfatal: the remote end hung up unexpectedly", Cause.TRANSFER),
        ("fatal: early EOF\nfatal: fetch-pack: invalid index-pack output", Cause.TRANSFER),
        ("fatal: pack has 3 unresolved deltas\nfatal: fetch-pack: invalid index-pack output", Cause.CACHE),
        ("remote: early EOF\nfatal: bad object HEAD", Cause.CACHE),
        ("", Cause.CACHE),
    ],
)
def test_the_cause_of_a_failure(errors: str, cause: Cause) -> None:
    """GitHub's own texts decide nothing. What is not known as GitHub's may be the cache's."""
    assert cause_of(errors) is cause
