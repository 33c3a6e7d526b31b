"""The rules of `ContainerEngine`, for the fake engine and for Docker."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.containers.fake import FakeExec
from moonmind_appliance.errors import (
    ContainerNotFound,
    EngineError,
    ImageNotFound,
    InterruptReason,
    NameTaken,
    UnreadableFile,
)
from moonmind_appliance.models import EndReason, ExecSpec, Mount

from .conftest import WORK, Laboratory, Program

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


def _running(lab: Laboratory) -> list[str]:
    return [each.name for each in lab.engine.containers(lab.labels) if each.running]


# Names, images and states


def test_a_name_is_a_lock(lab: Laboratory) -> None:
    """Of 20 simultaneous starts with one name exactly one succeeds; the others get its labels."""
    lab.engine.ensure_volume(lab.name("work"), lab.labels)

    def start(number: int) -> str | NameTaken:
        try:
            return lab.engine.start(lab.spec(labels={**lab.labels, "number": str(number)}))
        except NameTaken as taken:
            return taken

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(start, range(20)))

    winners = [number for number, answer in enumerate(answers) if isinstance(answer, str)]
    losers = [answer for answer in answers if isinstance(answer, NameTaken)]
    assert len(winners) == 1
    assert {loser.holder["number"] for loser in losers} == {str(winners[0])}
    assert [each.labels["number"] for each in lab.engine.containers(lab.labels)] == [str(winners[0])]


def test_a_taken_name_reports_whether_its_holder_runs(lab: Laboratory) -> None:
    """NameTaken has the name, the holder's labels, and whether it runs."""
    box = lab.box()
    with pytest.raises(NameTaken) as running:
        lab.engine.start(lab.spec())
    lab.engine.kill(box)
    with pytest.raises(NameTaken) as ended:
        lab.engine.start(lab.spec())

    assert (running.value.name, running.value.running, ended.value.running) == (box, True, False)
    assert running.value.holder.items() >= lab.labels.items()


def test_a_removed_name_is_free(lab: Laboratory) -> None:
    """As soon as `remove` returns, the name can be used again."""
    for _ in range(3):
        lab.engine.remove(lab.box())
    assert lab.engine.containers(lab.labels) == []


def test_a_removal_by_two_frees_the_name_for_both(lab: Laboratory) -> None:
    """Several threads may call `remove` at once; the name is free when the first one returns."""
    box = lab.box()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lab.engine.remove, [box] * 6))
    assert lab.engine.containers(lab.labels) == []


def test_a_missing_image_creates_nothing(lab: Laboratory) -> None:
    """`start` raises ImageNotFound, and `image` answers None."""
    with pytest.raises(ImageNotFound):
        lab.engine.start(lab.spec(image=f"{ABSENT}:latest"))
    assert lab.engine.image(f"{ABSENT}:latest") is None
    assert lab.engine.containers(lab.labels) == []


def test_a_failed_start_creates_nothing(lab: Laboratory) -> None:
    """A container that cannot start because its network does not exist is removed."""
    with pytest.raises(EngineError, match="not found"):
        lab.engine.start(lab.spec(network=ABSENT))
    assert lab.engine.containers(lab.labels) == []


def test_an_image_has_a_reference_and_an_id(lab: Laboratory) -> None:
    """`image` has the given reference, and an id."""
    image = lab.engine.image(lab.spec().image)
    assert image is not None
    assert (image.reference, image.image_id.startswith("sha256:")) == (lab.spec().image, True)


def test_containers_are_found_by_all_their_labels(lab: Laboratory) -> None:
    """Only those with all labels are listed, running or not, in the order of their names."""
    lab.box("b")
    lab.box("a")
    lab.engine.start(lab.spec("c"), run=False)

    listed = [(each.name, each.running) for each in lab.engine.containers(lab.labels)]
    one = [each.name for each in lab.engine.containers({**lab.labels, "moonmind.role": "a"})]

    assert listed == [(lab.name("a"), True), (lab.name("b"), True), (lab.name("c"), False)]
    assert one == [lab.name("a")]


