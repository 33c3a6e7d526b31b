"""Reads a turn's standard output line by line: the agent's own lines go into the log, the report line does not."""

from typing import Generic, TypeVar

import msgspec

from moonmind_appliance.agents.adapter import TurnReport
from moonmind_appliance.redaction import ByteSink

_REPORT_LINE = b'{"type": "moonmind.report"'
_LONGEST_LINE = 32 * 1024 * 1024


class Report(msgspec.Struct):
    """The line that the turn's program adds behind the agent's own."""

    login_digest: str | None = None
    files: dict[str, str] = {}


ReportT = TypeVar("ReportT", bound=Report)


class TurnOutput(Generic[ReportT]):
    """The part of a `TurnReader` that all agents share; what a line means is the subclass's."""

    def __init__(self, log: ByteSink, shape: type[ReportT]) -> None:
        self._log = log
        self._shape = shape
        self._held = b""
        self._report: ReportT | None = None

    def write(self, data: bytes) -> None:
        """Take some bytes; whole lines go on at once."""
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            self._take(line + b"\n")
        if len(self._held) > _LONGEST_LINE:
            self.close()

    def close(self) -> None:
        """Take what stands without a line's end. Safe twice."""
        if self._held:
            line, self._held = self._held, b""
            self._take(line)

    def report(self) -> TurnReport:
        """What the turn's command saw at its end."""
        return TurnReport(self._report.files, self._report.login_digest) if self._report else TurnReport()

    def _take(self, line: bytes) -> None:
        if line.startswith(_REPORT_LINE):
            try:
                self._report = msgspec.json.decode(line, type=self._shape)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._not_understood()
        else:
            self._log.write(line)
            self._read(line)

    def _read(self, line: bytes) -> None:
        """One of the agent's own lines."""
        raise NotImplementedError

    def _not_understood(self) -> None:
        """The report could not be read; the phase is accepted by its files, and there are none without it."""
