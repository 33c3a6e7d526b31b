"""One exec from its start to its end, on the fake engine and on Docker."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import (
    ContainerNotFound,
    InterruptReason,
)
from moonmind_appliance.models import EndReason, ExecSpec
from tests.containers.fake_exec import FakeExec
from tests.containers.programs import CHATTER, SAY, SAY_AND_WAIT, SLOW_TICKS, TRUE, WAIT_FOR_GO, _says

from .conftest import WORK, EngineUnderTest, Program

ABSENT = "contract-there-is-no-such-thing"


def _running(sut: EngineUnderTest) -> list[str]:
    return [each.name for each in sut.engine.containers(sut.labels) if each.running]


def test_an_exec_gives_its_output_and_exit_code(sut: EngineUnderTest) -> None:
    """Stdout and stderr go to their sinks; a code other than 0 is not ok."""
    ran = sut.run(sut.box(), SAY)
    assert (ran.outcome.ended, ran.outcome.exit_code, ran.outcome.ok) == (EndReason.EXITED, 7, False)
    assert (ran.stdout, ran.stderr) == (b"out\n", b"err\n")


def test_output_arrives_while_the_command_runs(sut: EngineUnderTest) -> None:
    """The first line is there before the command can continue."""
    box = sut.box()
    running = sut.begin(box, WAIT_FOR_GO)
    assert (running.output, running.is_alive()) == (b"first\n", True)
    sut.engine.put_file(box, f"{WORK}/go", b"")
    assert running.outcome().ok
    assert running.output == b"first\nsecond\n"


def test_stdin_is_empty_and_closed(sut: EngineUnderTest) -> None:
    """A command that reads its stdin to the end does not wait."""
    ran = sut.run(sut.box(), Program("wc -c", _says(b"0\n")), time_limit=30)
    assert (ran.outcome.ended, ran.stdout.strip()) == (EndReason.EXITED, b"0")


def test_an_exec_has_its_environment_and_folder(sut: EngineUnderTest) -> None:
    """Variables of container and exec are both there; the exec's folder is where it runs."""
    box = sut.box(env={"FROM_CONTAINER": "one"})
    program = Program(
        'echo "$FROM_CONTAINER $FROM_EXEC"; pwd',
        lambda process: process.stdout.write(
            f"{process.env['FROM_CONTAINER']} {process.env['FROM_EXEC']}\n{process.spec.working_dir}\n".encode()
        ),
    )
    ran = sut.run(box, program, env={"FROM_EXEC": "two words"}, working_dir=WORK)
    assert ran.stdout.decode() == f"one two words\n{WORK}\n"


def test_output_is_bytes(sut: EngineUnderTest) -> None:
    """Bytes that are not text arrive unchanged."""
    said = bytes([0, 1, 13, 10, 128, 255, 0])
    ran = sut.run(sut.box(), Program(r"printf '\0\1\15\12\200\377\0'", _says(said)))
    assert ran.stdout == said


def test_large_output(sut: EngineUnderTest) -> None:
    """50 MB arrive complete, in pieces of at most a megabyte: nothing buffers them."""

    class Counted:
        total = largest = 0

        def write(self, data: bytes, /) -> None:
            self.total += len(data)
            self.largest = max(self.largest, len(data))

    size = 50 * 1024**2

    def answer(process: FakeExec) -> None:
        for _ in range(50):
            process.stdout.write(bytes(1024**2))

    counted = Counted()
    ran = sut.run(sut.box(), Program(f"head -c {size} /dev/zero", answer), stdout=counted)
    assert (ran.outcome.ok, counted.total) == (True, size)
    assert counted.largest <= 1024**2


def test_a_time_limit_ends_a_command_that_prints(sut: EngineUnderTest) -> None:
    """It counts from the start, whatever the command prints; the output is there, and the container has ended."""
    box = sut.box()
    # On a busy machine, the start of a command takes a second.
    ran = sut.run(box, CHATTER, time_limit=4)
    assert (ran.outcome.ended, ran.outcome.ok) == (EndReason.TIMED_OUT, False)
    assert ran.stdout.startswith(b"tick\n")
    assert _running(sut) == []


def test_a_silence_limit_ends_a_command_that_hangs(sut: EngineUnderTest) -> None:
    """It counts from the last output."""
    ran = sut.run(sut.box(), SAY_AND_WAIT, silence_limit=4)
    assert (ran.outcome.ended, ran.stdout) == (EndReason.SILENT, b"begun\n")
    assert _running(sut) == []


def test_a_silence_limit_allows_a_command_that_prints(sut: EngineUnderTest) -> None:
    """A command that takes longer than the limit, but prints in between, runs to its end."""
    ran = sut.run(sut.box(), SLOW_TICKS, silence_limit=2.5)
    assert (ran.outcome.ended, ran.stdout) == (EndReason.EXITED, b"tick\n" * 6)


