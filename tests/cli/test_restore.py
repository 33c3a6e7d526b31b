"""`restore` puts a backup into an empty data folder; the appliance then works as before."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.cli.command import PROGRAM
from moonmind_appliance.store import DataFolderLock, Store
from tests.backed_up import Filled, filled
from tests.cli.terminal import Terminal


@pytest.fixture
def data(terminal: Terminal) -> Filled:
    return filled(terminal.data_dir)


def test_a_new_server(terminal: Terminal, data: Filled) -> None:
    """Backup, restore, and the same runs are listed; the next steps are printed."""
    path = terminal.home / "b.tar.gz"
    assert terminal.call("backup", str(path)).code == 0
    before = terminal.call("runs", "list", "--json").json["items"]
    data.path.rename(terminal.home / "old")
    called = terminal.call("restore", str(path))
    assert called.code == 0, called.stderr
    assert "1 (in progress at the time of the backup)" in called.stdout
    assert "login-shard 0" in called.stdout
    after = terminal.call("runs", "list", "--json").json["items"]
    assert [each["run_id"] for each in after] == [each["run_id"] for each in before]


def test_an_appliance_that_was_drained_stays_drained(terminal: Terminal, data: Filled) -> None:
    """The command names the one that resumes it."""
    path = terminal.home / "b.tar.gz"
    assert terminal.call("drain").code == 0
    terminal.call("backup", str(path))
    assert terminal.call("resume").code == 0
    data.path.rename(terminal.home / "old")
    called = terminal.call("restore", str(path))
    assert called.code == 0, called.stderr
    assert f"{PROGRAM} resume" in " ".join(called.stdout.split())
    assert terminal.call("shards", "--json").json["drained_at"] is not None


def test_from_stdin(terminal: Terminal, data: Filled) -> None:
    """As from `ssh old moonmind-appliance backup -`."""
    path = terminal.home / "b.tar.gz"
    terminal.call("backup", str(path))
    data.path.rename(terminal.home / "old")
    called = terminal.call("restore", "-", "--json", stdin=path.read_bytes())
    assert called.code == 0, called.stderr
    assert json.loads(called.stdout)["appliance_id"] == data.appliance_id


def test_a_copy_beside_the_original(terminal: Terminal, data: Filled) -> None:
    """Only with a new id."""
    path, second = terminal.home / "b.tar.gz", str(terminal.home / "second")
    terminal.call("backup", str(path))
    called = terminal.call("restore", str(path), MOONMIND_DATA_DIR=second)
    assert called.code == 1
    assert "add --new-id" in called.stderr
    called = terminal.call("restore", "--new-id", str(path), MOONMIND_DATA_DIR=second)
    assert called.code == 0
    assert "new id" in called.stdout


def test_refusals(terminal: Terminal, data: Filled) -> None:
    """A full folder, a folder in use, a file that is no backup: nothing changes."""
    path = terminal.home / "b.tar.gz"
    terminal.call("backup", str(path))
    called = terminal.call("restore", str(path))
    assert called.code == 1
    assert "is not empty" in called.stderr
    lock = DataFolderLock(data.path)
    lock.acquire()
    called = terminal.call("restore", str(path))
    lock.release()
    assert called.code == 4
    assert "already in use by another process" in called.stderr
    data.path.rename(terminal.home / "old")
    (terminal.home / "text").write_text("no archive")
    called = terminal.call("restore", str(terminal.home / "text"))
    assert called.code == 1
    assert "not an archive of the appliance" in called.stderr
    assert [each.name for each in terminal.data_dir.iterdir()] == ["serve.lock"]
    store = Store.open(terminal.home / "old")
    assert store.appliance_id == data.appliance_id
    store.close()


def test_a_file_of_another_user(terminal: Terminal, data: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 5, as of every command that lacks a permission; nothing is restored."""
    path = terminal.home / "b.tar.gz"
    terminal.call("backup", str(path))
    data.path.rename(terminal.home / "old")
    opened = Path.open

    def refused(self: Path, *arguments: Any, **named: Any) -> Any:
        """What a user without the permission gets; for root every file is readable."""
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return opened(self, *arguments, **named)

    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(Path, "open", refused)
    called = terminal.call("restore", str(path))
    assert called.code == 5
    assert called.stderr == (
        f"error: {path} cannot be used: Permission denied. Check the path and this user's permissions.\n"
    )
    assert not data.path.exists()
