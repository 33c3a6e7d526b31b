"""The rules of `ContainerEngine`, for the fake engine and for Docker."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import (
    ContainerNotFound,
    EngineError,
    ImageNotFound,
    InterruptReason,
    NameTaken,
    UnreadableFile,
)
from moonmind_appliance.models import EndReason, ExecSpec, Mount
from tests.containers.fake import FakeExec

from .conftest import WORK, EngineUnderTest, Program

ABSENT = "contract-there-is-no-such-thing"


def _says(stdout: bytes = b"", stderr: bytes = b"", code: int = 0):
    def answer(process: FakeExec) -> int:
        process.stdout.write(stdout)
        process.stderr.write(stderr)
        return code

    return answer


def _says_and_waits(process: FakeExec) -> int:
    process.stdout.write(b"begun\n")
    process.sleep(60)
    return 0


def _waits_for_go(process: FakeExec) -> int:
    process.stdout.write(b"first\n")
    while process.read_file(f"{WORK}/go") is None:
        process.sleep(0.01)
    process.stdout.write(b"second\n")
    return 0


def _ticks(count: int, pause: float):
    def answer(process: FakeExec) -> int:
        for _ in range(count):
            process.stdout.write(b"tick\n")
            process.sleep(pause)
        return 0

    return answer


TRUE = Program("true", 0)
SAY = Program("echo out; echo err >&2; exit 7", _says(b"out\n", b"err\n", 7))
SAY_AND_WAIT = Program("echo begun; sleep 60", _says_and_waits)
WAIT_FOR_GO = Program(f"echo first; until [ -e {WORK}/go ]; do sleep 0.05; done; echo second", _waits_for_go)
CHATTER = Program("while :; do echo tick; sleep 0.02; done", _ticks(100_000, 0.02))
SLOW_TICKS = Program("for i in 1 2 3 4 5 6; do echo tick; sleep 0.5; done", _ticks(6, 0.5))


def _running(sut: EngineUnderTest) -> list[str]:
    return [each.name for each in sut.engine.containers(sut.labels) if each.running]


# Names, images and states


def test_a_name_is_a_lock(sut: EngineUnderTest) -> None:
    """Of 20 simultaneous starts with one name exactly one succeeds; the others get its labels."""
    sut.engine.ensure_volume(sut.name("work"), sut.labels)

    def start(number: int) -> str | NameTaken:
        try:
            return sut.engine.start(sut.spec(labels={**sut.labels, "number": str(number)}))
        except NameTaken as taken:
            return taken

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(start, range(20)))

    winners = [number for number, answer in enumerate(answers) if isinstance(answer, str)]
    losers = [answer for answer in answers if isinstance(answer, NameTaken)]
    assert len(winners) == 1
    assert {loser.holder["number"] for loser in losers} == {str(winners[0])}
    assert [each.labels["number"] for each in sut.engine.containers(sut.labels)] == [str(winners[0])]


def test_a_taken_name_reports_whether_its_holder_runs(sut: EngineUnderTest) -> None:
    """NameTaken has the name, the holder's labels, and whether it runs."""
    box = sut.box()
    with pytest.raises(NameTaken) as running:
        sut.engine.start(sut.spec())
    sut.engine.kill(box)
    with pytest.raises(NameTaken) as ended:
        sut.engine.start(sut.spec())

    assert (running.value.name, running.value.running, ended.value.running) == (box, True, False)
    assert running.value.holder.items() >= sut.labels.items()


def test_a_removed_name_is_free(sut: EngineUnderTest) -> None:
    """As soon as `remove` returns, the name can be used again."""
    for _ in range(3):
        sut.engine.remove(sut.box())
    assert sut.engine.containers(sut.labels) == []


def test_a_removal_by_two_frees_the_name_for_both(sut: EngineUnderTest) -> None:
    """Several threads may call `remove` at once; the name is free when the first one returns."""
    box = sut.box()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(sut.engine.remove, [box] * 6))
    assert sut.engine.containers(sut.labels) == []


def test_a_missing_image_creates_nothing(sut: EngineUnderTest) -> None:
    """`start` raises ImageNotFound, and `image` answers None."""
    with pytest.raises(ImageNotFound):
        sut.engine.start(sut.spec(image=f"{ABSENT}:latest"))
    assert sut.engine.image(f"{ABSENT}:latest") is None
    assert sut.engine.containers(sut.labels) == []


def test_a_failed_start_creates_nothing(sut: EngineUnderTest) -> None:
    """A container that cannot start because its network does not exist is removed."""
    with pytest.raises(EngineError, match="not found"):
        sut.engine.start(sut.spec(network=ABSENT))
    assert sut.engine.containers(sut.labels) == []


