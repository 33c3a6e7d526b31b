"""The disk use of a workspace is measured even if it is hidden."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moonmind_appliance.in_container import workspace_size
from tests.in_container.git_fixture import GitRun
from tests.in_container.sent import CHANGES_USER, USER, run_program

MIB = 1024**2
MOST_BYTES, MOST_FILES = 8 * MIB, 500


@pytest.fixture
def agent(git_run: GitRun) -> Iterator[Callable[[str], None]]:
    """Does what a shell command of the agent's would do in its workspace."""
    git_run.repository.mkdir(parents=True)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", git_run.workspace], check=CHANGES_USER)
    return git_run.agent


def measured(git_run: GitRun) -> dict[str, int]:
    job = {"folders": [str(git_run.root / "runs")], "most_bytes": MOST_BYTES, "most_files": MOST_FILES}
    done = run_program("workspace_size", job, env={})
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    "act",
    [
        "fallocate -l 16M big",
        "touch big; fallocate --keep-size -l 16M big",
        "head -c 16M /dev/urandom > big",
        "mkdir -p .git/objects; fallocate -l 16M .git/objects/big",
        "fallocate -l 16M ../big",
        "mkdir a; cd a; fallocate -l 16M big; cd ..; chmod 000 a",
        "mkdir -p a/b; fallocate -l 16M a/b/big; chmod 000 a/b; chmod 111 a",
        "mkdir a; fallocate -l 16M a/big; chmod 333 a",
        "for i in $(seq 20); do fallocate -l 1M big-$i; done",
        r"fallocate -l 16M $'odd\n\xff name'",
    ],
)
def test_bytes_are_found(git_run: GitRun, agent: Callable[[str], None], act: str) -> None:
    """Allocated, written, beside the repository, in unreadable folders."""
    agent(act)
    assert measured(git_run)["bytes"] > MOST_BYTES


@pytest.mark.parametrize(
    "act",
    [
        "seq -f file-%.0f 600 | xargs touch",
        "seq -f folder-%.0f 600 | xargs mkdir",
        "seq -f link-%.0f 600 | xargs -n1 ln -s /nowhere",
        "mkdir -p $(seq -s / 600)",
        "mkdir a; cd a; seq 600 | xargs touch; cd ..; chmod 000 a",
    ],
)
def test_files_are_found(git_run: GitRun, agent: Callable[[str], None], act: str) -> None:
    """Files, folders and links without content use inodes."""
    agent(act)
    assert measured(git_run)["files"] > MOST_FILES


def test_files_deeper_than_the_longest_path_count_as_hidden(git_run: GitRun, agent: Callable[[str], None]) -> None:
    """No program can open such a path."""
    agent('n=$(printf "x%.0s" $(seq 200)); for i in $(seq 30); do mkdir $n; cd $n; done; fallocate -l 16M big')
    assert measured(git_run)["hidden"] == 1


@pytest.mark.parametrize(
    "act", ["true", "truncate -s 8G sparse", "fallocate -l 5M a; ln a b; ln a c; ln a d", "ln -s / root"]
)
def test_files_without_disk_use_do_not_count(git_run: GitRun, agent: Callable[[str], None], act: str) -> None:
    """Sparse files, further hard links, and targets of links."""
    agent(act)
    found = measured(git_run)
    assert (found["bytes"] <= MOST_BYTES, found["files"] <= MOST_FILES, found["hidden"]) == (True, True, 0)
    assert found["free_bytes"] > 0
    assert found["free_files"] > 0


def test_counting_ends_above_the_limit(git_run: GitRun, agent: Callable[[str], None]) -> None:
    """A million files cost no more than the first ones."""
    agent("seq -f file-%.0f 3000 | xargs touch")
    assert measured(git_run)["files"] == MOST_FILES + 1


def test_a_file_that_is_removed_meanwhile_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as those that an honest build writes and removes."""

    def gone(_: str) -> list[str]:
        return [str(tmp_path / "gone")]

    monkeypatch.setattr(workspace_size, "entries_of", gone)
    assert workspace_size.measure([str(tmp_path)], 1, 1)["files"] == 0


def test_a_measurement_beside_other_work_has_the_same_result(tmp_path: Path) -> None:
    """A folder that does not exist is an error where the result is read."""
    (tmp_path / "a").write_bytes(b"x" * 10_000)
    job = {"folders": [str(tmp_path)], "most_bytes": 10**9, "most_files": 10**6}
    found, expected = workspace_size.Measurement(job).result(), workspace_size.measure(**job)
    assert (found["bytes"], found["files"]) == (expected["bytes"], expected["files"])
    with pytest.raises(FileNotFoundError):
        workspace_size.Measurement(job | {"folders": [str(tmp_path / "missing")]}).result()
