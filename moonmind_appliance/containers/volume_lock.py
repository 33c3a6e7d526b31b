"""Take a shard's lock: start the one container that may have its fixed name.

Short work on a login (a look, a check, a move of a new login) is waited for, and what a crash left of it is removed. A
run's container is never touched here.
"""

from moonmind_appliance.containers.engine import CancelToken, ContainerEngine
from moonmind_appliance.errors import NameTaken
from moonmind_appliance.models import ContainerSpec

LABEL_ROLE = "moonmind.role"
# Created and never started: no process in it can use the login, so that it may be removed at any time.
LOOK = "look"
# Renews the login: left alone until its own command has ended, which it does by itself.
CHECK = "check"
# Replaces the login file: left alone in the same way.
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
        engine: where the volume is.
        spec: its name is the lock.
        run: False: it is only created.
        patience: seconds to wait for short work; a run is not waited for.
        cancel: ends the waiting.

    Raises:
        NameTaken: a run holds the shard, or short work outlasted the patience; says who.
        ImageNotFound: nothing was made.
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
