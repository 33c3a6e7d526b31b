"""A turn's output: the agent's own lines go into the log, the report line does not."""

import io

import pytest

from moonmind_appliance.agents.adapter import TurnReport
from moonmind_appliance.agents.turn_output import Report, TurnOutput


class Lines(TurnOutput[Report]):
    def __init__(self, log: io.BytesIO) -> None:
        super().__init__(log, Report)
        self.read = list[bytes]()

    def _read(self, line: bytes) -> None:
        self.read.append(line)


REPORT = b'{"type": "moonmind.report", "login_digest": "d", "files": {"a": "b"}}\n'


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_lines_are_complete_for_any_chunks(size: int) -> None:
    """The last one needs no line end. Closing twice changes nothing."""
    log, output = io.BytesIO(), b"one\n" + REPORT + b"two"
    lines = Lines(log)
    for start in range(0, len(output), size):
        lines.write(output[start : start + size])
    lines.close()
    lines.close()
    assert lines.read == [b"one\n", b"two"]
    assert log.getvalue() == b"one\ntwo"
    assert lines.report() == TurnReport({"a": "b"}, "d")


@pytest.mark.parametrize(
    "report",
    [
        b'{"type": "moonmind.report", "files": {"a": 1}}\n',
        b'{"type": "moonmind.report", "fil\n',
        b'{"type": "moonmind.report", "x": ' + b"[" * 100_000 + b"\n",
        b'{"type": "moonmind.report", "login_digest": "\xff"}\n',
    ],
)
def test_an_unreadable_report_has_no_files(report: bytes) -> None:
    """An agent may have written it. It is in no log."""
    log = io.BytesIO()
    lines = Lines(log)
    lines.write(report)
    assert (lines.report(), lines.read, log.getvalue()) == (TurnReport(), [], b"")
