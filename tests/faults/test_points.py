"""Each named point exists in the product, and a process dies exactly there."""

import subprocess
import sys

import pytest

from tests.faults.points import ARM_FILE_VARIABLE, LISTED, POINTS, owner_of

# Renews no lock and needs no Docker: the data folder's lock and the database are enough.
SCRIPT = """
import os, sys
from pathlib import Path
from tests.faults.points import Armed, install
install(Armed(Path(os.environ["{variable}"])))
from moonmind_appliance.store import DataFolderLock, Store
folder = Path(sys.argv[1])
DataFolderLock(folder).acquire()
print("locked", flush=True)
Store.open(folder).close()
print("opened", flush=True)
Store.open(folder).close()
print("opened again", flush=True)
"""


@pytest.mark.parametrize("point", POINTS.values(), ids=lambda point: point.name)
def test_the_function_of_each_point_exists(point) -> None:
    """Under the name that its callers use."""
    owner, name = owner_of(point.target)
    assert callable(getattr(owner, name))
    assert point.when in ("before", "after")
    assert point.most >= 1


def test_names_are_unique() -> None:
    """The schedule and the report know a point by its name."""
    assert len(POINTS) == len(LISTED)


@pytest.mark.parametrize(
    ("armed", "printed"),
    [
        ("after locking the data folder\t1", []),
        ("after opening the database\t1", ["locked"]),
        ("after opening the database\t2", ["locked", "opened"]),
        ("after opening the database\t3", ["locked", "opened", "opened again"]),
        ("", ["locked", "opened", "opened again"]),
    ],
)
def test_a_process_dies_at_the_armed_call(tmp_path, armed, printed) -> None:
    """Not before and not after it; without an armed point it does not die. It reports that it reached the point."""
    file = tmp_path / "point.armed"
    if armed:
        file.write_text(armed, encoding="utf-8")
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(variable=ARM_FILE_VARIABLE), str(data)],
        env={ARM_FILE_VARIABLE: str(file), "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.split("\n")[:-1] == printed, ended.stderr
    died = len(printed) < 3
    assert ended.returncode == (-9 if died else 0)
    assert file.with_suffix(".reached").exists() == died
