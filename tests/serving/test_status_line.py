"""The line that `systemctl status` shows."""

import msgspec

from moonmind_appliance.models import LoginState, WaitingFor, WaitReason
from moonmind_appliance.serving.status_line import status_line
from moonmind_appliance.store.shards import ShardChange
from tests.api.served import Served


def test_runs_queue_and_logins(served: Served) -> None:
    """The reasons for which runs wait are named, except their turn."""
    resources = served.parts.resources
    assert status_line(resources) == f"0 in progress, 0 queued; 0 of {len(resources.shards)} logins usable."
    first, second, third = served.submit(), served.submit(), served.submit()
    served.take(first)
    resources.store.queue.wait(second, WaitingFor(WaitReason.LOGIN))
    resources.store.shards.change(
        0, lambda known: ShardChange(msgspec.structs.replace(known, login=LoginState.PRESENT))
    )
    line = status_line(resources)
    assert line.startswith("1 in progress, 2 queued (oldest ")
    assert line.endswith(f"; 1 for login); 1 of {len(resources.shards)} logins usable.")
    assert third not in line
