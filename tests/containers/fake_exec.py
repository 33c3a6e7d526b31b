"""Commands of a `FakeEngine`: what a running one can do, and one that waits for its line."""

import base64
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from moonmind_appliance.containers.engine import ByteSink, CancelToken
from moonmind_appliance.models import ContainerSpec, EndReason, ExecOutcome, ExecSpec
from tests.containers.fake_objects import FakeContainer

if TYPE_CHECKING:
    from tests.containers.fake import FakeEngine


class FakeExec:
    """A running command, as its answer uses it.

    Output is passed on at once. A limit, a cancel or the container's end raises `ExecEnded` from `sleep` and from the
    next output; the answer must not catch it.
    """

    def __init__(
        self,
        engine: "FakeEngine",
        container: FakeContainer,
        spec: ExecSpec,
        sinks: tuple[ByteSink, ByteSink],
        cancel: CancelToken | None,
    ) -> None:
        self.engine = engine
        self.container = container
        self.spec = spec
        self.stdout = _Heard(self, sinks[0])
        self.stderr = _Heard(self, sinks[1])
        self.started = self.last_output = time.monotonic()
        self._cancel = cancel

    @property
    def env(self) -> dict[str, str]:
        """The container's variables and the exec's."""
        return {**self.container.spec.env, **self.spec.env}

    def sleep(self, seconds: float) -> None:
        """Wait, at most until the container ends, a limit is reached or a cancel comes."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            self.container.ended.wait(min(0.01, left))
        self.check()

    def check(self) -> None:
        """Raise `ExecEnded` if the command must end."""
        now = time.monotonic()
        if not self.container.running:
            raise ExecEnded(EndReason.CONTAINER_GONE)
        if self._cancel is not None and self._cancel.reason is not None:
            raise ExecEnded(EndReason.CANCELLED)
        if self.spec.time_limit is not None and now - self.started >= self.spec.time_limit:
            raise ExecEnded(EndReason.TIMED_OUT)
        if self.spec.silence_limit is not None and now - self.last_output >= self.spec.silence_limit:
            raise ExecEnded(EndReason.SILENT)

    def write_file(self, path: str, content: bytes | str, *, mode: int = 0o644) -> None:
        """Write a file into a mounted volume, and the folders above it."""
        self.engine.write_file(self.container.container_id, path, content, mode=mode)

    def read_file(self, path: str) -> bytes | None:
        """The content of a file in a volume or the image; None if there is none."""
        return self.engine.file(self.container.container_id, path)

    def make_folder(self, path: str) -> None:
        """Create a folder in a mounted volume, and those above it."""
        self.engine.make_folder(self.container.container_id, path)

    def kill_container(self) -> None:
        """End the container, and with it the command."""
        self.container.ended.set()


class ExecEnded(Exception):
    """The command was ended by a limit, a cancel or its container's end."""

    def __init__(self, reason: EndReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


Answer = int | Callable[[FakeExec], int | None]
"""An exit code, or what the command does; None is 0."""


def serve_egress(process: FakeExec) -> None:
    """What the egress proxy does."""
    process.stdout.write(b'{"ready": true}\n')
    while True:
        process.sleep(1)


BROKERED_LOGIN, BROKER_AUTHORITY = '{"tokens": "of the broker"}', "authority of the broker"


def is_broker(_container: ContainerSpec, spec: ExecSpec) -> bool:
    """Whether it is the login broker; the source of another program contains its name, too."""
    return "login_broker" in spec.command


def serve_broker(process: FakeExec) -> None:
    """What the egress proxy with a login broker does."""
    made = {"ca": BROKER_AUTHORITY, "login": BROKERED_LOGIN}
    process.stdout.write(json.dumps({"ready": True, "broker": made}).encode() + b"\n")
    while True:
        process.sleep(1)


class _Heard:
    """A sink that records when output came, for the silence limit."""

    def __init__(self, process: FakeExec, sink: ByteSink) -> None:
        self._process = process
        self._sink = sink

    def write(self, data: bytes, /) -> None:
        """Pass it on."""
        self._process.check()
        self._process.last_output = time.monotonic()
        self._sink.write(data)


class FakePrepared:
    """A command of a `FakeEngine` that waits for its line. `ended`: a test ended it."""

    def __init__(self, engine: "FakeEngine", container: FakeContainer) -> None:
        self._engine = engine
        self._container = container
        self.ended = False
        engine.prepared.append(self)

    def run(
        self,
        line: bytes,
        spec: ExecSpec,
        *,
        stdout: ByteSink,
        stderr: ByteSink,
        cancel: CancelToken | None = None,
    ) -> ExecOutcome | None:
        """Write the files of the line, and execute the command of the spec, whose line this is."""
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        if self.ended or not self._container.running:
            return None
        self.ended = True
        for path, content in (json.loads(line)[3] if line.startswith(b"[") else {}).items():
            self._engine.write_file(self._container.container_id, path, base64.b64decode(content), mode=0o600)
        return self._engine.execute(self._container.container_id, spec, stdout=stdout, stderr=stderr, cancel=cancel)

    def close(self) -> None:
        """End it."""
        self.ended = True
