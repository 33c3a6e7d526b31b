"""Watches a run's disk use while one of its commands runs, and ends the command if it is too much.

The git container measures the workspace: the agent cannot reach that container's processes. Only the login's folder,
which the git container does not have, is measured in the agent's own container. That result is only a hint: the
largest one read counts, and a missing one counts as too much.
"""

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from moonmind_appliance.containers.engine import CancelToken, ContainerEngine
from moonmind_appliance.errors import ContainerLost, DiskFull, EngineError, EngineUnreachable, InterruptReason
from moonmind_appliance.in_container.command import command
from moonmind_appliance.in_container.login_volume import LOGIN_FILES
from moonmind_appliance.models import EndReason, ExecSpec, Failure, FailureCode, failure
from moonmind_appliance.models.container_paths import GIT_FOLDER, LOGIN_FOLDER, WORKSPACES
from moonmind_appliance.phases.commands import Tee, lost
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.git_answers import Size
from moonmind_appliance.untrusted_json import decode

# Largest share of the time that measuring may take.
_SHARE = 10
_TIME_LIMIT = 60.0
_MOST_UNANSWERED = 3
_LOGIN_BYTES, _LOGIN_FILES = 1024**3, 100_000
# A file system with fewer free inodes than this counts as full.
_FEWEST_FREE_FILES = 10_000

_log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """Folders that are measured together in one container, and their limits."""

    container: str
    folders: Sequence[str]
    most_bytes: int
    most_files: int
    what: str
    free: Sequence[str] = ()
    """A command that frees the space before the container is ended, for files that would outlive the run."""


