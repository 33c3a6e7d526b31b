"""Execute one claimed run: the nine phases in order, cleanup always, one final status."""

import logging
from collections.abc import Mapping
from datetime import timedelta

import msgspec

from moonmind_appliance.agents.adapter import SKILLS
from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import (
    ApplianceError,
    DatabaseUnusable,
    EngineError,
    InterruptReason,
    LeaseLost,
    RunInterrupted,
    StoreError,
)
from moonmind_appliance.execution.artifact_records import complete_records
from moonmind_appliance.execution.artifacts import RunArtifacts
from moonmind_appliance.execution.login import ShardLoginRecorder
from moonmind_appliance.execution.metrics import keep_metrics
from moonmind_appliance.execution.resume import phases_after_loss, phases_to_do
from moonmind_appliance.execution.run_events import RunEvents
from moonmind_appliance.execution.waits import is_engine_failure, timed, wait_after, wait_for_github
from moonmind_appliance.models import (
    PHASE_ORDER,
    AgentVerdict,
    CommittedChange,
    Failure,
    FailureCode,
    OpenedPullRequest,
    PhaseName,
    PhaseStatus,
    Run,
    RunStatus,
    ShardNames,
    StartedContainers,
    WaitingFor,
    WaitReason,
    cancelled_summary,
    failure,
)
from moonmind_appliance.phases import (
    Names,
    PhaseContext,
    PhaseResult,
    PhaseRunner,
    PreparedCommands,
    remove_containers,
)
from moonmind_appliance.phases.background import in_background
from moonmind_appliance.phases.github_access import end_github_access
from moonmind_appliance.resources import Resources
from moonmind_appliance.scheduling.waiting import allowed, update_waiting_after, why_no_shard_continues
from moonmind_appliance.scheduling.wake import wake_for
from moonmind_appliance.shards.evidence import cooldown_jitter, turn_ended

# Give up on a run that was interrupted this often without progress: it may be what crashes the appliance.
MOST_INTERRUPTIONS = 5
# Phases that still begin while the process stops: they take seconds, and what the agent wrote is then safe on GitHub.
_PUBLISH = frozenset({PhaseName.COMMIT_PUSH, PhaseName.OPEN_PR})
# Phases whose success counts as progress: a run that resumes after an interruption does not repeat them.
_PROGRESS = frozenset({*SKILLS, PhaseName.COMMIT_PUSH, PhaseName.OPEN_PR})
_REPORTED_BY_TURNS = frozenset({WaitReason.QUOTA, WaitReason.LOGIN})

_log = logging.getLogger(__name__)


