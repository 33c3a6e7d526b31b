"""Commands in a run's containers, and the end of their output."""

import io
import uuid

import pytest

from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.errors import EngineUnreachable, InterruptReason, RunInterrupted
from moonmind_appliance.models import ContainerSpec, ExecSpec, Limits
from moonmind_appliance.phases.commands import KILLED, Tee, out_of_memory, run_command
from tests.containers.fake import JOB_IMAGE
from tests.containers.fake_exec import FakeExec
from tests.phases.contexts import make_context


def test_a_cancel_interrupts_the_command() -> None:
    """The phase ends with the reason of the cancel."""
    context = make_context()
    context.engine.start(ContainerSpec(name="box", image=JOB_IMAGE, command=["x"], labels={}, limits=Limits(1, 1, 1)))

    def cancelled(process: FakeExec) -> int:
        context.cancel.cancel(InterruptReason.SHUTDOWN)
        process.sleep(30)
        return 0

    context.engine.on_exec("long", cancelled)  # type: ignore[attr-defined]
    with pytest.raises(RunInterrupted) as interrupted:
        run_command(context, "box", ExecSpec(command=["long"]), stdout=io.BytesIO(), stderr=io.BytesIO())
    assert interrupted.value.reason is InterruptReason.SHUTDOWN


def test_every_sink_gets_everything_and_the_end_is_kept() -> None:
    """The tail has at most that many bytes, whatever the sizes of the writes."""
    first, second = io.BytesIO(), io.BytesIO()
    tee = Tee(first, second, keep=4)
    for data in (b"abc", b"", b"defghi", b"j"):
        tee.write(data)
    assert (first.getvalue(), second.getvalue(), tee.tail) == (b"abcdefghij", b"abcdefghij", b"ghij")


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"low 0\noom 3\noom_kill 2\n", True),
        (b"oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", True),
        (b"low 0\noom 0\noom_kill 0\noom_group_kill 0\n", False),
        (b"", False),
    ],
    ids=["v2", "v1", "none", "no cgroup"],
)
def test_out_of_memory(printed: bytes, *, expected: bool) -> None:
    """Both versions of cgroups count the processes that the kernel ended."""
    context = make_context()
    context.engine.start(ContainerSpec(name="box", image=JOB_IMAGE, command=["x"], labels={}, limits=Limits(1, 1, 1)))

    def cat(process: FakeExec) -> int:
        process.stdout.write(printed)
        return 1

    context.engine.on_exec("memory.events", cat)  # type: ignore[attr-defined]
    assert out_of_memory(context, "box") is expected
    context.engine.fail(EngineUnreachable("no engine"))  # type: ignore[attr-defined]
    assert not out_of_memory(context, "box")


@pytest.mark.docker
@pytest.mark.image
def test_out_of_memory_in_a_real_container() -> None:
    """The engine reports nothing about a command that the kernel ended, only the container's counter does."""
    context = make_context(engine=DockerEngine(None))
    name = f"memory-{uuid.uuid4().hex[:12]}"
    limits = Limits(64 * 1024**2, 1.0, 64)
    spec = ContainerSpec(name=name, image=JOB_IMAGE, command=["sleep", "60"], labels={}, limits=limits)
    needs = ExecSpec(command=["python3", "-c", "bytearray(300 * 1024**2)"], time_limit=50)
    try:
        context.engine.start(spec)
        assert not out_of_memory(context, name)
        ended = run_command(context, name, needs, stdout=Tee(), stderr=Tee())
        assert ended.exit_code == KILLED
        assert out_of_memory(context, name)
    finally:
        context.engine.remove(name)
        context.engine.close()
