"""Let go of what is older than its time: workspaces and artifacts of ended runs. The run's row stays."""

import logging

from moonmind_appliance.errors import EngineError
from moonmind_appliance.phases import LABEL_APPLIANCE, LABEL_RUN
from moonmind_appliance.runs.tools import Tools

_log = logging.getLogger(__name__)


def retain(tools: Tools) -> list[str]:
    """Remove volumes, files and artifact rows of runs whose time is over; returns their ids. Safe twice."""
    expired = tools.store.artifacts.runs_expired(tools.clock())
    gone = []
    for run_id in expired:
        try:
            for volume in tools.engine.volumes({LABEL_APPLIANCE: tools.appliance_id, LABEL_RUN: run_id}):
                tools.engine.remove_volume(volume.name)
        except EngineError as error:
            _log.warning("Run %s: its volumes could not be removed yet: %s", run_id, error)
            continue
        tools.files.remove_run(run_id)
        tools.store.artifacts.remove(run_id)
        gone.append(run_id)
        _log.info("Run %s: artifacts and workspace are over their time and removed.", run_id)
    return gone
