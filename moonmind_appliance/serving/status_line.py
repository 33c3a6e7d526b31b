"""One line about the state of the appliance, for `systemctl status`."""

from collections import Counter

from moonmind_appliance.models import LoginState
from moonmind_appliance.resources import Resources
from moonmind_appliance.store.backlog import TURN
from moonmind_appliance.units import duration


def status_line(resources: Resources) -> str:
    """Runs in progress, queued runs and what they wait for, usable logins.

    Raises:
        StoreError: the database cannot be read.
    """
    backlog = resources.store.backlog.now(resources.clock())
    shards = resources.store.shards.all(len(resources.shards))
    reasons = ", ".join(f"{found.runs} for {why}" for why, found in sorted(backlog.waiting.items()) if why != TURN)
    queued = sum(found.runs for found in backlog.waiting.values())
    oldest = max((found.oldest_seconds for found in backlog.waiting.values()), default=0.0)
    logins = Counter(shard.login for shard in shards)
    return (
        f"{sum(backlog.running.values())} in progress, {queued} queued"
        + (f" (oldest {duration(oldest)}{'; ' + reasons if reasons else ''})" if queued else "")
        + f"; {logins[LoginState.PRESENT]} of {len(shards)} logins usable."
    )
