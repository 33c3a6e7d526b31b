"""Runs the phases of one attempt of a run. The work of two phases begins earlier."""

from collections.abc import Sequence
from concurrent.futures import Future, wait

from moonmind_appliance.models import PhaseName
from moonmind_appliance.phases.background import in_background
from moonmind_appliance.phases.cleanup import Removed, cleanup, remove_containers
from moonmind_appliance.phases.commit_push import commit_push
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.git_clone import git_clone
from moonmind_appliance.phases.names import AGENT, EGRESS, GIT
from moonmind_appliance.phases.open_pr import open_pr
from moonmind_appliance.phases.prepare_job import prepare_job
from moonmind_appliance.phases.result import PhaseResult
from moonmind_appliance.phases.speckit import speckit_phase
from moonmind_appliance.phases.start_job_container import start_job_container

# Longest delay until the end of a command is noticed after its container was removed.
_CLONE_ENDS_SECONDS = 10.0


class PhaseRunner:
    """Runs phases by name, in the caller's thread. Not thread-safe; one for each attempt of a run.

    The clone begins as soon as the git container runs, while the agent container is still starting: a start takes
    longer than most clones. The agent and egress containers are removed while the change is pushed, the git container
    while the pull request is opened: nothing needs them then.
    """

    def __init__(self, ctx: PhaseContext) -> None:
        self._ctx = ctx
        self._clone: Future[PhaseResult] | None = None
        self._agent_removal: Future[Removed] | None = None
        self._removal: Future[Removed] | None = None

    def run(self, phase: PhaseName) -> PhaseResult:  # noqa: PLR0911 - one for each phase
        """Run a phase. It may be repeated.

        Raises:
            RunInterrupted: a cancel, a shutdown or a lost lease ended it.
            EngineError: the Docker engine does not answer or refused a call.
            DiskFull: there is no space for the run's files.
            StoreError: an artifact or the shard's state could not be saved.
        """
        match phase:
            case PhaseName.PREPARE_JOB:
                return prepare_job(self._ctx)
            case PhaseName.START_JOB_CONTAINER:
                self.wait_for_removal()
                return start_job_container(self._ctx, git_started=self._begin_clone)
            case PhaseName.GIT_CLONE:
                return self._git_clone()
            case PhaseName.SPECKIT_SPECIFY | PhaseName.SPECKIT_PLAN | PhaseName.SPECKIT_TASKS:
                return self._turn(phase)
            case PhaseName.COMMIT_PUSH:
                return commit_push(self._ctx, files_read=self._remove_agent)
            case PhaseName.OPEN_PR:
                self._remove_rest()
                return open_pr(self._ctx)
            case PhaseName.CLEANUP:
                return self._cleanup()

    def _turn(self, phase: PhaseName) -> PhaseResult:
        try:
            return speckit_phase(phase, self._ctx)
        finally:
            # Also after an interruption: reviewers need the record of a failed or cancelled run, too.
            self._keep_egress(phase)

    def _keep_egress(self, phase: PhaseName) -> None:
        if self._ctx.wall is not None:
            self._ctx.wall.keep(phase)

    def _begin_clone(self) -> None:
        if PhaseName.GIT_CLONE in self._ctx.to_do:
            # The logs belong to the attempt at `git_clone` that will report this.
            attempt = self._ctx.run.phase(PhaseName.GIT_CLONE).attempt + 1
            self._clone = in_background("clone", lambda: git_clone(self._ctx, attempt))

    def _git_clone(self) -> PhaseResult:
        if self._clone is None:
            return git_clone(self._ctx)
        clone, self._clone = self._clone, None
        return clone.result()

    def _remove_agent(self) -> None:
        """Start to remove the frozen agent container, and the egress container, which only the agent used."""
        self.wait_for_removal()
        self._agent_removal = in_background("cleanup", lambda: self._remove(AGENT, EGRESS))

    def _remove_rest(self) -> None:
        """Begin to remove the containers that are left."""
        earlier = [removal for removal in (self._agent_removal, self._removal) if removal is not None]
        self._removal = in_background("cleanup", lambda: self._remove_after(earlier))

    def _remove_after(self, earlier: Sequence[Future[Removed]]) -> Removed:
        """Remove the git container at once, and what is left when the earlier removals have ended."""
        git = self._remove(GIT)
        wait(earlier)
        rest = self._remove()
        return Removed([*git.names, *rest.names], rest.problems)

    def _remove(self, *roles: str) -> Removed:
        return remove_containers(self._ctx.engine, self._ctx.names.appliance_id, self._ctx.run.run_id, *roles)

    def _cleanup(self) -> PhaseResult:
        agent = Removed() if self._agent_removal is None else self._agent_removal.result()
        result = cleanup(self._ctx, self._removal.result() if self._removal else None, before=agent.names)
        self._keep_egress(PhaseName.CLEANUP)
        self.wait_for_clone()
        return result

    def wait_for_removal(self) -> None:
        """Wait for removals of containers that an earlier phase began: this attempt may start them again."""
        wait([removal for removal in (self._agent_removal, self._removal) if removal is not None])
        self._agent_removal = self._removal = None

    def wait_for_clone(self) -> None:
        """Wait for a clone that no `git_clone` reported, after its container was removed: it must close its logs."""
        if self._clone is not None:
            wait([self._clone], timeout=_CLONE_ENDS_SECONDS)
