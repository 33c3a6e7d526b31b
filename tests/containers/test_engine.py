"""The rules of `ContainerEngine`, for the fake engine and for Docker."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from moonmind_appliance.errors import (
    EngineError,
    ImageNotFound,
    NameTaken,
    UnreadableFile,
)
from moonmind_appliance.models import Mount
from tests.containers.fake_exec import FakeExec
from tests.containers.programs import TRUE

from .conftest import WORK, EngineUnderTest, Program

ABSENT = "contract-there-is-no-such-thing"


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


def test_freeze_is_safe_twice_and_before_a_removal(sut: EngineUnderTest) -> None:
    """The second call returns False, as it does for a container that never existed; the files can still be read."""
    box = sut.box()
    sut.engine.put_file(box, f"{WORK}/a", b"kept")
    assert [sut.engine.freeze(box), sut.engine.freeze(box), sut.engine.freeze(ABSENT)] == [True, False, False]
    assert sut.engine.read_file(box, f"{WORK}/a", limit=4) == b"kept"
    assert sut.engine.remove(box)


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


def test_a_file_that_the_job_cannot_read_is_unreadable(sut: EngineUnderTest) -> None:
    """With `strict`: the engine reads as root, but the container's user could not use the file."""
    box = sut.box()
    sut.engine.put_file(box, f"{WORK}/sealed", b"secret", mode=0)
    assert sut.engine.read_file(box, f"{WORK}/sealed", limit=100) == b"secret"
    with pytest.raises(UnreadableFile, match="cannot be read in the container"):
        sut.engine.read_file(box, f"{WORK}/sealed", limit=100, strict=True)


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
