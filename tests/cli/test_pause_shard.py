"""`pause-shard` and `resume-shard`."""

from tests.api.served import Served
from tests.cli.terminal import Terminal


def test_pause_and_resume(terminal: Terminal, served: Served) -> None:
    """A paused shard is shown with the next step; both commands are safe twice; unknown shards are refused."""
    for _ in range(2):
        called = terminal.call("pause-shard", "1")
        assert called.code == 0
        assert called.stdout.startswith("Shard 1 is paused and accepts no new runs.")
    assert served.store.shards.get(1).paused_at is not None
    shown = terminal.call("shards").stdout
    assert "Shard 1 is paused since" in shown
    assert "moonmind-appliance resume-shard 1" in shown
    assert terminal.call("resume-shard", "1", "--json").json["shard"]["paused_at"] is None
    assert terminal.call("resume-shard", "1").stdout == "Shard 1 accepts runs.\n"
    assert "paused" not in terminal.call("shards").stdout
    assert terminal.call("pause-shard", "3").code == 2
