"""`shards` over HTTP and on the data folder."""

from tests.api.served import Served
from tests.cli.terminal import Terminal


def test_shards_show_logins_and_who_waits(caller: Terminal, served: Served) -> None:
    """HTTP and the data folder give the same output."""
    run_id = served.submit()
    told = caller.call("shards", "--json").json
    assert [item["shard"] for item in told["items"]] == [0, 1, 2]
    assert [run["run_id"] for run in told["waiting"]] == [run_id]
    assert "1 run waits" in caller.call("shards").stdout
