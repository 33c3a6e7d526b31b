"""Records what a run finds out about its shard's login."""

from moonmind_appliance.models import LoginState
from moonmind_appliance.resources import Resources
from moonmind_appliance.scheduling.waiting import update_waiting_after
from moonmind_appliance.shards.read_login import record_login_file


class ShardLoginRecorder:
    """The login of one shard; a `LoginRecorder` for the phases of a run."""

    def __init__(self, resources: Resources, shard: int) -> None:
        self._resources = resources
        self._shard = shard

    def record(self, login_file: bytes | None) -> str:
        """Store what the file shows; returns why the run must not use the login, or ""."""
        before = self._resources.store.shards.get(self._shard)
        state = record_login_file(self._resources, self._shard, login_file)
        update_waiting_after(self._resources, before, state)
        return "" if state.login is LoginState.PRESENT else state.login_reason or f"login {state.login.value}"
