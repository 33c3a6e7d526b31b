"""`runs retry` over HTTP and on the data folder."""

from tests.api.served import Served
from tests.cli.terminal import Terminal


def test_a_cancelled_run_is_queued_again_once(caller: Terminal, served: Served) -> None:
    """With --json the answer is the API's."""
    run_id = served.submit()
    caller.call("runs", "cancel", run_id)
    assert caller.call("runs", "retry", run_id).stdout == f"Run {run_id[:8]} is queued again.\n"
    assert caller.call("runs", "retry", run_id).code == 1
    caller.call("runs", "cancel", run_id)
    assert caller.call("runs", "retry", run_id, "--json").json["status"] == "queued"
