"""A command that uses too much disk is ended while it runs: real containers, real files."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.models import ContainerSpec, EndReason, ExecOutcome, ExecSpec, FailureCode, Limits, Mount
from moonmind_appliance.phases import workspace_watch
from moonmind_appliance.phases.commands import Tee
from moonmind_appliance.phases.workspace_watch import Measured, WorkspaceWatch
from tests.containers.fake import JOB_IMAGE

pytestmark = [pytest.mark.docker, pytest.mark.image]

WORK, LOGIN = "/work/runs", "/work/codex-home/.codex"
MIB = 1024**2
MOST_BYTES, MOST_FILES = 64 * MIB, 3000
STAYS = "; sleep 90"
SMALL = '{"bytes":0,"files":0,"hidden":0,"free_bytes":1,"free_files":1}'
# The image has no pkill.
EACH_MEASURING = "while :; do for p in /proc/[0-9]*; do read -r name < $p/comm; case $name in timeout|python3)"


@dataclass
class Place:
    engine: DockerEngine
    prefix: str

    @property
    def agent(self) -> str:
        return f"{self.prefix}-agent"

    @property
    def git(self) -> str:
        return f"{self.prefix}-git"

    def start(self) -> None:
        work, login = Mount(f"{self.prefix}-work", WORK), Mount(f"{self.prefix}-login", LOGIN)
        for name, mounts in ((self.git, [work]), (self.agent, [work, login])):
            self.engine.start(
                ContainerSpec(
                    name=name,
                    image=JOB_IMAGE,
                    command=["sleep", "infinity"],
                    labels={},
                    limits=Limits(256 * MIB, 1.0, 64),
                    mounts=mounts,
                )
            )

    def watch(self, *, min_free_disk: int = 0) -> WorkspaceWatch:
        free = ["find", LOGIN, "-mindepth", "1", "!", "-name", "auth.json", "-delete"]
        measured = [
            Measured(self.git, [WORK], MOST_BYTES, MOST_FILES, "the workspace"),
            Measured(self.agent, [LOGIN], MOST_BYTES, MOST_FILES, "the login's folder", free),
        ]
        return WorkspaceWatch(self.engine, measured, ends=self.agent, min_free_disk=min_free_disk, every=0.2)

    def run(self, script: str, container: str = "") -> ExecOutcome:
        spec = ExecSpec(command=["bash", "-c", script], working_dir=WORK, time_limit=100)
        return self.engine.execute(container or self.agent, spec, stdout=Tee(), stderr=Tee())


@pytest.fixture
def place() -> Iterator[Place]:
    engine = DockerEngine(None)
    made = Place(engine, f"watch-{uuid.uuid4().hex[:12]}")
    try:
        made.start()
        yield made
    finally:
        for name in (made.agent, made.git):
            engine.remove(name)
        for short in ("work", "login"):
            engine.remove_volume(f"{made.prefix}-{short}")
        engine.close()


@pytest.mark.parametrize(
    "act",
    [
        "fallocate -l 200M big",
        "mkdir a; fallocate -l 200M a/big; chmod 000 a",
        "mkdir a; fallocate -l 200M a/big; (while :; do chmod 000 a; done) & true",
        "seq -f f-%.0f 5000 | xargs touch",
        f"fallocate -l 200M {LOGIN}/big",
        f"mkdir {LOGIN}/sessions; cd {LOGIN}/sessions; seq 5000 | xargs touch",
        f"fallocate -l 200M {LOGIN}/big; {EACH_MEASURING} kill -9 ${{p#/proc/}};; esac; done; done 2>/dev/null",
        f"fallocate -l 200M {LOGIN}/big; {EACH_MEASURING} echo '{SMALL}' > $p/fd/1;; esac; done; done 2>/dev/null",
    ],
)
def test_a_command_that_fills_the_disk_is_ended(place: Place, act: str) -> None:
    """Bytes or inodes, in the workspace or beside the login, hidden, with the measurement killed or forged."""
    with place.watch() as watch:
        began = time.monotonic()
        outcome = place.run(act + STAYS)
    assert outcome.ended is EndReason.CONTAINER_GONE
    assert time.monotonic() - began < 80
    assert watch.failure is not None
    assert watch.failure.code is FailureCode.WORKSPACE_TOO_LARGE
    assert not place.engine.is_running(place.agent)


def test_files_beside_the_login_are_removed_before_the_end(place: Place) -> None:
    """The volume outlives the run; the login itself stays."""
    place.run(f"echo '{{}}' > {LOGIN}/auth.json")
    with place.watch() as watch:
        place.run(f"fallocate -l 200M {LOGIN}/big{STAYS}")
    assert watch.failure is not None
    assert place.engine.read_file(place.agent, f"{LOGIN}/auth.json", limit=1000) == b"{}\n"
    assert place.engine.read_file(place.agent, f"{LOGIN}/big", limit=1000) is None


def test_an_ordinary_command_is_not_ended(place: Place) -> None:
    """It ends normally, and its disk use is known."""
    with place.watch() as watch:
        outcome = place.run("fallocate -l 20M file; for i in $(seq 100); do echo x > f-$i; done; sleep 2; exit 7")
    assert (outcome.ended, outcome.exit_code, watch.failure) == (EndReason.EXITED, 7, None)
    assert watch.used is not None
    assert 20 * MIB <= watch.used < 30 * MIB


def test_a_short_commands_files_are_measured_afterwards(place: Place) -> None:
    """It ended before it was measured."""
    watch = place.watch()
    place.run("fallocate -l 200M big")
    watch.measure_now()
    assert watch.failure is not None
    assert watch.used is not None
    assert watch.used > MOST_BYTES


def test_a_full_disk_ends_the_command_without_a_failure(place: Place) -> None:
    """Open files without a name are noticed by the free space."""
    with place.watch(min_free_disk=2**60) as watch:
        outcome = place.run("sleep 60")
    assert outcome.ended is EndReason.CONTAINER_GONE
    assert watch.failure is None
    with pytest.raises(Exception, match="MIN_FREE_DISK"):
        watch.check_disk()


def test_an_agent_that_blocks_the_measurement_is_ended(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement without a result counts as too much."""
    monkeypatch.setattr(workspace_watch, "_TIME_LIMIT", 6.0)
    with place.watch() as watch:
        outcome = place.run(f"{EACH_MEASURING} kill -STOP ${{p#/proc/}};; esac; done; done 2>/dev/null")
    assert outcome.ended is EndReason.CONTAINER_GONE
    assert watch.failure is not None
    assert watch.failure.code is FailureCode.WORKSPACE_TOO_LARGE


def test_leaving_the_block_ends_no_container(place: Place) -> None:
    """Also during a measurement: the git container is needed afterwards."""
    for number in range(8):
        with place.watch():
            place.run(f"for i in $(seq 200); do echo x > f-{number}-$i; done; sleep 0.{20 + number * 3}")
    assert place.engine.is_running(place.agent)
    assert place.engine.is_running(place.git)
