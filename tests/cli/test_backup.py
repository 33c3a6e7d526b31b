"""`backup` while `serve` runs: the file is complete or absent, and says what is in it."""

import os
import pty
import signal
import stat
import subprocess
import tarfile
import time
from datetime import datetime
from pathlib import Path

import pytest

from moonmind_appliance.cli.backup import shown_progress
from moonmind_appliance.cli.terminal import console
from moonmind_appliance.store import DataFolderLock, Store
from moonmind_appliance.store.last_backup import last_backup
from tests.backed_up import Filled, filled
from tests.cli.terminal import Terminal


@pytest.fixture
def data(terminal: Terminal) -> Filled:
    return filled(terminal.data_dir)


def test_a_backup_beside_a_serving_appliance(terminal: Terminal, data: Filled) -> None:
    """It needs no lock, names what it contains and what it does not, and only its owner can read it."""
    lock = DataFolderLock(data.path)
    lock.acquire()
    called = terminal.call("backup", "--artifacts", str(terminal.home / "b.tar.gz"))
    lock.release()
    assert called.code == 0, called.stderr
    assert "3, with texts, phases and" in called.stdout
    assert "API tokens" in called.stdout
    assert "ChatGPT logins (Docker volumes), settings (env file)" in called.stdout
    path = terminal.home / "b.tar.gz"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as tar:
        assert tar.getnames()[:2] == ["manifest.json", "appliance.db"]
    assert [each.name for each in terminal.home.glob(".moonmind*")] == []


def test_its_time_is_recorded(terminal: Terminal, data: Filled) -> None:
    """Of a backup that is complete; the metrics have it."""
    path = terminal.home / "b.tar.gz"
    store = Store.open(terminal.data_dir)
    path.touch()
    assert terminal.call("backup", str(path)).code == 1
    assert last_backup(store.database) is None
    made = terminal.call("backup", "--force", "--json", str(path)).json["backup"]["made_at"]
    assert last_backup(store.database) == datetime.fromisoformat(made)
    store.close()


def test_the_answer_in_json(terminal: Terminal, data: Filled) -> None:
    """The archive's checksum is that of `sha256sum`."""
    path = terminal.home / "b.tar.gz"
    called = terminal.call("backup", str(path), "--json")
    seen = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert (called.json["sha256"], called.json["size_bytes"]) == (seen, path.stat().st_size)
    assert called.json["backup"]["rows"]["runs"] == 3


def test_an_existing_file_is_kept_without_force(terminal: Terminal, data: Filled) -> None:
    """The error names the option."""
    path = terminal.home / "b.tar.gz"
    path.write_text("kept")
    called = terminal.call("backup", str(path))
    assert (called.code, path.read_text()) == (1, "kept")
    assert "add --force" in called.stderr
    assert terminal.call("backup", "--force", str(path)).code == 0


def test_to_stdout(terminal: Terminal, data: Filled) -> None:
    """The archive is stdout, the summary stderr; nothing is left in the data folder."""
    with (terminal.home / "out").open("wb") as out:
        process = subprocess.run(
            terminal.command("backup", "-"),
            env=terminal.whole_environment(),
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert process.returncode == 0, process.stderr
    assert b"not in it" in process.stderr
    with tarfile.open(terminal.home / "out") as tar:
        assert "SHA256SUMS" in tar.getnames()
    assert list(data.path.glob(".moonmind*")) == []


def test_not_to_a_terminal(terminal: Terminal, data: Filled) -> None:
    """A binary file would disturb it."""
    ours, theirs = pty.openpty()
    process = subprocess.run(
        terminal.command("backup", "-"),
        env=terminal.whole_environment(),
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 2
    assert b"redirect stdout" in process.stderr


@pytest.mark.parametrize(
    ("words", "problem"),
    [(["-", "--json"], "use only one"), (["absent/b.tar.gz"], "does not exist"), (["."], "is a directory")],
)
def test_wrong_calls(terminal: Terminal, data: Filled, words: list[str], problem: str) -> None:
    """Each with exit code 2."""
    called = terminal.call("backup", *words)
    assert called.code == 2
    assert problem in called.stderr


def test_without_a_database(terminal: Terminal) -> None:
    """None is created."""
    called = terminal.call("backup", str(terminal.home / "b.tar.gz"))
    assert called.code == 1
    assert "MOONMIND_DATA_DIR" in called.stderr
    assert not (terminal.home / "b.tar.gz").exists()


@pytest.mark.parametrize(("sig", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_stopped_backup_leaves_no_file(terminal: Terminal, data: Filled, sig: signal.Signals, code: int) -> None:
    """Whatever stops it. After a kill a hidden folder is left, which the next backup there removes."""
    folder = data.path / "runs" / data.ended.run_id / "artifacts"
    (folder / "specify.log").unlink()
    # A pipe without a writer: the backup waits for it.
    os.mkfifo(folder / "specify.log")
    path = terminal.home / "out" / "b.tar.gz"
    path.parent.mkdir()
    process = terminal.start("backup", "--artifacts", str(path))
    while process.poll() is None and not list(path.parent.glob(".moonmind*/SHA256SUMS")):
        time.sleep(0.01)
    process.send_signal(sig)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert not path.exists()
    assert bool(list(path.parent.iterdir())) is (sig is signal.SIGKILL)
    (folder / "specify.log").unlink()
    assert terminal.call("backup", str(path)).code == 0
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_no_file(terminal: Terminal, data: Filled, tmp_path: Path) -> None:
    """The limit of a file's size stands for the disk's."""
    path = tmp_path / "b.tar.gz"
    command = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *terminal.command("backup", str(path))]
    process = subprocess.run(command, env=terminal.whole_environment(), capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert "no space left" in process.stderr or "cannot be copied" in process.stderr, process.stderr
    assert list(tmp_path.glob("*b.tar.gz")) + list(tmp_path.glob(".moonmind*")) == []


def test_progress_only_on_a_terminal(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """A log file gets no bars."""
    with shown_progress(console(stderr=True)) as progress:
        progress("Copying the database", 1, 2)
    assert capsys.readouterr().err == ""