def test_kill_and_remove_are_safe_twice(lab: Laboratory) -> None:
    """The second call returns False, as it does for a container that never existed."""
    box = lab.box()
    assert [lab.engine.kill(box), lab.engine.kill(box), lab.engine.kill(ABSENT)] == [True, False, False]
    assert [lab.engine.remove(box), lab.engine.remove(box), lab.engine.remove(ABSENT)] == [True, False, False]


def test_a_killed_container_has_ended_when_kill_returns(lab: Laboratory) -> None:
    """No process of it runs; the container still exists."""
    lab.engine.kill(lab.box())
    assert [each.running for each in lab.engine.containers(lab.labels)] == [False]


def test_a_container_answers_to_its_name_and_its_id(lab: Laboratory) -> None:
    """Every method accepts both."""
    lab.engine.ensure_volume(lab.name("work"), lab.labels)
    container_id = lab.engine.start(lab.spec())
    lab.engine.put_file(container_id, f"{WORK}/a", b"a")
    assert lab.engine.read_file(lab.name("box"), f"{WORK}/a", limit=1) == b"a"
    assert lab.run(container_id, TRUE).outcome.ok
    assert lab.engine.remove(container_id)


# Networks and volumes


def test_a_network_is_created_once(lab: Laboratory) -> None:
    """`ensure_network` gives the same gateway each time; `remove_network` returns whether there was one."""
    gateways = {lab.engine.ensure_network(lab.name("net"), lab.labels) for _ in range(2)}
    assert len(gateways) == 1
    assert [lab.engine.remove_network(lab.name("net")) for _ in range(2)] == [True, False]


def test_a_volume_is_created_once(lab: Laboratory) -> None:
    """Of many simultaneous calls exactly one creates it; it is found by its labels, and removed once."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: lab.engine.ensure_volume(lab.name("v"), {**lab.labels, "kind": "x"}), range(8)))
    assert sorted(made) == [False] * 7 + [True]
    assert [each.name for each in lab.engine.volumes({**lab.labels, "kind": "x"})] == [lab.name("v")]
    assert lab.engine.volumes({**lab.labels, "kind": "y"}) == []
    assert [lab.engine.remove_volume(lab.name("v")) for _ in range(2)] == [True, False]


def test_a_volume_in_use_stays(lab: Laboratory) -> None:
    """`remove_volume` raises while a container mounts it, and works after the container was removed."""
    box = lab.box()
    with pytest.raises(EngineError, match="in use"):
        lab.engine.remove_volume(lab.name("work"))
    lab.engine.remove(box)
    assert lab.engine.remove_volume(lab.name("work"))


# Execs


def test_an_exec_gives_its_output_and_exit_code(lab: Laboratory) -> None:
    """Stdout and stderr go to their sinks; a code other than 0 is not ok."""
    ran = lab.run(lab.box(), SAY)
    assert (ran.outcome.ended, ran.outcome.exit_code, ran.outcome.ok) == (EndReason.EXITED, 7, False)
    assert (ran.stdout, ran.stderr) == (b"out\n", b"err\n")


def test_output_arrives_while_the_command_runs(lab: Laboratory) -> None:
    """The first line is there before the command can continue."""
    box = lab.box()
    running = lab.begin(box, WAIT_FOR_GO)
    assert (running.output, running.is_alive()) == (b"first\n", True)
    lab.engine.put_file(box, f"{WORK}/go", b"")
    assert running.outcome().ok
    assert running.output == b"first\nsecond\n"


def test_stdin_is_empty_and_closed(lab: Laboratory) -> None:
    """A command that reads its stdin to the end does not wait."""
    ran = lab.run(lab.box(), Program("wc -c", _says(b"0\n")), time_limit=30)
    assert (ran.outcome.ended, ran.stdout.strip()) == (EndReason.EXITED, b"0")


def test_an_exec_has_its_environment_and_folder(lab: Laboratory) -> None:
    """Variables of container and exec are both there; the exec's folder is where it runs."""
    box = lab.box(env={"FROM_CONTAINER": "one"})
    program = Program(
        'echo "$FROM_CONTAINER $FROM_EXEC"; pwd',
        lambda process: process.stdout.write(
            f"{process.env['FROM_CONTAINER']} {process.env['FROM_EXEC']}\n{process.spec.working_dir}\n".encode()
        ),
    )
    ran = lab.run(box, program, env={"FROM_EXEC": "two words"}, working_dir=WORK)
    assert ran.stdout.decode() == f"one two words\n{WORK}\n"


