"""Who may see and control which run."""

from moonmind_appliance.errors import NotFound
from moonmind_appliance.models import Actor, Run
from moonmind_appliance.store import Store


def visible_run(store: Store, actor: Actor, run_id: str) -> Run:
    """The run without its specification text, if the actor submitted it or is an operator.

    Raises:
        NotFound: `run_not_found`, with the same message for a missing run and for another user's.
    """
    run = store.runs.get(run_id, text=False)
    if run is None or not (actor.operator or run.created_by.subject == actor.subject):
        raise NotFound(
            f"Run {run_id} does not exist.",
            hint="Check the id. You can see only runs that you submitted.",
            code="run_not_found",
        )
    return run
