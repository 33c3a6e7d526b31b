"""Check a shard's login now, without a model turn."""

from moonmind_appliance.models import Shard
from moonmind_appliance.resources import Resources
from moonmind_appliance.scheduling.waiting import update_waiting
from moonmind_appliance.shards.upkeep import renew_login


def check_login(resources: Resources, shard: int) -> tuple[Shard, str | None]:
    """Check and renew a shard's login; returns the shard's state, and the id of the run that prevented the check.

    A shard that executes a run is not checked: two users of one login would invalidate each other's refresh token,
    and the run reports the login's state. If the check is not possible now, the state is unchanged and checked soon.
    Takes seconds. Idempotent.

    Raises:
        StoreError: the database cannot be used.
    """
    running = next((run for run in resources.store.run_lists.in_progress() if run.shard == shard), None)
    known = resources.store.shards.get(shard)
    if running is not None:
        return known, running.run_id
    state = renew_login(resources, known, wanted=True)
    update_waiting(resources)
    return state, None