def test_output_is_bytes(lab: Laboratory) -> None:
    """Bytes that are not text arrive unchanged."""
    said = bytes([0, 1, 13, 10, 128, 255, 0])
    ran = lab.run(lab.box(), Program(r"printf '\0\1\15\12\200\377\0'", _says(said)))
    assert ran.stdout == said


def test_large_output(lab: Laboratory) -> None:
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
    ran = lab.run(lab.box(), Program(f"head -c {size} /dev/zero", answer), stdout=counted)
    assert (ran.outcome.ok, counted.total) == (True, size)
    assert counted.largest <= 1024**2


def test_a_time_limit_ends_a_command_that_prints(lab: Laboratory) -> None:
    """It counts from the start, whatever the command prints; the output is there, and the container has ended."""
    box = lab.box()
    ran = lab.run(box, CHATTER, time_limit=0.5)
    assert (ran.outcome.ended, ran.outcome.ok) == (EndReason.TIMED_OUT, False)
    assert ran.stdout.startswith(b"tick\n")
    assert _running(lab) == []


def test_a_silence_limit_ends_a_command_that_hangs(lab: Laboratory) -> None:
    """It counts from the last output."""
    ran = lab.run(lab.box(), SAY_AND_WAIT, silence_limit=0.5)
    assert (ran.outcome.ended, ran.stdout) == (EndReason.SILENT, b"begun\n")
    assert _running(lab) == []


def test_a_silence_limit_allows_a_command_that_prints(lab: Laboratory) -> None:
    """A command that takes longer than the limit, but prints in between, runs to its end."""
    ran = lab.run(lab.box(), SLOW_TICKS, silence_limit=2.5)
    assert (ran.outcome.ended, ran.stdout) == (EndReason.EXITED, b"tick\n" * 6)


def test_a_cancel_ends_the_command(lab: Laboratory) -> None:
    """The output until then is there, and the container has ended."""
    running = lab.begin(lab.box(), SAY_AND_WAIT)
    running.cancel.cancel(InterruptReason.CANCELLED)
    assert running.outcome().ended is EndReason.CANCELLED
    assert running.output == b"begun\n"
    assert _running(lab) == []


def test_a_cancel_before_the_start_starts_nothing(lab: Laboratory) -> None:
    """A token that was cancelled before gives CANCELLED without output, and the container continues."""
    token = CancelToken()
    token.cancel(InterruptReason.SHUTDOWN)
    box = lab.box()
    ran = lab.run(box, SAY, cancel=token)
    assert (ran.outcome.ended, ran.stdout, ran.stderr) == (EndReason.CANCELLED, b"", b"")
    assert lab.run(box, TRUE).outcome.ok


def test_ending_one_command_ends_its_container(lab: Laboratory) -> None:
    """Of two commands in one container, the other one is CONTAINER_GONE; commands in other containers continue."""
    box, elsewhere = lab.box("one"), lab.box("two")
    other, third = lab.begin(box, SAY_AND_WAIT), lab.begin(elsewhere, WAIT_FOR_GO)
    assert lab.run(box, SAY_AND_WAIT, time_limit=0.5).outcome.ended is EndReason.TIMED_OUT
    assert (other.outcome().ended, other.output) == (EndReason.CONTAINER_GONE, b"begun\n")
    lab.engine.put_file(elsewhere, f"{WORK}/go", b"")
    assert third.outcome().ok


def test_files_are_read_after_a_command_was_ended(lab: Laboratory) -> None:
    """What it wrote into a volume is there."""

    def answer(process: FakeExec) -> None:
        process.write_file(f"{WORK}/a", b"written\n")
        process.sleep(60)

    box = lab.box()
    ran = lab.run(box, Program(f"echo written >{WORK}/a; sleep 60", answer), time_limit=0.5)
    assert ran.outcome.ended is EndReason.TIMED_OUT
    assert lab.engine.read_file(box, f"{WORK}/a", limit=100) == b"written\n"


