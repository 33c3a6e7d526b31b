"""`drain` and `resume`, over HTTP and on the data folder."""

import signal
import subprocess
from datetime import UTC, datetime

import pytest

from tests.api.served import LEASE, Served
from tests.cli.terminal import Terminal


def test_drain_and_resume(caller: Terminal, served: Served) -> None:
    """`shards` shows it with the next step; both commands are safe twice."""
    run_id = served.submit()
    served.take(run_id)
    served.submit()
    for _ in range(2):
        called = caller.call("drain")
        assert called.code == 0
        assert called.stdout == (
            f"The appliance is drained: it starts no runs, and finishes run {run_id[:8]}. 1 run waits. Resume it with "
            "`moonmind-appliance resume`.\n"
        )
    assert served.store.drain.since() is not None
    shown = caller.call("shards").stdout
    assert "The appliance is drained since" in shown
    assert "1 run waits for the appliance to be resumed." in shown
    assert caller.call("shards", "--json").json["drained_at"] is not None
    assert caller.call("resume", "--json").json == {"drained_at": None, "running": [run_id], "queued": 1}
    assert caller.call("resume").stdout == "The appliance is resumed: `serve` starts runs again.\n"
    assert "drained" not in caller.call("shards").stdout


def waiting(terminal: Terminal) -> subprocess.Popen[str]:
    """A `drain --wait` that has reported what it waits for."""
    process = terminal.start("drain", "--wait")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Waiting for run ")
    return process


def test_wait_returns_when_the_last_run_has_ended(caller: Terminal, served: Served) -> None:
    """With exit code 0."""
    run_id = served.submit()
    served.take(run_id)
    process = waiting(caller)
    served.finish(run_id)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert stdout.startswith("The appliance is drained and starts no runs.")


def test_a_resume_ends_the_wait(terminal: Terminal, served: Served) -> None:
    """With exit code 1: the appliance does not become idle."""
    served.take(served.submit())
    process = waiting(terminal)
    served.store.drain.end(datetime.now(UTC))
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: The appliance was resumed while this command waited" in stderr


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_wait_that_is_stopped(terminal: Terminal, served: Served, sig: signal.Signals) -> None:
    """Exit code 130; the appliance stays drained, and the message says how to resume it."""
    served.take(served.submit())
    process = waiting(terminal)
    process.send_signal(sig)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The appliance stays drained: it starts no runs. Resume it with `moonmind-appliance resume`." in stderr
    assert served.store.drain.since() is not None


def test_a_run_of_a_killed_process_does_not_count(terminal: Terminal, served: Served) -> None:
    """Its claim has expired: `serve` queues it when it starts, and waiting for it would never end."""
    run_id = served.submit()
    served.take(run_id)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    served.store.queue.heartbeat(run_id, LEASE, now=long_ago, lease_seconds=1)
    assert terminal.call("drain", "--wait", "--json").json["running"] == []
