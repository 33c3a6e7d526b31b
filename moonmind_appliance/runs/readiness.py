"""Whether a shard may claim a run now; where it may not, the runs that only it could take say why."""

import logging
import shutil
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from moonmind_appliance.errors import EngineError, NameTaken
from moonmind_appliance.models import LoginState, Shard, WaitingFor, WaitReason
from moonmind_appliance.shards.look import look_at_shard, note_login

if TYPE_CHECKING:
    from moonmind_appliance.runs.execute import Tools

_LOOK_AGAIN = timedelta(seconds=15)
_DISK_PAUSE = timedelta(minutes=1)

_log = logging.getLogger(__name__)


def ready_to_claim(tools: "Tools", shard: int) -> bool:
    """Whether the shard has room, a login and quota. Looks at a login that is not known to be there."""
    now = tools.clock()
    if shutil.disk_usage(tools.settings.moonmind_data_dir).free < tools.settings.min_free_disk:
        _all_wait(tools, WaitingFor(WaitReason.DISK, now + _DISK_PAUSE, "the data folder is nearly full"), shard)
        return False
    state = tools.store.shards.get(shard)
    if state.login is not LoginState.PRESENT:
        state = refresh_login(tools, state, now)
    if state.login is not LoginState.PRESENT:
        say_who_waits(tools)
        return False
    if state.rests_until is not None and state.rests_until > now:
        tools.doorbell.ring_at(shard, "", state.rests_until)
        say_who_waits(tools)
        return False
    return True


def refresh_login(tools: "Tools", state: Shard, now: datetime) -> Shard:
    """Look at a shard's login; what cannot be looked at now stays as it was, and is looked at again soon."""
    name = tools.shards[state.shard]
    try:
        login_file = look_at_shard(tools.engine, tools.settings, tools.agent, name, appliance_id=tools.appliance_id)
    except NameTaken as error:
        _log.info("Shard %s cannot be looked at: %s", state.shard, error.message)
        tools.doorbell.ring_at(state.shard, "", now + _LOOK_AGAIN)
        return state
    except EngineError as error:
        _log.warning("Shard %s cannot be looked at: %s", state.shard, error)
        tools.doorbell.ring_at(state.shard, "", now + _LOOK_AGAIN)
        return state
    return note_login(tools.store, tools.redactor, tools.agent, state.shard, login_file, now=now)


def say_who_waits(tools: "Tools") -> None:
    """Give each queued run the reason why no shard that it may use takes it; take the reason back where one does."""
    now = tools.clock()
    shards = tools.store.shards.all(len(tools.shards))
    for run in tools.store.runs.queued():
        mine = [shard for shard in shards if run.shard_pin in (None, shard.shard)]
        reason = why_wait(mine, now)
        if reason is not None:
            if run.waiting_for is None or run.waiting_for.reason is not reason.reason:
                tools.store.runs.wait(run.run_id, reason)
        elif run.waiting_for is not None and run.waiting_for.reason in (WaitReason.LOGIN, WaitReason.QUOTA):
            tools.store.runs.wait(run.run_id, None)


def why_wait(shards: list[Shard], now: datetime) -> WaitingFor | None:
    """What the shards that a run may use lack, all of them; None where one could take it. Pure."""
    unknown = [shard for shard in shards if shard.login is LoginState.UNKNOWN]
    present = [shard for shard in shards if shard.login is LoginState.PRESENT]
    if unknown:
        return None
    if not present:
        numbers = ", ".join(str(shard.shard) for shard in shards) or "none"
        return WaitingFor(WaitReason.LOGIN, None, f"no login on shard {numbers}")
    rests = [shard.rests_until for shard in present]
    if all(until is not None and until > now for until in rests):
        return WaitingFor(WaitReason.QUOTA, min(u for u in rests if u is not None), "every login's quota is used up")
    return None


def _all_wait(tools: "Tools", waiting_for: WaitingFor, shard: int) -> None:
    for run in tools.store.runs.queued():
        if run.waiting_for is None or run.waiting_for.reason is not waiting_for.reason:
            tools.store.runs.wait(run.run_id, waiting_for)
    if waiting_for.until is not None:
        tools.doorbell.ring_at(shard, "", waiting_for.until)
