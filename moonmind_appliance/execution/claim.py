"""Before a worker claims a run: check the disk and the shard's login, decide, and act on the decision."""

from datetime import datetime, timedelta

from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.models import LoginState, Shard, WaitingFor, WaitReason
from moonmind_appliance.resources import Resources
from moonmind_appliance.retention.disk import low_disk
from moonmind_appliance.scheduling.claim import Claim, Facts, WhyNot, may_claim
from moonmind_appliance.scheduling.waiting import update_waiting_after
from moonmind_appliance.shards.evidence import cooldown_over
from moonmind_appliance.shards.health import nearly_used, renewal_is_due
from moonmind_appliance.shards.upkeep import refresh_login, renew_login

_DISK_PAUSE = timedelta(seconds=5)
_ENGINE_PAUSE = timedelta(seconds=5)


def prepare_claim(resources: Resources, shard: int) -> bool:
    """Whether the shard may claim a run now. Checks a login whose state is unknown or uncertain.

    If it may not, the next wake-up is scheduled where its time is known. While the appliance is drained, none is.
    """
    if resources.store.drain.since() is not None:
        return False
    now = resources.clock()
    if (disk := low_disk(resources, resources.settings.min_free_disk, with_engine=True)) is not None:
        waiting_for = WaitingFor(WaitReason.DISK, now + _DISK_PAUSE, f"the disk of {disk.what} is nearly full")
        resources.store.queue.wait_for_machine(waiting_for)
        resources.wakeups.wake_at(shard, now + _DISK_PAUSE)
        return False
    try:
        resources.engine.probe()
    except EngineUnreachable as error:
        # Claims that fail again and again would only fill the run's history.
        waiting_for = WaitingFor(WaitReason.ENGINE, now + _ENGINE_PAUSE, error.message)
        resources.store.queue.wait_for_machine(waiting_for)
        resources.wakeups.wake_at(shard, now + _ENGINE_PAUSE)
        return False
    before = resources.store.shards.get(shard)
    state = _up_to_date(resources, before, now)
    update_waiting_after(resources, before, state)
    facts = _facts(resources) if nearly_used(state, now) else None
    decision = may_claim(state, facts, now)
    if isinstance(decision, Claim):
        return True
    if decision.until is not None:
        resources.wakeups.wake_at(shard, decision.until)
    if decision.why is WhyNot.LEFT_TO_ANOTHER and decision.other is not None:
        resources.wakeups.wake(decision.other)
        data = {"to": decision.other, "windows": state.quota}
        resources.store.events.add("shard.left_to_others", shard=shard, data=data)
    return False


def _up_to_date(resources: Resources, state: Shard, now: datetime) -> Shard:
    """The shard's state, after a check of its login if that is needed."""
    if cooldown_over(state, now=now).shard != state:
        state = resources.store.shards.change(state.shard, lambda known: cooldown_over(known, now=now))
    if state.login is not LoginState.PRESENT:
        return refresh_login(resources, state)
    if renewal_is_due(state, now):
        return renew_login(resources, state)
    return state


def _facts(resources: Resources) -> Facts:
    store = resources.store
    with store.database.read():
        busy = frozenset(run.shard for run in store.run_lists.in_progress())
        return Facts(store.shards.all(len(resources.shards)), busy, store.queue.groups(resources.clock()))
