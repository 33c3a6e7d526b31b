"""`shards --check`: the logins are checked now."""

from moonmind_appliance.store import Store
from tests.cli.terminal import Terminal


def test_without_an_engine_nothing_is_checked(terminal: Terminal) -> None:
    """The exit code is that of an unreachable service; the message says that no login was checked."""
    Store.open(terminal.data_dir).close()
    called = terminal.call("shards", "--check", DOCKER_HOST=f"unix://{terminal.home}/none.sock")
    assert called.code == 4
    assert called.stderr.splitlines()[0] == "The logins were not checked."