def test_an_image_has_a_reference_and_an_id(sut: EngineUnderTest) -> None:
    """`image` has the given reference, and an id."""
    image = sut.engine.image(sut.spec().image)
    assert image is not None
    assert (image.reference, image.image_id.startswith("sha256:")) == (sut.spec().image, True)


def test_containers_are_found_by_all_their_labels(sut: EngineUnderTest) -> None:
    """Only those with all labels are listed, running or not, in the order of their names."""
    sut.box("b")
    sut.box("a")
    sut.engine.start(sut.spec("c"), run=False)

    listed = [(each.name, each.running) for each in sut.engine.containers(sut.labels)]
    one = [each.name for each in sut.engine.containers({**sut.labels, "moonmind.role": "a"})]

    assert listed == [(sut.name("a"), True), (sut.name("b"), True), (sut.name("c"), False)]
    assert one == [sut.name("a")]


def test_kill_and_remove_are_safe_twice(sut: EngineUnderTest) -> None:
    """The second call returns False, as it does for a container that never existed."""
    box = sut.box()
    assert [sut.engine.kill(box), sut.engine.kill(box), sut.engine.kill(ABSENT)] == [True, False, False]
    assert [sut.engine.remove(box), sut.engine.remove(box), sut.engine.remove(ABSENT)] == [True, False, False]


def test_a_killed_container_has_ended_when_kill_returns(sut: EngineUnderTest) -> None:
    """No process of it runs; the container still exists."""
    sut.engine.kill(sut.box())
    assert [each.running for each in sut.engine.containers(sut.labels)] == [False]


def test_a_container_is_found_by_its_name_and_its_id(sut: EngineUnderTest) -> None:
    """Every method accepts both."""
    sut.engine.ensure_volume(sut.name("work"), sut.labels)
    container_id = sut.engine.start(sut.spec())
    sut.engine.put_file(container_id, f"{WORK}/a", b"a")
    assert sut.engine.read_file(sut.name("box"), f"{WORK}/a", limit=1) == b"a"
    assert sut.run(container_id, TRUE).outcome.ok
    assert sut.engine.remove(container_id)


# Networks and volumes


def test_a_network_is_created_once(sut: EngineUnderTest) -> None:
    """`ensure_network` gives the same gateway each time; `remove_network` returns whether there was one."""
    gateways = {sut.engine.ensure_network(sut.name("net"), sut.labels) for _ in range(2)}
    assert len(gateways) == 1
    assert [sut.engine.remove_network(sut.name("net")) for _ in range(2)] == [True, False]


