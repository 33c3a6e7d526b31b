"""An exec that waits for a line, on the fake engine and on Docker."""

import io
import time

import pytest

from moonmind_appliance.containers.engine import CancelToken, PreparedExec
from moonmind_appliance.errors import ContainerNotFound, EngineError, InterruptReason
from moonmind_appliance.models import EndReason, ExecOutcome, ExecSpec
from tests.containers.programs import _says

from .conftest import WORK, EngineUnderTest, Program, Ran

ECHO = Program('read -r line && echo "read $line" && exit 3', _says(b"read some words\n", code=3))
LINE = b"some words\n"


def _prepare(sut: EngineUnderTest, box: str, program: Program = ECHO) -> tuple[PreparedExec, ExecSpec]:
    spec = ExecSpec(command=sut.command(program))
    return sut.engine.prepare(box, spec), spec


def _run(
    prepared: PreparedExec, spec: ExecSpec, line: bytes = LINE, *, cancel: CancelToken | None = None
) -> tuple[ExecOutcome | None, Ran | None]:
    out, err = io.BytesIO(), io.BytesIO()
    outcome = prepared.run(line, spec, stdout=out, stderr=err, cancel=cancel)
    return outcome, None if outcome is None else Ran(outcome, out.getvalue(), err.getvalue())


def _wait_for(sut: EngineUnderTest, box: str, path: str) -> None:
    give_up = time.monotonic() + 30
    while sut.engine.read_file(box, path, limit=100) is None:
        assert time.monotonic() < give_up, f"{path} was never written"
        time.sleep(0.05)


def test_a_waiting_command_gets_its_line(sut: EngineUnderTest) -> None:
    """It reads the line, and its output and exit code come as from any exec."""
    outcome, ran = _run(*_prepare(sut, sut.box()))
    assert outcome is not None
    assert ran is not None
    assert (outcome.ended, outcome.exit_code, ran.stdout) == (EndReason.EXITED, 3, b"read some words\n")


def test_a_cancel_before_the_line_does_nothing(sut: EngineUnderTest) -> None:
    """As for an exec that was not started: the container continues."""
    box, cancel = sut.box(), CancelToken()
    cancel.cancel(InterruptReason.CANCELLED)
    outcome, _ = _run(*_prepare(sut, box), cancel=cancel)
    assert outcome is not None
    assert outcome.ended is EndReason.CANCELLED
    assert [each.running for each in sut.engine.containers(sut.labels)] == [True]


def test_nothing_waits_in_a_container_that_does_not_run(sut: EngineUnderTest) -> None:
    """A container that ended or does not exist is an error."""
    box = sut.box()
    sut.engine.kill(box)
    with pytest.raises(EngineError):
        _prepare(sut, box)
    with pytest.raises(ContainerNotFound):
        _prepare(sut, sut.name("absent"))


def test_a_command_whose_container_ended_was_not_run(sut: EngineUnderTest) -> None:
    """The caller learns that nothing was done."""
    box = sut.box()
    prepared, spec = _prepare(sut, box)
    sut.engine.kill(box)
    assert _run(prepared, spec) == (None, None)


def test_closing_is_safe_at_any_time(sut: EngineUnderTest) -> None:
    """It may be closed twice, and after the command ran. A closed command does not run."""
    box = sut.box()
    prepared, spec = _prepare(sut, box)
    prepared.close()
    prepared.close()
    prepared, spec = _prepare(sut, box)
    assert _run(prepared, spec)[0] is not None
    prepared.close()


@pytest.mark.docker
@pytest.mark.image
class TestDocker:
    """What only a real engine shows."""

    def test_closing_ends_the_stdin_of_the_command(self, docker_sut: EngineUnderTest) -> None:
        """So a command whose appliance was killed does not wait forever."""
        box = docker_sut.box()
        prepared, _ = _prepare(docker_sut, box, Program(f"read -r line || echo > {WORK}/ended", 0))
        prepared.close()
        _wait_for(docker_sut, box, f"{WORK}/ended")

    @pytest.mark.parametrize("shell", ["true", "echo forged; read -r line"])
    def test_a_command_that_does_not_wait_is_not_run(self, docker_sut: EngineUnderTest, shell: str) -> None:
        """A command that ended or printed something is not used: the agent may have replaced it."""
        box = docker_sut.box()
        prepared, spec = _prepare(docker_sut, box, Program(f"echo > {WORK}/began; {shell}", 0))
        _wait_for(docker_sut, box, f"{WORK}/began")
        time.sleep(0.5)
        assert _run(prepared, spec) == (None, None)

    def test_limits_count_from_the_line(self, docker_sut: EngineUnderTest) -> None:
        """A command that waited for longer than its time limit still has its full time."""
        prepared, spec = _prepare(docker_sut, docker_sut.box())
        time.sleep(2.5)
        limited = ExecSpec(command=spec.command, time_limit=2, silence_limit=2)
        outcome, _ = _run(prepared, limited)
        assert outcome is not None
        assert outcome.ended is EndReason.EXITED

    def test_a_time_limit_ends_it(self, docker_sut: EngineUnderTest) -> None:
        """The time limit applies as for any exec."""
        prepared, spec = _prepare(docker_sut, docker_sut.box(), Program("read -r line; sleep 60", 0))
        outcome, _ = _run(prepared, ExecSpec(command=spec.command, time_limit=0.5))
        assert outcome is not None
        assert outcome.ended is EndReason.TIMED_OUT

    def test_a_long_line_arrives_complete(self, docker_sut: EngineUnderTest) -> None:
        """A line may have a megabyte, which is too large for a command argument."""
        prepared, spec = _prepare(docker_sut, docker_sut.box(), Program("read -r line; echo ${#line}", 0))
        _, ran = _run(prepared, spec, b"x" * 1_000_000 + b"\n")
        assert ran is not None
        assert ran.stdout == b"1000000\n"
