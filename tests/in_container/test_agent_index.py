"""Files that the agent's Git does not check out are not deleted by the commit."""

import random
import subprocess
from pathlib import Path

import pytest

from moonmind_appliance.in_container.agent_index import not_checked_out
from tests.in_container.git_fixture import SPEC, GitRun, git

FILES: dict[str, str | bytes] = {
    "README.md": "x",
    "src/a.py": "x",
    "src/b.py": "x",
    "docs/deep/er/" + "n" * 200 + ".md": "x",
    "docs/größe.md": "x",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    GitRun.write(FILES, tmp_path)
    git(tmp_path, "add", "--all")
    return tmp_path


def growing_names(entries: int = 20_000) -> bytes:
    """Each name is the one before plus a letter, as the prefix compression of version 4 allows; all are marked."""
    entry = bytes(60) + b"\x40\x00" + b"\x40\x00" + b"\x00" + b"a\0"
    return b"DIRC" + (4).to_bytes(4, "big") + entries.to_bytes(4, "big") + entry * entries


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_every_version_of_the_index_is_read(repository: Path, version: str) -> None:
    """As git lists it."""
    git(repository, "update-index", "--index-version", version)
    assert not_checked_out(repository) == set()
    for name in ("src/b.py", "docs/größe.md"):
        git(repository, "update-index", "--skip-worktree", name)
    listed = git(repository, "ls-files", "-z", "-t").decode().split("\0")
    assert not_checked_out(repository) == {line[2:] for line in listed if line.startswith("S ")}
    assert len(not_checked_out(repository)) == 2


def test_a_damaged_index_is_ignored(repository: Path) -> None:
    """Truncated anywhere, with any byte changed, in another format, a link or a pipe: no error and no endless loop."""
    git(repository, "update-index", "--index-version", "4")
    git(repository, "update-index", "--skip-worktree", "src/b.py")
    index = repository / ".git/index"
    whole = index.read_bytes()
    chance = random.Random(4)  # noqa: S311 - not used for a secret
    damaged = [whole[:size] for size in range(0, len(whole), 7)]
    for _ in range(300):
        at = chance.randrange(len(whole))
        damaged.append(whole[:at] + bytes([chance.randrange(256)]) + whole[at + 1 :])
    damaged += [b"", b"DIRC" + b"\xff" * 8, b"DIRC\0\0\0\x04" + b"\xff" * 2000, whole[:12] + b"\xff" * 4000]
    for content in damaged:
        index.write_bytes(content)
        assert isinstance(not_checked_out(repository), set)
    index.unlink()
    assert not_checked_out(repository) == set()
    index.symlink_to("/dev/zero")
    assert not_checked_out(repository) == set()
    index.unlink()
    subprocess.run(["mkfifo", index], check=True)
    assert not_checked_out(repository) == set()


def test_a_sparse_checkout_deletes_nothing(git_run: GitRun) -> None:
    """What it removed from the work tree stays in the commit; what the agent deleted itself does not."""
    git_run.host(FILES | {"src/gone.py": "x"})
    git_run.clone()
    git_run.specify()
    git_run.agent("git sparse-checkout set src; rm src/gone.py; test ! -e docs")
    answer = git_run.stage()
    assert git_run.changes(answer) == {SPEC: "100644", "src/gone.py": "000000"}


def test_names_that_grow_without_end_are_refused(repository: Path) -> None:
    """A few megabytes could describe gigabytes of names."""
    index = repository / ".git/index"
    index.write_bytes(growing_names(100))
    assert len(not_checked_out(repository)) == 100
    index.write_bytes(growing_names(20_000))
    assert not_checked_out(repository) == set()
