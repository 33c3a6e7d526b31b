"""Which phases an attempt has to run. Pure."""

from moonmind_appliance.models import PHASE_ORDER, PhaseName, PhaseStatus, Run

_DONE = frozenset({PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED})
# What happens inside the containers, in order.
_IN_CONTAINERS = PHASE_ORDER[PHASE_ORDER.index(PhaseName.GIT_CLONE) : PHASE_ORDER.index(PhaseName.OPEN_PR)]


def phases_to_do(run: Run) -> list[PhaseName]:
    """The phases of this attempt, in order, without `cleanup`.

    A run goes on at its first phase that is not done. The containers are made good again when anything is left to do
    inside them, and the clone is made anew when `specify` was cut off: its half-made files must not be found.
    """
    done = {phase.phase for phase in run.phases if phase.status in _DONE}
    to_do = [name for name in PHASE_ORDER if name is not PhaseName.CLEANUP and name not in done]
    if any(name in to_do for name in _IN_CONTAINERS):
        to_do.append(PhaseName.START_JOB_CONTAINER)
    if PhaseName.SPECKIT_SPECIFY in to_do:
        to_do.append(PhaseName.GIT_CLONE)
    return sorted(set(to_do), key=PHASE_ORDER.index)