def test_a_cancel_ends_the_command(sut: EngineUnderTest) -> None:
    """The output until then is there, and the container has ended."""
    running = sut.begin(sut.box(), SAY_AND_WAIT)
    running.cancel.cancel(InterruptReason.CANCELLED)
    assert running.outcome().ended is EndReason.CANCELLED
    assert running.output == b"begun\n"
    assert _running(sut) == []


def test_a_cancel_before_the_start_starts_nothing(sut: EngineUnderTest) -> None:
    """A token that was cancelled before gives CANCELLED without output, and the container continues."""
    token = CancelToken()
    token.cancel(InterruptReason.SHUTDOWN)
    box = sut.box()
    ran = sut.run(box, SAY, cancel=token)
    assert (ran.outcome.ended, ran.stdout, ran.stderr) == (EndReason.CANCELLED, b"", b"")
    assert sut.run(box, TRUE).outcome.ok


def test_ending_one_command_ends_its_container(sut: EngineUnderTest) -> None:
    """Of two commands in one container, the other one is CONTAINER_GONE; commands in other containers continue."""
    box, elsewhere = sut.box("one"), sut.box("two")
    other, third = sut.begin(box, SAY_AND_WAIT), sut.begin(elsewhere, WAIT_FOR_GO)
    assert sut.run(box, SAY_AND_WAIT, time_limit=0.5).outcome.ended is EndReason.TIMED_OUT
    assert (other.outcome().ended, other.output) == (EndReason.CONTAINER_GONE, b"begun\n")
    sut.engine.put_file(elsewhere, f"{WORK}/go", b"")
    assert third.outcome().ok


def test_files_are_read_after_a_command_was_ended(sut: EngineUnderTest) -> None:
    """What it wrote into a volume is there."""

    def answer(process: FakeExec) -> None:
        process.write_file(f"{WORK}/a", b"written\n")
        process.stdout.write(b"begun\n")
        process.sleep(60)

    box = sut.box()
    running = sut.begin(box, Program(f"echo written >{WORK}/a; echo begun; sleep 60", answer))
    running.cancel.cancel(InterruptReason.CANCELLED)
    assert running.outcome().ended is EndReason.CANCELLED
    assert sut.engine.read_file(box, f"{WORK}/a", limit=100) == b"written\n"


@pytest.mark.parametrize("end", ["kill", "remove"])
def test_a_container_that_vanishes_ends_the_command(sut: EngineUnderTest, end: str) -> None:
    """Killed or removed under a running command: CONTAINER_GONE, with the output until then."""
    box = sut.box()
    running = sut.begin(box, SAY_AND_WAIT)
    getattr(sut.engine, end)(box)
    assert running.outcome() == running.outcome()
    assert (running.outcome().ended, running.outcome().exit_code) == (EndReason.CONTAINER_GONE, None)
    assert running.output == b"begun\n"


def test_a_container_that_does_not_run_runs_nothing(sut: EngineUnderTest) -> None:
    """Killed, or never started: CONTAINER_GONE."""
    killed = sut.box("killed")
    sut.engine.kill(killed)
    sut.engine.start(sut.spec("made"), run=False)
    ended = [sut.run(box, TRUE).outcome.ended for box in (killed, sut.name("made"))]
    assert ended == [EndReason.CONTAINER_GONE] * 2


def test_a_missing_container_is_an_error(sut: EngineUnderTest) -> None:
    """`execute`, `put_file` and `read_file` raise ContainerNotFound."""
    with pytest.raises(ContainerNotFound):
        sut.run(ABSENT, TRUE)
    with pytest.raises(ContainerNotFound):
        sut.engine.put_file(ABSENT, f"{WORK}/a", b"")
    with pytest.raises(ContainerNotFound):
        sut.engine.read_file(ABSENT, f"{WORK}/a", limit=1)


def test_an_empty_command_is_refused(sut: EngineUnderTest) -> None:
    """A container and an exec need a command."""
    with pytest.raises(ValueError, match="command"):
        sut.engine.start(sut.spec(command=[]))
    with pytest.raises(ValueError, match="command"):
        sut.engine.execute(sut.box(), ExecSpec(command=[]), stdout=_Refusing(), stderr=_Refusing())


class _Refusing:
    def write(self, _: bytes, /) -> None:
        raise OSError("no space for output")


def test_a_sink_that_fails_ends_the_command(sut: EngineUnderTest) -> None:
    """Its error is raised, and the command does not continue while its output is lost."""
    with pytest.raises(OSError, match="no space for output"):
        sut.run(sut.box(), SAY_AND_WAIT, stdout=_Refusing())
    assert _running(sut) == []


def test_many_commands_run_at_once(sut: EngineUnderTest) -> None:
    """Twelve execs in one container keep their output apart."""
    box = sut.box()

    def run(number: int) -> bytes:
        program = Program(f"echo {number}; echo {number} again", _says(b"%d\n%d again\n" % (number, number)))
        return sut.run(box, program).stdout

    with ThreadPoolExecutor(12) as pool:
        said = list(pool.map(run, range(12)))
    assert said == [b"%d\n%d again\n" % (number, number) for number in range(12)]
