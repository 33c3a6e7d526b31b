"""The phases of a run, in order. Each takes a `PhaseContext`, returns a `PhaseResult`, and may be repeated."""

from collections.abc import Callable

from moonmind_appliance.models import PhaseName
from moonmind_appliance.phases.cleanup import cleanup, remove_containers
from moonmind_appliance.phases.commit_push import commit_push
from moonmind_appliance.phases.context import MEASURE_EVERY, PhaseContext
from moonmind_appliance.phases.git_clone import clone_ahead, git_clone
from moonmind_appliance.phases.names import LABEL_APPLIANCE, LABEL_ROLE, LABEL_RUN, LABEL_SHARD, Names
from moonmind_appliance.phases.open_pr import open_pr
from moonmind_appliance.phases.prepare_job import prepare_job
from moonmind_appliance.phases.recorders import ArtifactRecorder, LogSink
from moonmind_appliance.phases.result import PhaseResult
from moonmind_appliance.phases.speckit import speckit_plan, speckit_specify, speckit_tasks
from moonmind_appliance.phases.start_job_container import start_job_container

PHASES: dict[PhaseName, Callable[[PhaseContext], PhaseResult]] = {
    PhaseName.PREPARE_JOB: prepare_job,
    PhaseName.START_JOB_CONTAINER: start_job_container,
    PhaseName.GIT_CLONE: git_clone,
    PhaseName.SPECKIT_SPECIFY: speckit_specify,
    PhaseName.SPECKIT_PLAN: speckit_plan,
    PhaseName.SPECKIT_TASKS: speckit_tasks,
    PhaseName.COMMIT_PUSH: commit_push,
    PhaseName.OPEN_PR: open_pr,
    PhaseName.CLEANUP: cleanup,
}

__all__ = [
    "LABEL_APPLIANCE",
    "LABEL_ROLE",
    "LABEL_RUN",
    "LABEL_SHARD",
    "MEASURE_EVERY",
    "PHASES",
    "ArtifactRecorder",
    "LogSink",
    "Names",
    "PhaseContext",
    "PhaseResult",
    "clone_ahead",
    "remove_containers",
]
