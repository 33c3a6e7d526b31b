"""Take a shard's lock by starting the one container that can have its fixed name.

It waits for short work on a login (a read, a check, the move of a new login), and removes
containers of such work that a crash left. It never removes the container of a run.
"""

from moonmind_appliance.containers.engine import CancelToken, ContainerEngine
from moonmind_appliance.errors import NameTaken
from moonmind_appliance.models import LABEL_ROLE, LABEL_RUN, ContainerSpec

# Created and never started: no process in it uses the login, so it can be removed at any time.
LOOK = "look"
# Renews the login: never interrupted; its own command ends by itself.
CHECK = "check"
# Replaces the login file: never interrupted either.
MOVE = "login"

_SHORT = frozenset({LOOK, CHECK, MOVE})
_PAUSE = 0.25
# A container that was created a moment ago may be about to start.
_SETTLE_SECONDS = 3.0


def start_under_lock(
    engine: ContainerEngine,
    spec: ContainerSpec,
    *,
    run: bool = True,
    patience: float = 8.0,
    cancel: CancelToken | None = None,
) -> str:
    """Start the container; returns its id.

    Args:
        engine: the engine that has the volume.
        spec: its name is the lock.
        run: False to create it only.
        patience: seconds to wait for short work; there is no wait for a run.
        cancel: ends the waiting.

    Raises:
        NameTaken: a run uses the shard, or short work exceeded `patience`; the error has that container's labels.
        ImageNotFound: nothing was created.
    """
    waited = 0.0
    sleep = cancel or CancelToken()
    while True:
        try:
            return engine.start(spec, run=run)
        except NameTaken as error:
            role = error.holder.get(LABEL_ROLE)
            if error.holder and role not in _SHORT:
                raise
            if error.holder and not error.running and waited >= _SETTLE_SECONDS:
                engine.remove(spec.name)
                waited = 0.0
            elif waited >= patience or sleep.reason is not None:
                raise
        sleep.wait(_PAUSE)
        waited += _PAUSE


def lock_holder(error: NameTaken) -> str:
    """Who uses a shard, for display."""
    role, run = error.holder.get(LABEL_ROLE, ""), error.holder.get(LABEL_RUN)
    if run:
        return f"run {run}"
    names = {MOVE: "another sign-in", CHECK: "a health check", LOOK: "a login check"}
    return names.get(role, f"the container {error.name}")
