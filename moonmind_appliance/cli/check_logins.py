"""Look at the logins now: renewed where they can be, without a model turn, never beside a run on the same volume."""

from moonmind_appliance.appliance import attach
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.models import Shard
from moonmind_appliance.runs.readiness import renew_login, say_who_waits


def check_logins(invocation: Invocation) -> list[Shard]:
    """Check every shard that has no run in hand; the states as they are then.

    Raises:
        EngineUnreachable: no engine answers.
        StoreError: the data folder cannot be used.
    """
    tools = attach(invocation.settings())
    try:
        try:
            tools.engine.info()
        except EngineUnreachable:
            invocation.note("The logins were not looked at.")
            raise
        busy = {run.shard: run for run in tools.store.runs.in_progress()}
        states = []
        for state in tools.store.shards.all(len(tools.shards)):
            if state.shard in busy:
                invocation.note(f"Shard {state.shard} works on a run, which tells how its login is.")
                states.append(state)
            else:
                invocation.detail(f"looking at shard {state.shard}")
                states.append(renew_login(tools, state, wanted=True))
        say_who_waits(tools)
        return states
    finally:
        tools.store.close()
