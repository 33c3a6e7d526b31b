"""Runs a command in one of the run's containers."""

import re
import threading
from collections.abc import Mapping

from moonmind_appliance.containers.engine import ByteSink
from moonmind_appliance.errors import ContainerLost, EngineError
from moonmind_appliance.in_container.command import line_for
from moonmind_appliance.models import EndReason, ExecOutcome, ExecSpec
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.units import size_setting

SLEEP = ["sleep", "infinity"]
"""The main command of a container: all work is done by other commands in it."""

KILLED = 128 + 9
"""Exit code of a command that SIGKILL ended."""

# Of cgroup v2, and of v1: https://docs.kernel.org/admin-guide/cgroup-v2.html, cgroup-v1/memory.html
_MEMORY_EVENTS = ["cat", "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"]
_OOM_KILL = re.compile(rb"^oom_kill [1-9]", re.MULTILINE)


def run_command(
    ctx: PhaseContext,
    container: str,
    spec: ExecSpec,
    *,
    stdout: ByteSink,
    stderr: ByteSink,
    files: Mapping[str, bytes] | None = None,
) -> ExecOutcome:
    """Execute a command, or give its job to its waiting program. Ends at once if the run is interrupted.

    `files` (absolute path in a volume to content) are written first. A waiting program does that itself, because the
    engine needs 0.1 s for it.

    Raises:
        RunInterrupted: a cancel, a shutdown or a lost lease ended it.
    """
    outcome = None
    if prepared := ctx.prepared.take(container, spec.command, ctx.cancel):
        line = line_for(spec.command, spec.env, spec.working_dir, files)
        outcome = prepared.run(line, spec, stdout=stdout, stderr=stderr, cancel=ctx.cancel)
    if outcome is None:
        if files:
            ctx.engine.put_files(container, files)
        outcome = ctx.engine.execute(container, spec, stdout=stdout, stderr=stderr, cancel=ctx.cancel)
    if outcome.ended is EndReason.CANCELLED:
        ctx.cancel.check()
    return outcome


def lost(doing: str, container: str) -> ContainerLost:
    """The error to raise if a container (`agent`, `git` or `egress`) ended while it was `doing` something."""
    return ContainerLost(
        f"The {container} container ended during {doing}.",
        hint="The Docker engine restarted, someone removed the container, or the container ran out of memory.",
    )


def out_of_memory(ctx: PhaseContext, container: str) -> bool:
    """Whether the kernel has ended a process of the running container because of its memory limit."""
    printed = Tee()
    try:
        ctx.engine.execute(container, ExecSpec(command=_MEMORY_EVENTS, time_limit=30), stdout=printed, stderr=Tee())
    except EngineError:
        return False
    return _OOM_KILL.search(printed.tail) is not None


def memory_limit(ctx: PhaseContext) -> str:
    """The limit of `out_of_memory`, as the operator knows it."""
    return f"CONTAINER_MEMORY ({size_setting(ctx.settings.container_memory)})"


class Tee:
    """Writes bytes to several sinks, and keeps the last ones. Thread-safe."""

    def __init__(self, *sinks: ByteSink, keep: int = 64 * 1024) -> None:
        self._sinks = sinks
        self._keep = keep
        self._lock = threading.Lock()
        self._kept = bytearray()

    def write(self, data: bytes) -> None:
        """Write bytes."""
        with self._lock:
            for sink in self._sinks:
                sink.write(data)
            self._kept += data
            if len(self._kept) > self._keep:
                del self._kept[: -self._keep]

    @property
    def tail(self) -> bytes:
        """The last bytes written."""
        return bytes(self._kept)
