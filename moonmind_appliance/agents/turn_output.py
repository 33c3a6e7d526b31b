"""Reads a turn's standard output line by line: logs the agent's own lines, but not the report line."""

import json
from contextlib import suppress
from typing import Generic, TypeVar

import msgspec

from moonmind_appliance.agents.adapter import TurnReport
from moonmind_appliance.in_container.turn_report import REPORT_TYPE
from moonmind_appliance.redaction import ByteSink
from moonmind_appliance.untrusted_json import decode

_REPORT_LINE = json.dumps({"type": REPORT_TYPE}).encode().removesuffix(b"}")
_LONGEST_LINE = 32 * 1024 * 1024


class Report(msgspec.Struct):
    """The line that the turn's program adds after the agent's own."""

    login_digest: str | None = None
    files: dict[str, str] = {}
    feature: str | None = None
    feature_problem: str = ""


ReportT = TypeVar("ReportT", bound=Report)


class TurnOutput(Generic[ReportT]):
    """The part of a `TurnReader` that all agents share; the subclass interprets the lines."""

    def __init__(self, log: ByteSink, shape: type[ReportT]) -> None:
        self._log = log
        self._shape = shape
        self._held = b""
        self._report: ReportT | None = None

    def write(self, data: bytes) -> None:
        """Process bytes; complete lines are passed on at once."""
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            self._take(line + b"\n")
        if len(self._held) > _LONGEST_LINE:
            self.close()

    def close(self) -> None:
        """Process a last line without a line end. Idempotent."""
        if self._held:
            line, self._held = self._held, b""
            self._take(line)

    def report(self) -> TurnReport:
        """The turn's report at its end."""
        report = self._report
        if report is None:
            return TurnReport()
        return TurnReport(report.files, report.login_digest, report.feature, report.feature_problem)

    def _take(self, line: bytes) -> None:
        if line.startswith(_REPORT_LINE):
            # Without a readable report there are no files, and so the phase is not accepted.
            with suppress(msgspec.DecodeError):
                self._report = decode(line, self._shape)
        else:
            self._log.write(line)
            self._read(line)

    def _read(self, line: bytes) -> None:
        """Process one of the agent's own lines."""
        raise NotImplementedError