class WorkspaceWatch:
    """Measures in its own thread until the block ends; kills the container `ends` once a limit is passed.

    Leaving the block waits for a measurement in progress.

    Args:
        engine: where the containers run.
        measured: what to measure.
        ends: the container whose command is watched.
        min_free_disk: the command is also ended if the file system has fewer free bytes than this; 0: never.
        every: minimum seconds between two measurements.
    """

    def __init__(
        self,
        engine: ContainerEngine,
        measured: Sequence[Measured],
        *,
        ends: str,
        min_free_disk: int = 0,
        every: float,
    ) -> None:
        self._engine = engine
        self._measured = measured
        self._ends = ends
        self._min_free_disk = min_free_disk
        self._every = every
        self._stop = CancelToken()
        self._unanswered: dict[str, int] = {}
        self._thread = threading.Thread(target=self._watch, name="workspace-watch", daemon=True)
        self._disk_full = False
        self.used: int | None = None
        """Size in bytes of the first of `measured` at its last measurement; None before that."""
        self.failure: Failure | None = None
        """Why the watch ended the command; None if it did not."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.cancel(InterruptReason.SHUTDOWN)
        self._thread.join()

    def measure_now(self) -> None:
        """Measure again, in this thread, after the command."""
        if self.failure is None:
            self._stop = CancelToken()
            self._measure_all()

    def take(self, size: Size) -> None:
        """Judge a measurement that the command itself made, of the first of `measured`. Call it after the command."""
        if self.failure is None:
            self.used = size.bytes
            self._judge(self._measured[0], size)

    def check_disk(self) -> None:
        """Raise if the watch ended the command because the disk is nearly full.

        Raises:
            DiskFull: the run must wait until there is free space.
        """
        if self._disk_full:
            raise DiskFull(
                "The Docker engine's disk has less free space than MIN_FREE_DISK.",
                hint="Free space on the disk that contains the engine's data folder.",
            )

    def _watch(self) -> None:
        pause = self._every
        while not self._stop.wait(pause):
            began = time.monotonic()
            self._measure_all()
            if self.failure is not None or self._disk_full:
                return
            pause = max(self._every, _SHARE * (time.monotonic() - began))

    def _measure_all(self) -> None:
        for each in self._measured:
            try:
                size = self._ask(each)
            except (ContainerLost, EngineUnreachable) as error:
                # This says nothing about the workspace, and no agent can cause it without ending its own command.
                _log.info("The size of %s could not be measured: %s", each.what, error)
                return
            if self._stop.reason is not None and size is None and not self._unanswered.get(each.what):
                return
            if each is self._measured[0] and size is not None:
                self.used = size.bytes
            self._judge(each, size)
            if self.failure is not None or self._disk_full:
                self._end(each)
                return

    def _end(self, each: Measured) -> None:
        discarded = Tee(keep=0)
        try:
            if each.free:
                spec = ExecSpec(command=list(each.free), time_limit=_TIME_LIMIT)
                self._engine.execute(each.container, spec, stdout=discarded, stderr=discarded)
            self._engine.kill(self._ends)
        except EngineError as error:
            _log.warning("The container %s could not be ended: %s", self._ends, error)

    def _judge(self, each: Measured, size: Size | None) -> None:
        if size is None:
            self._unanswered[each.what] = self._unanswered.get(each.what, 0) + 1
            if self._unanswered[each.what] >= _MOST_UNANSWERED:
                self._too_large(f"The size of {each.what} could not be measured {_MOST_UNANSWERED} times in a row.")
            return
        self._unanswered[each.what] = 0
        if size.hidden:
            self._too_large(
                f"{each.what} contains directories that cannot be measured: unreadable, or nested too deeply."
            )
        elif size.bytes > each.most_bytes:
            self._too_large(f"{each.what} uses more than {each.most_bytes} bytes of disk space.")
        elif size.files > each.most_files:
            self._too_large(f"{each.what} contains more than {each.most_files} files.")
        elif self._min_free_disk and (size.free_bytes < self._min_free_disk or size.free_files < _FEWEST_FREE_FILES):
            self._disk_full = True

    def _too_large(self, message: str) -> None:
        self.failure = failure(FailureCode.WORKSPACE_TOO_LARGE, message[0].upper() + message[1:])

    def _ask(self, each: Measured) -> Size | None:
        """The largest result; None if there is none.

        Raises:
            ContainerLost: the container has ended.
            EngineUnreachable: the engine does not answer.
        """
        stdout, stderr = Tee(), Tee()
        # `timeout` limits this, not the exec's limit or a cancel: those end the container.
        spec = ExecSpec(
            command=command("workspace_size", _job(each), time_limit=_TIME_LIMIT),
            time_limit=2 * _TIME_LIMIT,
        )
        try:
            outcome = self._engine.execute(each.container, spec, stdout=stdout, stderr=stderr)
        except EngineUnreachable:
            raise
        except EngineError as error:
            _log.info("The size of %s could not be measured: %s", each.what, error)
            return None
        if outcome.ended is EndReason.CONTAINER_GONE:
            raise lost("the measurement", each.container)
        if outcome.ended is EndReason.TIMED_OUT:
            # Only an agent that suspends `timeout` causes this, and its container has ended.
            self._unanswered[each.what] = _MOST_UNANSWERED
        # In the agent's container another process can add to this output, but cannot remove the true line.
        sizes = [size for line in stdout.tail.splitlines() if (size := _size_of(line)) is not None]
        return max(sizes, key=lambda size: (size.hidden, size.bytes, size.files), default=None)


def _job(each: Measured) -> dict[str, object]:
    return {"folders": each.folders, "most_bytes": each.most_bytes, "most_files": each.most_files}


def _size_of(line: bytes) -> Size | None:
    try:
        return decode(line, Size)
    except msgspec.MsgspecError:
        return None


def watch_agent(ctx: PhaseContext) -> WorkspaceWatch:
    """The watch for an agent turn; ends the agent container."""
    # Not one of the programs: an agent can end every process named python3 in its container.
    kept = [part for name in LOGIN_FILES for part in ("!", "-name", name)]
    empty = ["find", LOGIN_FOLDER, "-mindepth", "1", "-maxdepth", "1", *kept, "-exec", "rm", "-rf", "--", "{}", "+"]
    login = Measured(ctx.names.agent, [LOGIN_FOLDER], _LOGIN_BYTES, _LOGIN_FILES, "the login's folder", empty)
    # With a login broker the login's folder is in the container's memory file system, which has a size of its own.
    measured = [_volumes(ctx)] if ctx.settings.login_broker else [_volumes(ctx), login]
    # Half of MIN_FREE_DISK: a running job may continue after new runs are no longer started.
    return _watch(ctx, measured, ends=ctx.names.agent, min_free_disk=ctx.settings.min_free_disk // 2)


def watch_git(ctx: PhaseContext) -> WorkspaceWatch:
    """The watch for a verb of the git container; ends that container."""
    return _watch(ctx, [_volumes(ctx)], ends=ctx.names.git)


def measure_job(ctx: PhaseContext) -> dict[str, object]:
    """What a program of the git container passes to `workspace_size.Measurement`, for `WorkspaceWatch.take`."""
    return _job(_volumes(ctx))


def _volumes(ctx: PhaseContext) -> Measured:
    settings = ctx.settings
    return Measured(
        ctx.names.git,
        [WORKSPACES, GIT_FOLDER],
        settings.max_workspace_bytes,
        settings.max_workspace_files,
        "the run's workspace",
    )


def _watch(ctx: PhaseContext, measured: Sequence[Measured], *, ends: str, min_free_disk: int = 0) -> WorkspaceWatch:
    return WorkspaceWatch(ctx.engine, measured, ends=ends, min_free_disk=min_free_disk, every=ctx.measure_every)
