"""`shards` over HTTP and on the data folder."""

from moonmind_appliance.models import WaitingFor, WaitReason
from tests.api.served import Served
from tests.cli.terminal import Terminal


def test_shards_show_logins_and_who_waits(caller: Terminal, served: Served) -> None:
    """HTTP and the data folder give the same output."""
    run_id = served.submit()
    told = caller.call("shards", "--json").json
    assert [item["shard"] for item in told["items"]] == [0, 1, 2]
    assert [run["run_id"] for run in told["waiting"]] == [run_id]
    assert "1 run waits for its turn." in caller.call("shards").stdout
    served.submit()
    assert "2 runs wait for their turn." in caller.call("shards").stdout
    served.store.queue.wait(run_id, WaitingFor(WaitReason.DISK))
    assert "2 runs wait: 1 for disk, 1 for their turn." in caller.call("shards").stdout
