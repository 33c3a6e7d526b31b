"""Test containers on each engine, commands for both, and their removal afterwards."""

import io
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.containers.engine import ByteSink, CancelToken, ContainerEngine
from moonmind_appliance.models import ContainerSpec, ExecOutcome, ExecSpec, Limits, Mount
from tests.containers.fake import JOB_IMAGE, FakeEngine
from tests.containers.fake_exec import Answer

WORK = "/work/runs"


class Program(NamedTuple):
    """The shell command for the real engine, and the function for the fake one."""

    shell: str
    fake: Answer


class Ran(NamedTuple):
    outcome: ExecOutcome
    stdout: bytes
    stderr: bytes


@dataclass
class EngineUnderTest:
    """One engine, and unique names for the objects that a test creates on it."""

    engine: ContainerEngine
    prefix: str = field(default_factory=lambda: f"contract-{uuid.uuid4().hex[:12]}")

    @property
    def labels(self) -> dict[str, str]:
        return {"moonmind.test": self.prefix}

    def name(self, short: str) -> str:
        return f"{self.prefix}-{short}"

    def spec(self, short: str = "box", **changes: object) -> ContainerSpec:
        given: dict[str, object] = {
            "name": self.name(short),
            "image": JOB_IMAGE,
            "command": ["sleep", "infinity"],
            "labels": {**self.labels, "moonmind.role": short},
            "limits": Limits(memory_bytes=256 * 1024**2, cpus=1.0, pids=64),
            "mounts": [Mount(self.name("work"), WORK)],
        }
        return ContainerSpec(**{**given, **changes})  # type: ignore[arg-type]

    def box(self, short: str = "box", **changes: object) -> str:
        """A running container with a volume at WORK; its name."""
        self.engine.ensure_volume(self.name("work"), self.labels)
        self.engine.start(self.spec(short, **changes))
        return self.name(short)

    def command(self, program: Program) -> list[str]:
        command = ["sh", "-c", program.shell]
        if isinstance(self.engine, FakeEngine):
            self.engine.on_exec(lambda _, spec: spec.command == command, program.fake)
        return command

    def run(
        self,
        container: str,
        program: Program,
        *,
        stdout: ByteSink | None = None,
        cancel: CancelToken | None = None,
        **exec_fields: object,
    ) -> Ran:
        out, err = io.BytesIO(), io.BytesIO()
        spec = ExecSpec(command=self.command(program), **exec_fields)  # type: ignore[arg-type]
        outcome = self.engine.execute(container, spec, stdout=stdout or out, stderr=err, cancel=cancel)
        return Ran(outcome, out.getvalue(), err.getvalue())

    def begin(self, container: str, program: Program, **exec_fields: object) -> "Running":
        """Run the program in a thread; returns after its first output."""
        running = Running(self, container, program, exec_fields)
        running.start()
        assert running.spoke.wait(30), "the command printed nothing"
        return running

    def clean_up(self) -> None:
        for container in self.engine.containers(self.labels):
            self.engine.remove(container.name)
        for volume in self.engine.volumes(self.labels):
            self.engine.remove_volume(volume.name)
        self.engine.remove_volume(self.name("work"))  # a start that failed may have left one without labels
        self.engine.remove_network(self.name("net"))


class Running(threading.Thread):
    """An exec in a thread of its own."""

    def __init__(self, sut: EngineUnderTest, container: str, program: Program, exec_fields: dict[str, object]) -> None:
        super().__init__(daemon=True)
        self._sut, self._container, self._program, self._fields = sut, container, program, exec_fields
        self.spoke = threading.Event()
        self.output = b""
        self.cancel = CancelToken()
        self.ran: Ran | None = None

    def write(self, data: bytes, /) -> None:
        self.output += data
        self.spoke.set()

    def run(self) -> None:
        self.ran = self._sut.run(
            self._container,
            self._program,
            stdout=self,
            cancel=self.cancel,
            **self._fields,  # type: ignore[arg-type]
        )

    def outcome(self) -> ExecOutcome:
        self.join(60)
        assert self.ran is not None, "the command never ended"
        return self.ran.outcome


@pytest.fixture(
    params=["fake", pytest.param("docker", marks=[pytest.mark.docker, pytest.mark.image])],
)
def sut(request: pytest.FixtureRequest) -> Iterator[EngineUnderTest]:
    """The system under test: the fake engine, and Docker."""
    laboratory = EngineUnderTest(FakeEngine() if request.param == "fake" else DockerEngine())
    yield laboratory
    _leave(laboratory)


@pytest.fixture
def docker_sut() -> Iterator[EngineUnderTest]:
    """The system under test: Docker."""
    laboratory = EngineUnderTest(DockerEngine())
    yield laboratory
    _leave(laboratory)


def _leave(laboratory: EngineUnderTest) -> None:
    laboratory.clean_up()
    if isinstance(laboratory.engine, DockerEngine):
        laboratory.engine.close()