def test_a_volume_is_created_once(sut: EngineUnderTest) -> None:
    """Of many simultaneous calls exactly one creates it; it is found by its labels, and removed once."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: sut.engine.ensure_volume(sut.name("v"), {**sut.labels, "kind": "x"}), range(8)))
    assert sorted(made) == [False] * 7 + [True]
    assert [each.name for each in sut.engine.volumes({**sut.labels, "kind": "x"})] == [sut.name("v")]
    assert sut.engine.volumes({**sut.labels, "kind": "y"}) == []
    assert [sut.engine.remove_volume(sut.name("v")) for _ in range(2)] == [True, False]


def test_a_volume_in_use_stays(sut: EngineUnderTest) -> None:
    """`remove_volume` raises while a container mounts it, and works after the container was removed."""
    box = sut.box()
    with pytest.raises(EngineError, match="in use"):
        sut.engine.remove_volume(sut.name("work"))
    sut.engine.remove(box)
    assert sut.engine.remove_volume(sut.name("work"))


# Execs


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
    ran = sut.run(box, CHATTER, time_limit=0.5)
    assert (ran.outcome.ended, ran.outcome.ok) == (EndReason.TIMED_OUT, False)
    assert ran.stdout.startswith(b"tick\n")
    assert _running(sut) == []


def test_a_silence_limit_ends_a_command_that_hangs(sut: EngineUnderTest) -> None:
    """It counts from the last output."""
    ran = sut.run(sut.box(), SAY_AND_WAIT, silence_limit=0.5)
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
        process.sleep(60)

    box = sut.box()
    ran = sut.run(box, Program(f"echo written >{WORK}/a; sleep 60", answer), time_limit=0.5)
    assert ran.outcome.ended is EndReason.TIMED_OUT
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


# Files


def test_a_file_is_written_and_read(sut: EngineUnderTest) -> None:
    """Byte for byte, over what was there before, and by every container that has the volume."""
    one, two = sut.box("one"), sut.box("two")
    content = bytes(range(256)) * 1000
    sut.engine.put_file(one, f"{WORK}/a.bin", b"before")
    sut.engine.put_file(one, f"{WORK}/a.bin", content)
    assert sut.engine.read_file(two, f"{WORK}/a.bin", limit=len(content)) == content


def test_a_file_of_a_container_that_never_ran_is_read(sut: EngineUnderTest) -> None:
    """With `run=False` its volumes can be read and written; so they can when it has ended."""
    sut.engine.put_file(sut.box(), f"{WORK}/a", b"kept")
    sut.engine.start(sut.spec("made"), run=False)
    sut.engine.kill(sut.name("box"))
    sut.engine.put_file(sut.name("made"), f"{WORK}/b", b"new")
    assert sut.engine.read_file(sut.name("made"), f"{WORK}/a", limit=4) == b"kept"
    assert sut.engine.read_file(sut.name("box"), f"{WORK}/b", limit=4) == b"new"


def test_only_regular_files_are_read(sut: EngineUnderTest) -> None:
    """A folder, a symlink, a pipe and a missing file are None; with `strict` only the missing file is."""

    def answer(process: FakeExec) -> None:
        process.make_folder(f"{WORK}/folder")
        process.write_file(f"{WORK}/file", b"secret")
        for name in ("link", "dangling", "pipe"):
            process.engine.add_symlink(process.container.container_id, f"{WORK}/{name}")

    box = sut.box()
    shell = "mkdir folder; echo secret >file; ln -s file link; ln -s nowhere dangling; mkfifo pipe"
    assert sut.run(box, Program(f"cd {WORK} && {shell}", answer)).outcome.ok
    names = ["folder", "link", "dangling", "pipe", "absent", "absent/file"]
    assert [sut.engine.read_file(box, f"{WORK}/{name}", limit=100) for name in names] == [None] * 6
    assert sut.engine.read_file(box, "/work", limit=100) is None
    for name in ("folder", "link", "dangling", "pipe"):
        with pytest.raises(UnreadableFile, match=name):
            sut.engine.read_file(box, f"{WORK}/{name}", limit=100, strict=True)
    assert sut.engine.read_file(box, f"{WORK}/absent", limit=100, strict=True) is None
    assert sut.engine.read_file(box, f"{WORK}/file", limit=100, strict=True) in (b"secret", b"secret\n")


def test_a_file_past_the_limit_is_an_error(sut: EngineUnderTest) -> None:
    """As many bytes as the limit are read, one more is refused."""
    box = sut.box()
    sut.engine.put_file(box, f"{WORK}/five", b"12345")
    assert sut.engine.read_file(box, f"{WORK}/five", limit=5) == b"12345"
    with pytest.raises(UnreadableFile, match="the limit is 4"):
        sut.engine.read_file(box, f"{WORK}/five", limit=4)


def test_a_symlink_is_replaced_not_followed(sut: EngineUnderTest) -> None:
    """`put_file` onto a symlink that the job created leaves the link's target unchanged."""

    def answer(process: FakeExec) -> None:
        process.write_file(f"{WORK}/target", b"old\n")
        process.engine.add_symlink(process.container.container_id, f"{WORK}/link")

    box = sut.box()
    sut.run(box, Program(f"cd {WORK} && echo old >target && ln -s target link", answer))
    sut.engine.put_file(box, f"{WORK}/link", b"new\n")
    assert sut.engine.read_file(box, f"{WORK}/target", limit=9) == b"old\n"
    assert sut.engine.read_file(box, f"{WORK}/link", limit=9) == b"new\n"


@pytest.mark.parametrize("path", [f"{WORK}/no/such/folder/file", "/etc/planted", "/read-only/file"])
def test_a_file_can_only_be_written_to_a_writable_mount(sut: EngineUnderTest, path: str) -> None:
    """A missing folder is not created; the image and a read-only mount stay unchanged."""
    sut.engine.ensure_volume(sut.name("fixed"), sut.labels)
    box = sut.box(mounts=[Mount(sut.name("work"), WORK), Mount(sut.name("fixed"), "/read-only", read_only=True)])
    with pytest.raises(EngineError):
        sut.engine.put_file(box, path, b"x")


def test_everything_may_be_called_from_many_threads(sut: EngineUnderTest) -> None:
    """Ten threads each start, write, run, read, kill and remove a container of their own."""
    sut.engine.ensure_volume(sut.name("work"), sut.labels)
    begin = threading.Barrier(10)

    def life(number: int) -> tuple[bool, bytes | None, bool, bool]:
        begin.wait(30)
        box = sut.box(f"box{number}")
        sut.engine.put_file(box, f"{WORK}/{number}", b"%d" % number)
        ran = sut.run(box, TRUE)
        return (
            ran.outcome.ok,
            sut.engine.read_file(box, f"{WORK}/{number}", limit=9),
            sut.engine.kill(box),
            sut.engine.remove(box),
        )

    with ThreadPoolExecutor(10) as pool:
        lives = list(pool.map(life, range(10)))
    assert lives == [(True, b"%d" % number, True, True) for number in range(10)]
