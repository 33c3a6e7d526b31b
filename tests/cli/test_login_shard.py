"""`login-shard`, `logout-shard`, `shards --check`: the real Codex CLI's sign-in from the command line."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance import settings
from moonmind_appliance.attach import attach
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from moonmind_appliance.shards.read_login import read_stored_login
from tests.cli.terminal import Terminal

pytestmark = [pytest.mark.docker, pytest.mark.image]


@pytest.fixture(scope="module")
def environment() -> Iterator[RehearsalEnvironment]:
    with RehearsalEnvironment(settings.load({}).settings, shards=2) as made:
        yield made


@pytest.fixture
def operator(environment: RehearsalEnvironment, tmp_path: Path) -> Terminal:
    """An operator's shell in the rehearsal's environment."""
    return Terminal(tmp_path, environment.variables())


def test_a_sign_in_shows_the_code_and_ends_signed_in(operator: Terminal) -> None:
    """The prompt comes first, then the account; a second sign-in replaces the login; signing out is safe twice."""
    first = operator.run("login-shard", "0", "--json")
    assert [line["event"] for line in first.lines] == ["prompt", "signed_in"]
    assert first.lines[0]["address"] == "https://auth.openai.com/codex/device"
    assert first.lines[0]["code"] in first.stderr
    assert first.lines[1]["shard"]["login"] == "present"

    again = operator.run("login-shard", "0")
    assert again.stdout.startswith("✔ Shard 0 is signed in as codex-")

    shards = operator.run("shards", "--check", "--json").json["items"]
    assert shards[0]["login"] == "present"
    assert [grade["good"] for grade in shards[0]["health"]["grades"]][:3] == [True, True, True]
    assert operator.run("logout-shard", "0", "--json").json["was_signed_in"] is True
    assert operator.run("logout-shard", "0", "--json").json["was_signed_in"] is False


def no_container_of_a_sign_in(environment: RehearsalEnvironment, shard: int) -> bool:
    mine = {f"moonmind_rehearsal_{environment.id}_{shard}{suffix}" for suffix in ("-login", "-in-use")}
    return not {container.name for container in environment.engine.containers({})} & mine


def login_file(environment: RehearsalEnvironment, shard: int) -> bytes | None:
    with attach(environment.settings) as resources:
        return read_stored_login(resources, shard)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_a_stopped_sign_in_leaves_the_old_login(
    operator: Terminal, environment: RehearsalEnvironment, sent: signal.Signals
) -> None:
    """The clean-up leaves no container, and the previous login is unchanged byte for byte."""
    environment.sign_in_by(environment.variables(), 1)
    before = login_file(environment, 1)
    with environment.openai.manual_approval():
        process = operator.start("login-shard", "1", "--json")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "prompt"
        process.send_signal(sent)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert "the old login, if any, is unchanged" in stderr
    assert "Traceback" not in stderr
    assert before is not None
    assert login_file(environment, 1) == before
    assert no_container_of_a_sign_in(environment, 1)


def test_a_sign_in_that_is_stopped_before_its_prompt(operator: Terminal, environment: RehearsalEnvironment) -> None:
    """It says so, and its container is removed at once, not only at the end of its own time limit."""
    with environment.openai.manual_approval():
        process = operator.start("login-shard", "1", "--json")
        while no_container_of_a_sign_in(environment, 1) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "The sign-in was stopped; the old login, if any, is unchanged." in stderr
    assert no_container_of_a_sign_in(environment, 1)


def test_ctrl_c_at_the_moment_of_the_consent(operator: Terminal, environment: RehearsalEnvironment) -> None:
    """The command reports which came first: stopped and unchanged, or signed in."""
    process = operator.start("login-shard", "1", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "prompt"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    if process.returncode == 130:
        assert (stdout, "the old login, if any, is unchanged" in stderr) == ("", True)
    else:
        assert (process.returncode, json.loads(stdout)["event"]) == (0, "signed_in")
        assert "Too late to stop the sign-in" in stderr
    assert no_container_of_a_sign_in(environment, 1)


def test_a_file_without_a_login_is_refused(operator: Terminal, tmp_path: Path) -> None:
    """An API key is read from stdin, never from the command line."""
    path = tmp_path / "auth.json"
    path.write_text("{}", encoding="utf-8")
    called = operator.run("login-shard", "0", "--from-file", str(path))
    assert called.code == 1
    assert "contains no login" in called.stderr
    nothing = operator.run("login-shard", "0", "--api-key")
    assert nothing.code == 2
    assert "There is no API key on stdin." in nothing.stderr


def test_sign_in_methods_exclude_each_other(operator: Terminal) -> None:
    """Only one method and only existing shards are accepted."""
    assert operator.call("login-shard", "0", "--browser", "--api-key").code == 2
    called = operator.call("login-shard", "2")
    assert called.code == 2
    assert "Use 0 to 1" in called.stderr
