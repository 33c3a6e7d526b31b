"""Which phases an attempt has to run. Pure."""

from moonmind_appliance.models import PHASE_ORDER, PhaseName, PhaseStatus, Run

_DONE = frozenset({PhaseStatus.SUCCEEDED, PhaseStatus.SKIPPED})
# Phases that every attempt repeats if a later phase needs them; and phases that write to the run's volumes, in order.
_KEEPS_ALIVE = PhaseName.START_JOB_CONTAINER
_IN_VOLUMES = PHASE_ORDER[PHASE_ORDER.index(PhaseName.GIT_CLONE) : PHASE_ORDER.index(PhaseName.OPEN_PR)]


def phases_to_do(run: Run) -> list[PhaseName]:
    """The phases of this attempt, in order, without `cleanup`.

    A run continues at its first phase that is not done, and repeats all later ones, which depend on it. Published
    results are never repeated. The containers are started again if a remaining phase needs them. The repository is
    cloned again if `specify` was interrupted: it must not find the incomplete files of that attempt.
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
    """The phases after `start_job_container` if the run's volumes are new: everything created in the old ones is lost.

    Args:
        to_do: the phases still to do. Nothing was published yet, else the containers would not have been started.
    """
    again = {*_IN_VOLUMES, *to_do}
    return [name for name in PHASE_ORDER if name in again]
