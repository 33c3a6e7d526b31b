"""How much disk a workspace uses is found whatever was done to hide it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest

from tests.in_container.git_fixture import CHANGES_USER, SYSTEM_PYTHON, USER, Laboratory

SCRIPT = resources.files("moonmind_appliance.in_container").joinpath("workspace_size.py").read_text(encoding="utf-8")
MIB = 1024**2
MOST_BYTES, MOST_FILES = 8 * MIB, 500


@pytest.fixture
def agent(lab: Laboratory) -> Iterator[Callable[[str], None]]:
    """Does what a shell command of the agent's would do in its workspace."""
    lab.repository.mkdir(parents=True)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", lab.workspace], check=CHANGES_USER)
    return lab.agent


def measured(lab: Laboratory) -> dict[str, int]:
    job = {"folders": [str(lab.root / "runs")], "most_bytes": MOST_BYTES, "most_files": MOST_FILES}
    done = subprocess.run(
        [SYSTEM_PYTHON if CHANGES_USER else sys.executable, "-I", "-S", "-c", SCRIPT],
        env={"MOONMIND_MEASURE": json.dumps(job)},
        user=USER if CHANGES_USER else None,
        group=USER if CHANGES_USER else None,
        extra_groups=[] if CHANGES_USER else None,
        capture_output=True,
        check=True,
        timeout=60,
    )
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
def test_bytes_are_found(lab: Laboratory, agent: Callable[[str], None], act: str) -> None:
    """Allocated, written, beside the repository, in folders that nobody may read."""
    agent(act)
    assert measured(lab)["bytes"] > MOST_BYTES


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
def test_files_are_found(lab: Laboratory, agent: Callable[[str], None], act: str) -> None:
    """Files, folders and links without a byte use up inodes."""
    agent(act)
    assert measured(lab)["files"] > MOST_FILES


def test_what_lies_deeper_than_a_path_is_long_counts_as_hidden(lab: Laboratory, agent: Callable[[str], None]) -> None:
    """No program that takes a path can look there."""
    agent('n=$(printf "x%.0s" $(seq 200)); for i in $(seq 30); do mkdir $n; cd $n; done; fallocate -l 16M big')
    assert measured(lab)["hidden"] == 1


@pytest.mark.parametrize(
    "act", ["true", "truncate -s 8G sparse", "fallocate -l 5M a; ln a b; ln a c; ln a d", "ln -s / root"]
)
def test_what_uses_no_disk_does_not_count(lab: Laboratory, agent: Callable[[str], None], act: str) -> None:
    """A file with holes, several names of one file, and what a link leads to."""
    agent(act)
    found = measured(lab)
    assert (found["bytes"] <= MOST_BYTES, found["files"] <= MOST_FILES, found["hidden"]) == (True, True, 0)
    assert found["free_bytes"] > 0
    assert found["free_files"] > 0


def test_counting_ends_above_the_limit(lab: Laboratory, agent: Callable[[str], None]) -> None:
    """A million files cost no more than the first ones."""
    agent("seq -f file-%.0f 3000 | xargs touch")
    assert measured(lab)["files"] == MOST_FILES + 1


def test_a_file_that_goes_meanwhile_is_no_failure(tmp_path: Path) -> None:
    """Such as those that an honest build writes and removes."""
    code = (
        f"{SCRIPT.partition('if __name__')[0]}\n"
        "os.lstat = lambda path: (_ for _ in ()).throw(FileNotFoundError())\n"
        f"print(json.dumps(measure([{str(tmp_path)!r}], 1, 1)))"
    )
    (tmp_path / "gone").touch()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=dict(os.environ))
    assert json.loads(done.stdout)["files"] == 0