class Execution:
    """One claim of one run, from its first unfinished phase to its end or its next wait."""

    def __init__(  # noqa: PLR0917 - one caller, the executor
        self, resources: Resources, run: Run, lease: str, shard: ShardNames, token: CancelToken, measure_every: float
    ) -> None:
        self._resources = resources
        self._lease = lease
        self._context = PhaseContext(
            run=run,
            settings=resources.settings,
            names=Names(run.run_id, resources.appliance_id, shard, broker=resources.settings.login_broker),
            engine=resources.engine,
            github=resources.github_for(run.repository),
            agent=resources.agent,
            redactor=resources.redactor,
            artifacts=RunArtifacts(
                run.run_id,
                store=resources.store,
                files=resources.files,
                redactor=resources.redactor,
                clock=resources.clock,
                longest_log=resources.settings.max_log_bytes,
                all_logs=resources.settings.max_run_log_bytes,
            ),
            measure_every=measure_every,
            cancel=token,
            login_recorder=ShardLoginRecorder(resources, shard.index),
            events=RunEvents(resources.store, run.run_id, shard.index),
            prepared=PreparedCommands(resources.engine),
        )
        self._runner = PhaseRunner(self._context)
        self._phase: PhaseName | None = None

    @property
    def phase(self) -> PhaseName | None:
        """The phase that runs, or ran last; None before the first one. For display, from any thread."""
        return self._phase

    @property
    def _run(self) -> Run:
        return self._context.run

    def run(self) -> None:
        """Execute the run; its row ends up final or queued. Its tokens for GitHub are revoked in every case.

        Raises:
            LeaseLost: the claim is over.
            StoreError: the run's state cannot be saved at the moment; the run is still `in_progress`.
            MemoryError: the process has no memory left; the run is still `in_progress`.
        """
        try:
            self._run_phases()
        finally:
            self._context.prepared.close()
            if self._context.github is not None:
                self._context.github.tokens.end()

    def _run_phases(self) -> None:
        """As `run`."""
        try:
            self._phases()
        except RunInterrupted as interrupted:
            self._interrupted(interrupted.reason)
        except (LeaseLost, MemoryError):
            raise
        except Exception as error:
            if (waits := wait_after(self._resources, self._run, error)) is not None:
                # A container that ends each time may be the run's own fault: such waits are counted.
                self._wait(waits, interrupted=is_engine_failure(error), correct=isinstance(error, StoreError))
                return
            if isinstance(error, EngineError):
                self._end_with(failure(FailureCode.CONTAINER_FAILED, self._resources.redactor.redact_text(str(error))))
                return
            if isinstance(error, DatabaseUnusable):
                raise
            # A defect must end the run, not the worker.
            _log.exception("Run %s failed because of a bug.", self._run.run_id)
            message = str(error) if isinstance(error, ApplianceError) else type(error).__name__
            self._end_with(failure(FailureCode.INTERNAL_ERROR, self._resources.redactor.redact_text(message)))

    def _phases(self) -> None:
        if self._run.interruptions > MOST_INTERRUPTIONS:
            times = f"The run was interrupted {self._run.interruptions} times without progress."
            self._end_with(failure(FailureCode.CUT_OFF_TOO_OFTEN, times))
            return
        to_do = phases_to_do(self._run)
        self._context.to_do = tuple(to_do)
        repeated = set[PhaseName]()
        while to_do:
            name = self._phase = to_do.pop(0)
            if self._resources.stopping.is_set() and name not in _PUBLISH:
                # Also for a clone in the background.
                self._context.cancel.cancel(InterruptReason.SHUTDOWN)
            self._context.cancel.check()
            if (no_changes := self._no_changes()) is not None:
                self._skip(name, no_changes)
                continue
            result = self._one(name)
            if result.waiting_for is not None:
                self._wait(timed(result.waiting_for, self._resources.clock()), phase=name, outage=result.outage)
                return
            if result.failure is not None:
                if result.repeat is not None and result.repeat not in repeated:
                    repeated.add(result.repeat)
                    to_do = self._repeat(result.repeat, result.failure)
                    continue
                self._end_with(result.failure)
                return
            if isinstance(result.output, StartedContainers) and result.output.volumes_are_new:
                to_do = self._begin_again(to_do)
        if (no_changes := self._no_changes()) is not None:
            self._end(RunStatus.NO_CHANGES, no_changes)
        else:
            self._end(RunStatus.SUCCEEDED, self._summary())

    def _repeat(self, name: PhaseName, why: Failure) -> list[PhaseName]:
        """The phases to do from one that had succeeded and whose result no longer exists."""
        self._save(name, PhaseStatus.RETRYING, reason=why.message)
        to_do = phases_to_do(self._run)
        self._context.to_do = tuple(to_do)
        return to_do

    def _no_changes(self) -> str | None:
        """Why there is nothing to publish; None before the commit, and if there is a commit."""
        committed = self._run.output(CommittedChange)
        return committed.no_changes if committed else None

    def _begin_again(self, to_do: list[PhaseName]) -> list[PhaseName]:
        """The phases to run in new volumes. Records an event if the old volumes were lost."""
        again = phases_after_loss(to_do)
        lost = [name.value for name in again if name not in to_do]
        if lost:
            resources, shard = self._resources, self._context.names.shard.index
            resources.store.events.add("run.workspace_lost", run_id=self._run.run_id, shard=shard, data={"again": lost})
        return again

    def _one(self, name: PhaseName) -> PhaseResult:
        """Run one phase; its row is saved before and after."""
        self._begin(name)
        try:
            result = self._runner.run(name)
        except RunInterrupted as interrupted:
            if interrupted.reason is InterruptReason.CANCELLED:
                self._save(name, PhaseStatus.FAILED, error="cancelled")
            else:
                self._save(name, PhaseStatus.RETRYING, reason=interrupted.reason.value)
            raise
        except Exception as error:
            if wait_after(self._resources, self._run, error) is not None or isinstance(error, DatabaseUnusable):
                self._save(name, PhaseStatus.RETRYING, reason=type(error).__name__)
            elif not isinstance(error, LeaseLost):
                self._save(name, PhaseStatus.FAILED, error=type(error).__name__)
            raise
        result = wait_for_github(self._resources, self._run, name, self._record_turn(result))
        if fields := result.run_fields.given():
            self._resources.store.progress.update(self._run.run_id, self._lease, **fields)
            self._context.run = msgspec.structs.replace(self._run, **fields)
        if result.waiting_for is None:
            self._save(name, result.status, result)
        return result

    def _begin(self, name: PhaseName) -> None:
        phase = self._run.phase(name)
        if phase.status not in (PhaseStatus.PENDING, PhaseStatus.RETRYING):
            self._save(name, PhaseStatus.RETRYING)
        self._context.attempt = phase.attempt + 1
        self._save(name, PhaseStatus.RUNNING)

    def _save(
        self,
        name: PhaseName,
        status: PhaseStatus,
        result: PhaseResult | None = None,
        *,
        error: str | None = None,
        reason: str | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        """Save the phase's new status. `error` is stored with the phase and its event, the rest with its event only."""
        phase = self._run.phase(name)
        now = self._resources.clock()
        data = {**({"reason": error or reason} if error or reason else {}), **(more or {})}
        if status is PhaseStatus.RUNNING:
            phase = msgspec.structs.replace(
                phase,
                attempt=self._context.attempt,
                started_at=now,
                completed_at=None,
                # Written by an earlier attempt.
                stdout_path=None,
                stderr_path=None,
                metadata={},
                output=None,
            )
        elif status is not PhaseStatus.RETRYING:
            phase = msgspec.structs.replace(phase, completed_at=now)
        if result is not None:
            metadata = dict(result.metadata)
            if result.failure is not None:
                metadata["failure"] = msgspec.to_builtins(result.failure)
                data["failure"] = result.failure.code.value
            if result.note:
                data["note"] = result.note
            if status is PhaseStatus.SKIPPED and "reason" in metadata:
                data["reason"] = metadata["reason"]
            phase = msgspec.structs.replace(
                phase,
                metadata=metadata,
                output=result.output,
                stdout_path=result.stdout_path,
                stderr_path=result.stderr_path,
            )
        if error is not None:
            phase = msgspec.structs.replace(phase, metadata={"error": error})
        phase = msgspec.structs.replace(phase, status=status)
        is_progress = status is PhaseStatus.SUCCEEDED and name in _PROGRESS
        self._resources.store.progress.save_phase(
            self._run.run_id, self._lease, phase, now=now, data=data, is_progress=is_progress
        )
        others = [other for other in self._run.phases if other.phase is not name]
        ordered = sorted([*others, phase], key=lambda entry: PHASE_ORDER.index(entry.phase))
        self._context.run = msgspec.structs.replace(self._run, phases=ordered)

    def _skip(self, name: PhaseName, reason: str) -> None:
        phase = self._run.phase(name)
        if phase.status is not PhaseStatus.SKIPPED:
            if phase.status not in (PhaseStatus.PENDING, PhaseStatus.RETRYING):
                self._save(name, PhaseStatus.RETRYING)
            self._save(name, PhaseStatus.SKIPPED, PhaseResult(status=PhaseStatus.SKIPPED, metadata={"reason": reason}))

    def _cleanup(self) -> None:
        try:
            self._one(PhaseName.CLEANUP)
        except (RunInterrupted, LeaseLost, DatabaseUnusable):
            raise
        except ApplianceError as error:
            # A sweep removes the remaining containers later; the run's result does not change.
            _log.warning("Run %s: cleanup failed; the next sweep removes what is left: %s", self._run.run_id, error)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("Run %s: cleanup failed; the next sweep removes what is left.", self._run.run_id)

    def _end_with(self, reason: Failure) -> None:
        self._end(RunStatus.FAILED, reason.message, reason)

    def _end(self, status: RunStatus, summary: str, reason: Failure | None = None) -> None:
        access = in_background("github", self._end_github_access)
        self._cleanup()
        access.result()
        try:
            keep_metrics(self._context)
        except StoreError as error:
            _log.warning("Run %s: its metrics could not be saved: %s", self._run.run_id, error)
        now = self._resources.clock()
        # Before the final status: if the process is interrupted here, the run is ended again.
        kept_until = now + timedelta(seconds=self._resources.settings.artifact_retention)
        self._resources.store.artifacts.expire_at(self._run.run_id, kept_until)
        self._resources.store.progress.finish(
            self._run.run_id,
            self._lease,
            status,
            now=now,
            result_summary=summary,
            failure=reason,
            phase=None if reason is None else self._phase,
        )

    def _end_github_access(self) -> None:
        """Revoke the tokens; the run waits for the answer, but its result does not depend on it."""
        try:
            end_github_access(self._context)
        except StoreError as error:
            _log.warning("Run %s: its credential audit could not be saved: %s", self._run.run_id, error)

    def _interrupted(self, reason: InterruptReason) -> None:
        if reason is InterruptReason.CANCELLED:
            self._end(RunStatus.CANCELLED, cancelled_summary(self._run))
            return
        if reason is InterruptReason.LEASE_LOST:
            raise LeaseLost(f"Run {self._run.run_id} was claimed by another worker.")
        remove_containers(self._resources.engine, self._resources.appliance_id, self._run.run_id)
        self._runner.wait_for_clone()
        self._end_github_access()
        self._resources.store.queue.release(self._run.run_id, self._lease, waiting_for=None, interrupted=False)

    def _wait(
        self,
        waiting_for: WaitingFor,
        *,
        phase: PhaseName | None = None,
        outage: Failure | None = None,
        interrupted: bool = False,
        correct: bool = False,
    ) -> None:
        """Requeue the run: for another shard at once if one can continue it, else with the reason and a wake-up.

        `correct`: an artifact may have been written without its record.
        """
        if phase is not None:
            more: dict[str, object] = {}
            if outage is not None and waiting_for.until is not None:
                # Counted by `past_waits`.
                pause = (waiting_for.until - self._resources.clock()).total_seconds()
                more = {"failure": outage.code.value, "pause": round(pause, 1)}
            self._save(phase, PhaseStatus.RETRYING, reason=waiting_for.reason.value, more=more)
        resources, shard = self._resources, self._context.names.shard.index
        self.end_containers()
        self._end_github_access()
        if correct:
            complete_records(resources, self._run.run_id)
        waits = why_no_shard_continues(resources, self._run, waiting_for)
        # An agent can report a limit in every turn: a run that kept its place would be claimed first again.
        queued_at = resources.clock() if phase in SKILLS and waiting_for.reason in _REPORTED_BY_TURNS else None
        resources.store.queue.release(
            self._run.run_id, self._lease, waiting_for=waits, interrupted=interrupted, queued_at=queued_at
        )
        if waits is None:
            about = {"reason": waiting_for.reason.value, "why": waiting_for.detail}
            resources.store.events.add("run.goes_on_elsewhere", run_id=self._run.run_id, shard=shard, data=about)
            wake_for(resources, self._run)
            return
        if waits.until is not None:
            # Each shard that may take it: this one may be busy with another run at that time.
            for each in allowed(resources.store.shards.all(len(resources.shards)), self._run.shard_pin):
                resources.wakeups.wake_at(each.shard, waits.until)

    def end_containers(self) -> None:
        """Remove the run's containers after an error, so that nothing writes to its files."""
        removed = remove_containers(self._resources.engine, self._resources.appliance_id, self._run.run_id)
        for problem in removed.problems:
            _log.warning("Run %s: %s", self._run.run_id, problem)
        self._runner.wait_for_clone()

    def _record_turn(self, result: PhaseResult) -> PhaseResult:
        """Store what a turn reported on login and quota. If the account was refused, another shard may take the run."""
        turn, resources, index = result.turn, self._resources, self._context.names.shard.index
        if turn is None:
            return result
        now = resources.clock()
        pause, before = cooldown_jitter(turn, now), resources.store.shards.get(index)
        state = resources.store.shards.change(index, lambda known: turn_ended(known, turn, now=now, jitter=pause))
        update_waiting_after(resources, before, state)
        if (turn.verdict is AgentVerdict.QUOTA or turn.limit_reached) and state.cooldown_until is not None:
            resources.wakeups.wake_at(index, state.cooldown_until)
        if turn.verdict is AgentVerdict.PLAN_WITHOUT_CODEX and result.failure is not None:
            moves = WaitingFor(WaitReason.LOGIN, detail=result.failure.message)
            if why_no_shard_continues(resources, self._run, moves) is None:
                return msgspec.structs.replace(result, failure=None, waiting_for=moves)
        return result

    def _summary(self) -> str:
        if self._context.dry_run:
            return f"Dry run: nothing was pushed; the branch would be {self._context.branch}."
        opened = self._run.output(OpenedPullRequest)
        how = f" ({opened.how})" if opened else ""
        return f"Pull request {self._run.pull_request_url}{how}."