@pytest.mark.parametrize("end", ["kill", "remove"])
def test_a_container_that_vanishes_ends_the_command(lab: Laboratory, end: str) -> None:
    """Killed or removed under a running command: CONTAINER_GONE, with the output until then."""
    box = lab.box()
    running = lab.begin(box, SAY_AND_WAIT)
    getattr(lab.engine, end)(box)
    assert running.outcome() == running.outcome()
    assert (running.outcome().ended, running.outcome().exit_code) == (EndReason.CONTAINER_GONE, None)
    assert running.output == b"begun\n"


def test_a_container_that_does_not_run_runs_nothing(lab: Laboratory) -> None:
    """Killed, or never started: CONTAINER_GONE."""
    killed = lab.box("killed")
    lab.engine.kill(killed)
    lab.engine.start(lab.spec("made"), run=False)
    ended = [lab.run(box, TRUE).outcome.ended for box in (killed, lab.name("made"))]
    assert ended == [EndReason.CONTAINER_GONE] * 2


def test_a_missing_container_is_an_error(lab: Laboratory) -> None:
    """`execute`, `put_file` and `read_file` raise ContainerNotFound."""
    with pytest.raises(ContainerNotFound):
        lab.run(ABSENT, TRUE)
    with pytest.raises(ContainerNotFound):
        lab.engine.put_file(ABSENT, f"{WORK}/a", b"")
    with pytest.raises(ContainerNotFound):
        lab.engine.read_file(ABSENT, f"{WORK}/a", limit=1)


def test_an_empty_command_is_refused(lab: Laboratory) -> None:
    """A container and an exec need a command."""
    with pytest.raises(ValueError, match="command"):
        lab.engine.start(lab.spec(command=[]))
    with pytest.raises(ValueError, match="command"):
        lab.engine.execute(lab.box(), ExecSpec(command=[]), stdout=_Refusing(), stderr=_Refusing())


class _Refusing:
    def write(self, _: bytes, /) -> None:
        raise OSError("no space for output")


def test_a_sink_that_fails_ends_the_command(lab: Laboratory) -> None:
    """Its error is raised, and the command does not continue while its output is lost."""
    with pytest.raises(OSError, match="no space for output"):
        lab.run(lab.box(), SAY_AND_WAIT, stdout=_Refusing())
    assert _running(lab) == []


def test_many_commands_run_at_once(lab: Laboratory) -> None:
    """Twelve execs in one container keep their output apart."""
    box = lab.box()

    def run(number: int) -> bytes:
        program = Program(f"echo {number}; echo {number} again", _says(b"%d\n%d again\n" % (number, number)))
        return lab.run(box, program).stdout

    with ThreadPoolExecutor(12) as pool:
        said = list(pool.map(run, range(12)))
    assert said == [b"%d\n%d again\n" % (number, number) for number in range(12)]


# Files


def test_a_file_is_written_and_read(lab: Laboratory) -> None:
    """Byte for byte, over what was there before, and by every container that has the volume."""
    one, two = lab.box("one"), lab.box("two")
    content = bytes(range(256)) * 1000
    lab.engine.put_file(one, f"{WORK}/a.bin", b"before")
    lab.engine.put_file(one, f"{WORK}/a.bin", content)
    assert lab.engine.read_file(two, f"{WORK}/a.bin", limit=len(content)) == content


def test_a_file_of_a_container_that_never_ran_is_read(lab: Laboratory) -> None:
    """With `run=False` its volumes can be read and written; so they can when it has ended."""
    lab.engine.put_file(lab.box(), f"{WORK}/a", b"kept")
    lab.engine.start(lab.spec("made"), run=False)
    lab.engine.kill(lab.name("box"))
    lab.engine.put_file(lab.name("made"), f"{WORK}/b", b"new")
    assert lab.engine.read_file(lab.name("made"), f"{WORK}/a", limit=4) == b"kept"
    assert lab.engine.read_file(lab.name("box"), f"{WORK}/b", limit=4) == b"new"


