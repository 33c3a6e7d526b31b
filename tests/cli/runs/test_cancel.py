"""`runs cancel` over HTTP and on the data folder."""

from tests.api.served import Served
from tests.cli.terminal import Terminal


def test_a_queued_run_is_cancelled_at_once_and_a_running_one_soon(caller: Terminal, served: Served) -> None:
    """The message says which; a run that has ended cannot be cancelled."""
    run_id = served.submit()
    assert caller.call("runs", "cancel", run_id).stdout == f"Run {run_id[:8]} is cancelled.\n"
    assert caller.call("runs", "cancel", run_id).code == 1
    run_id = served.submit()
    served.take(run_id)
    assert caller.call("runs", "cancel", "latest").stdout == (
        f"Run {run_id[:8]} is being cancelled; this takes a few seconds.\n"
    )
