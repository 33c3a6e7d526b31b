"""Which phases an attempt has to run. Pure."""

from moonmind_appliance.models import PHASE_ORDER, PhaseName, PhaseStatus, Run

_DONE = frozenset({PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED})
# What is made again on every attempt, where anything needs it; and what is made in the run's volumes, in order.
_KEEPS_ALIVE = PhaseName.START_JOB_CONTAINER
_IN_VOLUMES = PHASE_ORDER[PHASE_ORDER.index(PhaseName.GIT_CLONE) : PHASE_ORDER.index(PhaseName.OPEN_PR)]


def phases_to_do(run: Run) -> list[PhaseName]:
    """The phases of this attempt, in order, without `cleanup`.

    A run goes on at its first phase that is not done, and does all that follows: it builds on it. What was published
    is never made again, whatever stands before it. The containers are made good again when anything is left to do
    inside them, and the clone is made anew when `specify` was cut off: its half-made files must not be found.
    """
    phases: list[PhaseName] = [name for name in PHASE_ORDER if name is not PhaseName.CLEANUP]
    done = {name for name in phases if run.phase(name).status in _DONE}
    for published in (PhaseName.COMMIT_PUSH, PhaseName.OPEN_PR):
        if published in done:
            done.update(phases[: phases.index(published)])
    first = next((name for name in phases if name not in done and name is not _KEEPS_ALIVE), None)
    if first is None:
        return []
    begin = PhaseName.GIT_CLONE if first is PhaseName.SPECKIT_SPECIFY else first
    to_do: list[PhaseName] = [name for name in phases[phases.index(begin) :] if name is not _KEEPS_ALIVE]
    if any(name in _IN_VOLUMES for name in to_do):
        to_do.append(_KEEPS_ALIVE)
    return sorted(to_do, key=PHASE_ORDER.index)


def phases_after_loss(to_do: list[PhaseName]) -> list[PhaseName]:
    """The phases behind `start_job_container` where the run's volumes are new: all that was made in them is gone.

    Args:
        to_do: those that were still to do; nothing of it was published, else the containers were not started.
    """
    again = {*_IN_VOLUMES, *to_do}
    return [name for name in PHASE_ORDER if name in again]
