"""Check a shard's login now, without a model turn."""

from moonmind_appliance.models import Shard
from moonmind_appliance.runs.readiness import renew_login, say_who_waits
from moonmind_appliance.runs.tools import Tools


def check_login(tools: Tools, shard: int) -> tuple[Shard, str | None]:
    """Check and renew a shard's login; the shard's state, and the id of the run that kept it from being checked.

    A shard that executes a run is left alone: two users of one login would spend each other's refresh token, and the
    run shows how the login is. If the check cannot be made now, the state stays as it was and is checked again soon.
    Takes seconds. Safe twice.

    Raises:
        StoreError: the database cannot be used.
    """
    running = next((run for run in tools.store.runs.in_progress() if run.shard == shard), None)
    known = tools.store.shards.get(shard)
    if running is not None:
        return known, running.run_id
    state = renew_login(tools, known, wanted=True)
    say_who_waits(tools)
    return state, None