def test_only_regular_files_are_read(lab: Laboratory) -> None:
    """A folder, a symlink, a pipe and a missing file are None; with `strict` only the missing file is."""

    def answer(process: FakeExec) -> None:
        process.make_folder(f"{WORK}/folder")
        process.write_file(f"{WORK}/file", b"secret")
        for name in ("link", "dangling", "pipe"):
            process.engine.add_symlink(process.container.container_id, f"{WORK}/{name}")

    box = lab.box()
    shell = "mkdir folder; echo secret >file; ln -s file link; ln -s nowhere dangling; mkfifo pipe"
    assert lab.run(box, Program(f"cd {WORK} && {shell}", answer)).outcome.ok
    names = ["folder", "link", "dangling", "pipe", "absent", "absent/file"]
    assert [lab.engine.read_file(box, f"{WORK}/{name}", limit=100) for name in names] == [None] * 6
    assert lab.engine.read_file(box, "/work", limit=100) is None
    for name in ("folder", "link", "dangling", "pipe"):
        with pytest.raises(UnreadableFile, match=name):
            lab.engine.read_file(box, f"{WORK}/{name}", limit=100, strict=True)
    assert lab.engine.read_file(box, f"{WORK}/absent", limit=100, strict=True) is None
    assert lab.engine.read_file(box, f"{WORK}/file", limit=100, strict=True) in (b"secret", b"secret\n")


def test_a_file_past_the_limit_is_an_error(lab: Laboratory) -> None:
    """As many bytes as the limit are read, one more is refused."""
    box = lab.box()
    lab.engine.put_file(box, f"{WORK}/five", b"12345")
    assert lab.engine.read_file(box, f"{WORK}/five", limit=5) == b"12345"
    with pytest.raises(UnreadableFile, match="the limit is 4"):
        lab.engine.read_file(box, f"{WORK}/five", limit=4)


def test_a_symlink_is_replaced_not_followed(lab: Laboratory) -> None:
    """`put_file` onto a symlink that the job created leaves the link's target unchanged."""

    def answer(process: FakeExec) -> None:
        process.write_file(f"{WORK}/target", b"old\n")
        process.engine.add_symlink(process.container.container_id, f"{WORK}/link")

    box = lab.box()
    lab.run(box, Program(f"cd {WORK} && echo old >target && ln -s target link", answer))
    lab.engine.put_file(box, f"{WORK}/link", b"new\n")
    assert lab.engine.read_file(box, f"{WORK}/target", limit=9) == b"old\n"
    assert lab.engine.read_file(box, f"{WORK}/link", limit=9) == b"new\n"


@pytest.mark.parametrize("path", [f"{WORK}/no/such/folder/file", "/etc/planted", "/read-only/file"])
def test_a_file_can_only_be_written_to_a_writable_mount(lab: Laboratory, path: str) -> None:
    """A missing folder is not created; the image and a read-only mount stay unchanged."""
    lab.engine.ensure_volume(lab.name("fixed"), lab.labels)
    box = lab.box(mounts=[Mount(lab.name("work"), WORK), Mount(lab.name("fixed"), "/read-only", read_only=True)])
    with pytest.raises(EngineError):
        lab.engine.put_file(box, path, b"x")


def test_everything_may_be_called_from_many_threads(lab: Laboratory) -> None:
    """Ten threads each start, write, run, read, kill and remove a container of their own."""
    lab.engine.ensure_volume(lab.name("work"), lab.labels)
    begin = threading.Barrier(10)

    def life(number: int) -> tuple[bool, bytes | None, bool, bool]:
        begin.wait(30)
        box = lab.box(f"box{number}")
        lab.engine.put_file(box, f"{WORK}/{number}", b"%d" % number)
        ran = lab.run(box, TRUE)
        return (
            ran.outcome.ok,
            lab.engine.read_file(box, f"{WORK}/{number}", limit=9),
            lab.engine.kill(box),
            lab.engine.remove(box),
        )

    with ThreadPoolExecutor(10) as pool:
        lives = list(pool.map(life, range(10)))
    assert lives == [(True, b"%d" % number, True, True) for number in range(10)]
