"""`shards --check`: check the logins now, and show which shard is being checked."""

from moonmind_appliance.attach import attach
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.connect import require_database
from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.models import Shard
from moonmind_appliance.runs.check_login import check_login


def check_logins(invocation: Invocation) -> list[Shard]:
    """Check every shard that runs nothing; return the states after the checks.

    Raises:
        CommandFailed: the data folder has no database.
        EngineUnreachable: no engine answers.
        StoreError: the data folder cannot be used.
    """
    settings = invocation.settings()
    require_database(settings.moonmind_data_dir)
    with attach(settings) as resources:
        try:
            resources.engine.info()
        except EngineUnreachable:
            invocation.print_message("The logins were not checked.")
            raise
        states = []
        for shard in range(len(resources.shards)):
            invocation.print_detail(f"checking shard {shard}")
            state, run_id = check_login(resources, shard)
            if run_id is not None:
                invocation.print_message(
                    f"Shard {shard} was not checked: it is running run {run_id}, which updates its login state."
                )
            states.append(state)
        return states
