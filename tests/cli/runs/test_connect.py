"""The choice between HTTP and the data folder, and the actor of each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moonmind_appliance.cli.configuration import owns_data
from moonmind_appliance.cli.exits import CommandFailed
from moonmind_appliance.cli.runs.connect import server_address
from moonmind_appliance.store import Store
from tests.api.served import Served
from tests.cli.terminal import ROOT, Terminal


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://moon.example", "https://moon.example"),
        ("https://moon.example/", "https://moon.example"),
        ("moon.example:5000", "http://moon.example:5000"),
        ("https://moon.example/api/spec-automation/", "https://moon.example"),
        ("https://proxy.example/moon", "https://proxy.example/moon"),
    ],
)
def test_an_address_is_taken_as_people_give_it(given: str, expected: str) -> None:
    """The address is accepted with or without the API's path."""
    assert server_address(given) == expected


@pytest.mark.parametrize("given", ["ftp://moon.example", "https://", "https://me:secret@moon.example", "http://a/?b=c"])
def test_an_invalid_address_is_refused(given: str) -> None:
    """An address with a password is refused: the password could reach any server."""
    with pytest.raises(CommandFailed):
        server_address(given)


def test_a_token_goes_over_http_as_its_owner(terminal: Terminal, served: Served) -> None:
    """A token is used also on the appliance's own machine: the caller sees only their own runs."""
    served.submit("bob")
    mine = served.submit("ann")
    called = terminal.call("runs", "list", "--json", "-v", MOONMIND_API_TOKEN=served.tokens["ann"])
    assert [item["run_id"] for item in called.json["items"]] == [mine]
    assert f"over HTTP, to {served.address}" in called.stderr


def test_a_token_file_wins_over_the_environment(terminal: Terminal, served: Served, tmp_path: Path) -> None:
    """The file has one line with only the token."""
    path = tmp_path / "token"
    path.write_text(served.tokens["bob"] + "\n", encoding="utf-8")
    bobs = served.submit("bob")
    called = terminal.call("runs", "list", "--json", "--token-file", str(path), MOONMIND_API_TOKEN=served.tokens["ann"])
    assert [item["run_id"] for item in called.json["items"]] == [bobs]


def test_without_a_token_the_data_folder_is_used(terminal: Terminal, served: Served) -> None:
    """A user who can write it is operator and sees all runs; -v says so."""
    served.submit("ann")
    served.submit("bob")
    called = terminal.call("runs", "list", "--json", "-v")
    assert len(called.json["items"]) == 2
    assert f"directly in the data folder {terminal.data_dir}, as operator" in called.stderr
    assert terminal.call("runs", "list", "--json").stderr == ""


def test_a_missing_data_folder_is_named(terminal: Terminal) -> None:
    """Its owner, too, has none before the first `serve`, and may have forgotten the env file that names another."""
    called = terminal.call("runs", "list", MOONMIND_PORT="9")
    assert called.code == 5
    assert called.stderr.startswith(f"error: The data folder {terminal.data_dir} does not exist, and there is no token")
    assert "start `moonmind-appliance serve`" in called.stderr
    assert "--env-file" in called.stderr
    terminal.data_dir.write_text("no folder", encoding="utf-8")
    assert "does not exist" not in terminal.call("runs", "list", MOONMIND_PORT="9").stderr


@pytest.mark.parametrize(
    "command",
    [
        "drain",
        "resume",
        "shards",
        "shards --check",
        "runs list",
        "runs show latest",
        "runs watch latest",
        "runs logs latest",
        "runs artifacts latest",
        "runs cancel latest",
        "runs retry latest",
        "runs remove latest --yes",
    ],
)
def test_an_empty_data_folder_is_an_error(terminal: Terminal, command: str) -> None:
    """It is probably the wrong one: nothing is created there."""
    terminal.data_dir.mkdir(mode=0o700)
    called = terminal.call(*command.split())
    assert called.code == 1
    assert f"The data folder {terminal.data_dir} has no database" in called.stderr
    assert list(terminal.data_dir.iterdir()) == []


def test_a_lost_database_is_not_a_wrong_folder(terminal: Terminal) -> None:
    """Its runs are still there: the error says how to restore it."""
    (terminal.data_dir / "runs" / "5b0c6a5e").mkdir(parents=True)
    terminal.data_dir.chmod(0o700)
    called = terminal.call("runs", "list")
    assert called.code == 1
    assert "the database was lost. Restore it" in called.stderr


def test_a_named_server_is_never_replaced_by_the_data_folder(terminal: Terminal, served: Served) -> None:
    """With a named server and no token the command is refused."""
    called = terminal.call("runs", "list", "--server", served.address)
    assert called.code == 5
    assert called.stdout == ""
    assert "Set MOONMIND_API_TOKEN, use --token-file, or run `moonmind-appliance login`" in called.stderr


@pytest.mark.parametrize("token", ["mma_" + "x" * 43, "zq-no-token-of-ours"])
def test_a_wrong_token_is_refused_without_being_shown(terminal: Terminal, served: Served, token: str) -> None:
    """The exit code is that of a refusal."""
    called = terminal.call("runs", "list", "--debug", MOONMIND_API_TOKEN=token)
    assert called.code == 5
    assert "unknown, expired or revoked" in called.stderr
    assert token not in called.stderr


def test_an_invalid_token_is_not_sent(terminal: Terminal, served: Served) -> None:
    """A line break in a header would start another header."""
    called = terminal.call("runs", "list", MOONMIND_API_TOKEN="one two")
    assert called.code == 5
    assert "one two" not in called.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_users_data_folder_cannot_be_used(terminal: Terminal) -> None:
    """Only write access to the files makes an operator: other users need a token."""
    Store.open(terminal.data_dir).close()
    terminal.home.chmod(0o755)
    look = """
import os, sys
from pathlib import Path
from moonmind_appliance.cli.configuration import owns_data
os.setgroups([]), os.setgid(65534), os.setuid(65534)
print(owns_data(Path(sys.argv[1])))
"""
    told = subprocess.run(
        [sys.executable, "-B", "-c", look, terminal.data_dir],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "False\n"
    assert owns_data(terminal.data_dir)
