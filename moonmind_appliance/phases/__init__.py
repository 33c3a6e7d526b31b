"""The phases of a run, in order. Each takes a `PhaseContext`, returns a `PhaseResult`, and may be repeated."""

from moonmind_appliance.phases.cleanup import remove_containers
from moonmind_appliance.phases.context import MEASURE_EVERY, PhaseContext
from moonmind_appliance.phases.names import Names
from moonmind_appliance.phases.prepared_commands import PreparedCommands
from moonmind_appliance.phases.recorders import ArtifactRecorder, LoginRecorder, LogSink
from moonmind_appliance.phases.result import PhaseResult
from moonmind_appliance.phases.runner import PhaseRunner

__all__ = [
    "MEASURE_EVERY",
    "ArtifactRecorder",
    "LogSink",
    "LoginRecorder",
    "Names",
    "PhaseContext",
    "PhaseResult",
    "PhaseRunner",
    "PreparedCommands",
    "remove_containers",
]
