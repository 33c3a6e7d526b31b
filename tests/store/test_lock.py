"""One process serves a data folder."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from moonmind_appliance.errors import DataFolderInUse, StoreError
from moonmind_appliance.store import DataFolderLock
from tests.dispatching import no_file_grows

_HOLD = """
import sys
from pathlib import Path
from moonmind_appliance.store import DataFolderLock

DataFolderLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(data_dir: Path) -> Path:
    data_dir.mkdir()
    return data_dir


def test_another_process(folder: Path, in_process: Callable[..., "subprocess.Popen[str]"]) -> None:
    """While a process has the lock, others get its pid; kill -9 releases it."""
    holder = in_process(_HOLD)
    assert holder.stdout is not None
    holder.stdout.readline()
    lock = DataFolderLock(folder)
    with pytest.raises(DataFolderInUse, match=rf"pid {holder.pid}\)") as refusal:
        lock.acquire()
    assert "MOONMIND_DATA_DIR" in refusal.value.hint
    holder.kill()
    holder.communicate()
    lock.acquire()
    lock.release()


def test_same_process(folder: Path) -> None:
    """A second lock in the same process is refused, too; the first may be acquired twice and released twice."""
    first, second = DataFolderLock(folder), DataFolderLock(folder)
    first.acquire()
    first.acquire()
    with pytest.raises(DataFolderInUse):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_full_disk(folder: Path) -> None:
    """The process id cannot be written: an error with the reason, and the lock is free afterwards."""
    lock = DataFolderLock(folder)
    with no_file_grows(), pytest.raises(StoreError, match=r"serve\.lock cannot be written: File too large"):
        lock.acquire()
    lock.acquire()
    lock.release()


def test_no_folder(tmp_path: Path) -> None:
    """A missing folder is an error of the data folder, not a stack trace."""
    with pytest.raises(StoreError, match="cannot be created"):
        DataFolderLock(tmp_path / "absent").acquire()
