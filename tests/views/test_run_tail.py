"""A run's messages in order, and how reading resumes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.errors import InvalidRequest
from moonmind_appliance.execution.artifacts import RunArtifacts
from moonmind_appliance.models import ArtifactType, Phase, PhaseName, PhaseStatus, Run, RunStatus
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.views.run_tail import LogName, Message, Position, RunTail
from tests.appliance_under_test import ApplianceUnderTest, open_appliance
from tests.fakes import NOW

PLAN = PhaseName.SPECKIT_PLAN


class Live:
    """A run in progress, whose phase writes a log."""

    def __init__(self, appliance: ApplianceUnderTest, data_dir: Path) -> None:
        self.store = appliance.store
        self.files = ArtifactFiles(data_dir)
        self.run: Run = appliance.submit()
        self.lease = appliance.take(self.run)

    def tail(self, place: str = "0") -> RunTail:
        return RunTail(self.store, self.files, self.run.run_id, Position.parse(place))

    def begin(self, attempt: int = 1) -> Any:
        log = self.files.open(self.run.run_id, "plan.stdout.log", Redactor())
        if attempt > 1:
            self.save(PhaseStatus.RETRYING, attempt - 1, log.storage_path)
        self.save(PhaseStatus.RUNNING, attempt, log.storage_path)
        return log

    def save(self, status: PhaseStatus, attempt: int, path: str) -> None:
        phase = Phase(phase=PLAN, status=status, attempt=attempt, started_at=NOW, stdout_path=path)
        self.store.progress.save_phase(self.run.run_id, self.lease, phase)

    def finish(self, status: RunStatus = RunStatus.SUCCEEDED) -> None:
        now = datetime.now(UTC)
        self.store.progress.finish(self.run.run_id, self.lease, status, now=now, result_summary=None, failure=None)


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with open_appliance(tmp_path) as appliance:
        yield Live(appliance, tmp_path)


def everything(tail: RunTail) -> list[Message]:
    found = []
    while messages := tail.read():
        found += messages
    return found


def told(messages: list[Message]) -> list[object]:
    return [message.data.get("line", message.data.get("kind", message.name)) for message in messages]


def test_lines_come_while_they_are_written(live: Live) -> None:
    """Only whole lines are read; an unfinished one waits."""
    log, tail = live.begin(), live.tail()
    assert told(everything(tail)) == ["run.queued", "run.claimed", "phase.running"]
    with log:
        log.write(b"one\ntwo\nthr")
        assert told(everything(tail)) == ["one", "two"]
        log.write(b"ee\n")
        assert told(everything(tail)) == ["three"]
        assert everything(tail) == []
    assert not tail.ended


def test_a_phases_last_lines_come_before_its_end(live: Live) -> None:
    """This includes a line without a line break, and late readers."""
    log = live.begin()
    log.write(b"one\nlast words")
    written = log.close()
    live.save(PhaseStatus.SUCCEEDED, 1, written.storage_path)
    live.finish()
    whole = ["run.queued", "run.claimed", "phase.running", "one", "last words", "phase.succeeded", "run.succeeded"]
    messages = everything(live.tail())
    assert told(messages) == [*whole, "end"]
    assert messages[-1].data == {"status": "succeeded"}


def test_any_position_can_be_resumed(live: Live) -> None:
    """After any message, the reader gets exactly the messages after it."""
    log = live.begin()
    log.write("eins\nzwei: ä\n".encode())
    live.save(PhaseStatus.FAILED, 1, log.close().storage_path)
    log = live.begin(attempt=2)
    log.write(b"again\n")
    live.save(PhaseStatus.SUCCEEDED, 2, log.close().storage_path)
    live.finish()
    whole = everything(live.tail())
    assert len(whole) > 8
    for position, message in enumerate(whole[:-1]):
        assert everything(live.tail(message.position)) == whole[position + 1 :]


def test_a_live_reader_sees_each_line_once_over_attempts(live: Live) -> None:
    """The second attempt's log replaces the first's; the attempt distinguishes their lines."""
    tail, log = live.tail(), live.begin()
    log.write(b"first\n")
    seen = everything(tail)
    live.save(PhaseStatus.FAILED, 1, log.close().storage_path)
    seen += everything(tail)
    log = live.begin(attempt=2)
    log.write(b"second\n")
    seen += everything(tail)
    live.save(PhaseStatus.SUCCEEDED, 2, log.close().storage_path)
    live.finish()
    seen += everything(tail)
    lines = [(message.data["attempt"], message.data["line"]) for message in seen if message.name == "log"]
    assert lines == [(1, "first"), (2, "second")]
    assert tail.ended


def test_a_reader_after_the_end_gets_only_the_end(live: Live) -> None:
    """The API can then ask the client not to reconnect."""
    live.finish()
    last = everything(live.tail())[-1]
    assert told(everything(live.tail(last.position))) == ["end"]


def test_a_log_that_was_removed_is_passed_over(live: Live) -> None:
    """After retention deleted a log, the events are still sent."""
    log = live.begin()
    log.write(b"gone\n")
    live.save(PhaseStatus.SUCCEEDED, 1, log.close().storage_path)
    live.finish()
    live.files.remove_run(live.run.run_id)
    assert "gone" not in told(everything(live.tail()))
    assert told(everything(live.tail()))[-1] == "end"


def test_a_message_is_one_event_of_the_stream() -> None:
    """Line breaks of a log line cannot break the stream's format."""
    data: dict[str, object] = {"line": "a\r\nb\n\nid: 9"}
    assert Message("log", data, "3").encode() == b'id: 3\nevent: log\ndata: {"line":"a\\r\\nb\\n\\nid: 9"}\n\n'


