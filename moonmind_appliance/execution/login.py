"""Records what a run finds out about its shard's login."""

import msgspec

from moonmind_appliance.models import LoginCheck, LoginState
from moonmind_appliance.resources import Resources
from moonmind_appliance.scheduling.waiting import update_waiting_after
from moonmind_appliance.shards.evidence import login_checked
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

    def checked(self, check: LoginCheck) -> None:
        """Store that the run's login broker tried to renew the login."""
        resources, shards = self._resources, self._resources.store.shards
        shown = msgspec.structs.replace(check, words=resources.redactor.redact_text(check.words))
        before = shards.get(self._shard)
        state = shards.change(self._shard, lambda known: login_checked(known, shown, now=resources.clock()))
        update_waiting_after(resources, before, state)
