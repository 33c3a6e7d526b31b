"""A run's messages in order, from any position on: its events, and the lines of its phases' growing logs."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.errors import FieldProblem, FileUnusable, InvalidRequest, NotFound
from moonmind_appliance.models import FINAL_RUN_STATUSES, Event, Phase, PhaseStatus, Run, RunStatus
from moonmind_appliance.store import Store
from moonmind_appliance.views.log_lines import split_lines
from moonmind_appliance.views.phase_logs import phase_logs

_READ = 256 * 1024
_EVENTS = 200
_MESSAGES = 500

_POSITION = re.compile(r"(\d{1,18})((?:;[a-z_]{1,40}\.(?:stdout|stderr)@\d{1,9}=\d{1,18}){0,40})")
_ENDED = frozenset({PhaseStatus.SUCCEEDED.value, PhaseStatus.FAILED.value, PhaseStatus.SKIPPED.value})


class LogName(NamedTuple):
    """One log of one attempt of one phase."""

    phase: str
    stream: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.phase}.{self.stream}@{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the name."""
        where, attempt = text.split("@")
        phase, stream = where.split(".")
        return cls(phase, stream, int(attempt))


class Position:
    """The position of a reader: the last event, and the bytes read of the logs of running phases.

    As text it is the id of a server-sent event, such as `17;speckit_plan.stdout@1=4096`.
    """

    def __init__(self, event_id: int = 0, read: dict[LogName, int] | None = None) -> None:
        self.event_id = event_id
        self.read = read or {}

    def __str__(self) -> str:
        return ";".join([str(self.event_id), *(f"{name}={offset}" for name, offset in self.read.items())])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a `Last-Event-ID`.

        Raises:
            InvalidRequest: it is not an id of this stream.
        """
        match = _POSITION.fullmatch(text)
        if match is None:
            problem = FieldProblem(
                "Last-Event-ID", "Not a valid event id: send the last `id` of this stream unchanged."
            )
            raise InvalidRequest("The stream cannot resume at this event.", fields=[problem])
        pairs = [pair.split("=") for pair in match[2].split(";")[1:]]
        return cls(int(match[1]), {LogName.parse(name): int(offset) for name, offset in pairs})


class Message(NamedTuple):
    """One server-sent event: `name` is run, phase, artifact, log or end; `position` resumes after it."""

    name: str
    data: dict[str, object]
    position: str

    def encode(self) -> bytes:
        """In the format of the stream. JSON contains no line break, so one data line is enough."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (
            self.position.encode(),
            self.name.encode(),
            msgspec.json.encode(self.data),
        )


class RunTail:
    """Follows one run from a position. For one reader at a time, in any thread.

    `growing` has the logs of the running phases, and the size in bytes that each had when it was read. It is replaced,
    never changed: other threads may use it.
    """

    def __init__(self, store: Store, files: ArtifactFiles, run_id: str, position: Position) -> None:
        self._store = store
        self._files = files
        self.run_id = run_id
        self.growing: dict[Path, int] = {}
        self._sizes: dict[Path, int] = {}
        self._position = position
        self._pending = iter(())  # type: Iterator[Message]
        self._run: Run | None = None
        self._logs: dict[LogName, str] = {}
        self.ended = False

    def read(self) -> list[Message]:
        """New messages, up to some hundred. Empty: none now; `ended` is true if no more follow."""
        messages = list(islice(self._pending, _MESSAGES))
        if not messages and not self.ended:
            self._pending = self._new()
            messages = list(islice(self._pending, _MESSAGES))
        return messages

    def _new(self) -> Iterator[Message]:
        self._sizes = {}
        # Read the events first: the run's row then includes what they report.
        events = self._store.events.after(self._position.event_id, run_id=self.run_id, limit=_EVENTS)
        if events or self._run is None:
            # Every relevant change has an event; without one the row need not be read again.
            self._run = self._store.runs.get(self.run_id, text=False)
            logs = phase_logs(self._store.artifacts.list(self.run_id))
            self._logs = {LogName(log.phase.value, log.stream, log.attempt): log.storage_path for log in logs}
        run = self._run
        if run is None:
            self.ended = True
            return
        phases = {phase.phase.value: phase for phase in run.phases}
        for event in events:
            phase = phases.get(str(event.data.get("phase")))
            if phase is not None and event.kind.startswith("phase."):
                yield from self._rest_of(phase, event)
            self._position.event_id = event.event_id
            yield self._of_event(event)
        if len(events) == _EVENTS:
            return
        self._sizes = {}
        for phase in run.phases:
            if phase.status is PhaseStatus.RUNNING:
                yield from self._lines(phase, whole=False)
        self.growing = self._sizes
        self.ended = not events and run.status in FINAL_RUN_STATUSES
        if self.ended:
            yield self._end(run.status)

    def _rest_of(self, phase: Phase, event: Event) -> Iterator[Message]:
        """Send a phase's last lines before the event that it ended; after that its place is not needed any more."""
        # The next attempt's log has replaced the log of an attempt before the row's.
        if event.data.get("status") in _ENDED and event.data.get("attempt") == phase.attempt:
            yield from self._lines(phase, whole=True)
        for name in [name for name in self._position.read if name.phase == phase.phase.value]:
            if event.data.get("status") != PhaseStatus.RUNNING.value:
                del self._position.read[name]

    def _lines(self, phase: Phase, *, whole: bool) -> Iterator[Message]:
        for stream, ended_path in (("stdout", phase.stdout_path), ("stderr", phase.stderr_path)):
            name = LogName(phase.phase.value, stream, phase.attempt)
            # The phase's row has the paths after the attempt has ended; the artifacts have them from the first byte on.
            path = self._logs.get(name) or ended_path
            if path is not None:
                yield from self._lines_of(name, path, whole=whole)

    def _lines_of(self, name: LogName, path: str, *, whole: bool) -> Iterator[Message]:
        """New lines of a file; the unfinished last one only if the file is `whole`."""
        try:
            on_disk = self._files.path(path)
            # The file may not exist yet.
            self._sizes[on_disk] = 0
            file = os.open(on_disk, os.O_RDONLY | os.O_CLOEXEC)
        except (NotFound, FileUnusable, OSError):
            return
        try:
            offset = self._position.read.get(name, 0)
            self._sizes[on_disk] = size = os.fstat(file).st_size
            if size < offset:
                offset = 0
            while data := os.pread(file, _READ, offset):
                at_end = len(data) < _READ
                taken = 0
                for line, length in split_lines(data, whole=whole and at_end):
                    taken += length
                    self._position.read[name] = offset + taken
                    yield self._of_line(name, line)
                offset += taken
                if not taken or at_end:
                    return
        finally:
            os.close(file)

    def _of_event(self, event: Event) -> Message:
        data = {"kind": event.kind, "at": event.at, "shard": event.shard, "data": event.data}
        return Message(event.kind.partition(".")[0].removesuffix("s"), data, str(self._position))

    def _of_line(self, name: LogName, line: str) -> Message:
        data = {"phase": name.phase, "attempt": name.attempt, "stream": name.stream, "line": line}
        return Message("log", data, str(self._position))

    def _end(self, status: RunStatus) -> Message:
        return Message("end", {"status": status}, str(self._position))