@pytest.mark.parametrize("text", ["0", "17", "17;speckit_plan.stdout@1=4096;speckit_plan.stderr@2=0"])
def test_a_position_survives_the_conversion_to_text(text: str) -> None:
    """Parsing its text gives the same position."""
    assert str(Position.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1",
        "1;",
        "1;a.b@1=2",
        "1;plan.stdout=2",
        "9" * 19,
        "1;plan.stdout@1=2;",
        "1\n",
        "1" + ";a.stdout@1=1" * 41,
    ],
)
def test_an_invalid_position_is_refused(text: str) -> None:
    """The answer is 400, without expensive work for the server."""
    with pytest.raises(InvalidRequest):
        Position.parse(text)


def test_log_names_are_unique() -> None:
    """A name has phase, stream and attempt."""
    assert LogName.parse(str(LogName("speckit_plan", "stderr", 3))) == ("speckit_plan", "stderr", 3)


def test_lines_come_while_the_phase_runs(live: Live) -> None:
    """An execution gives the paths of its logs to the phase's row at the end only; the artifacts have them before."""
    kept = RunArtifacts(
        live.run.run_id, store=live.store, files=live.files, redactor=Redactor(), clock=lambda: datetime.now(UTC)
    )
    tail = live.tail()
    everything(tail)
    for attempt in (1, 2):
        if attempt > 1:
            live.store.progress.save_phase(
                live.run.run_id, live.lease, Phase(phase=PLAN, status=PhaseStatus.RETRYING, attempt=1)
            )
        live.store.progress.save_phase(
            live.run.run_id, live.lease, Phase(phase=PLAN, status=PhaseStatus.RUNNING, attempt=attempt)
        )
        log = kept.log(PLAN, attempt, ArtifactType.STDOUT_LOG)
        everything(tail)
        log.write(f"line of attempt {attempt}\n".encode())
        told = [message.data for message in everything(tail) if message.name == "log"]
        assert [(line["attempt"], line["line"]) for line in told] == [(attempt, f"line of attempt {attempt}")]
        log.close()


def test_an_idle_tail_queries_only_new_events(live: Live) -> None:
    """Without a new event the tail queries only new events."""
    tail = live.tail()
    everything(tail)
    seen: list[str] = []
    with live.store.database.read() as connection:
        connection.set_trace_callback(seen.append)
    assert tail.read() == []
    with live.store.database.read() as connection:
        connection.set_trace_callback(None)
    assert [text.split()[0:4] for text in seen if text.startswith("SELECT")] == [["SELECT", "*", "FROM", "events"]]
