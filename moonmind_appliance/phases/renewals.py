"""Waits for renewals of a login before a run's containers are removed.

A renewal by the run's login broker invalidates the login's old tokens: the container that has the login, and the git
container, whose network it uses, must live until the new tokens are stored.
"""

import io
import logging
from collections.abc import Iterable

from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import EngineError
from moonmind_appliance.in_container.command import command
from moonmind_appliance.models import LABEL_ROLE, LABEL_RUN, ContainerState, ExecSpec, egress_container
from moonmind_appliance.phases.names import EGRESS

# As long as Codex's app server may take for a renewal, and some time to start it.
_RENEWAL_SECONDS = 35

_log = logging.getLogger(__name__)


def wait_for_renewals(engine: ContainerEngine, containers: Iterable[ContainerState]) -> None:
    """Wait until no login broker in these containers renews its login, for at most 40 seconds each. Never raises."""
    for container in containers:
        if not (container.running and has_login_broker(container)):
            continue
        job = command("renewal_wait", {"seconds": _RENEWAL_SECONDS})
        spec = ExecSpec(command=job, time_limit=_RENEWAL_SECONDS + 5, working_dir="/work")
        try:
            engine.execute(container.container_id, spec, stdout=io.BytesIO(), stderr=io.BytesIO())
        except EngineError as error:
            _log.debug("%s: no renewal was awaited: %s", container.name, error)


def has_login_broker(container: ContainerState) -> bool:
    """Whether it is an egress container that has the login: then its name is the shard's lock."""
    run_id = container.labels.get(LABEL_RUN, "")
    return container.labels.get(LABEL_ROLE) == EGRESS and container.name != egress_container(run_id)
