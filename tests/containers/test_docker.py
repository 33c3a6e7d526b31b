"""Tests that need a real engine: the hardening seen from inside, real processes, and an engine that disappears."""

import http.server
import io
import json
import secrets
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import docker
import pytest

from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.errors import EngineError, EngineUnreachable, InterruptReason
from moonmind_appliance.models import EndReason, ExecSpec, Mount

from .conftest import WORK, EngineUnderTest, Program, Running
from .forwarder import Forwarder

on_docker = [pytest.mark.docker, pytest.mark.image]


def _shell(script: str) -> Program:
    return Program(script, 0)


def _output_of(sut: EngineUnderTest, box: str, script: str, **fields: object) -> str:
    ran = sut.run(box, _shell(script), **fields)
    assert ran.outcome.ok, ran
    return ran.stdout.decode()


@pytest.fixture
def inspect(docker_sut: EngineUnderTest) -> Iterator[docker.APIClient]:
    client = docker.APIClient(version="auto")
    yield client
    client.close()


class TestHardening:
    """As seen by a process in the container."""

    pytestmark = on_docker

    def test_processes_have_no_rights(self, docker_sut: EngineUnderTest) -> None:
        """User and group 1000 alone, no capability in any set, no way to gain one, system calls filtered."""
        status = _output_of(docker_sut, docker_sut.box(), "cat /proc/self/status; id")
        lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        capabilities = {lines[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        assert capabilities == {"0000000000000000"}
        assert (lines["NoNewPrivs"].strip(), lines["Seccomp"].strip()) == ("1", "2")
        assert lines["Uid"].split() == lines["Gid"].split() == ["1000"] * 4
        assert lines["Groups"].split() in ([], ["1000"])

    def test_only_mounts_are_writable(self, docker_sut: EngineUnderTest) -> None:
        """The root is read-only, volume and tmpfs are not; a tmpfs runs programs only with `exec`."""
        box = docker_sut.box(tmpfs={"/tmp": "", "/run/tools": "exec,size=1m"})  # noqa: S108 - inside the container
        script = """
            for folder in / /etc /usr/bin /work /tmp /run/tools /work/runs; do
              touch $folder/x 2>/dev/null && printf '%s ' $folder
            done
            for folder in /tmp /run/tools; do
              printf '#!/bin/sh\\necho ran\\n' >$folder/program; chmod +x $folder/program
              $folder/program 2>/dev/null || echo refused
            done
            head -c 2000000 /dev/zero >/run/tools/big 2>/dev/null || echo full
        """
        expected = "/tmp /run/tools /work/runs refused ran full"  # noqa: S108 - as above
        assert _output_of(docker_sut, box, script).split() == expected.split()

    def test_an_empty_volume_is_the_users(self, docker_sut: EngineUnderTest) -> None:
        """It takes owner and mode of the image's folder, so nothing ever needs root."""
        assert _output_of(docker_sut, docker_sut.box(), f"stat -c '%u %g' {WORK}") == "1000 1000\n"

    def test_nothing_of_the_host_is_inside(self, docker_sut: EngineUnderTest) -> None:
        """No Docker socket, no device except the harmless ones, no network except loopback unless requested."""
        box = docker_sut.box()
        assert _output_of(docker_sut, box, "ls /run/docker.sock /var/run/docker.sock 2>/dev/null || true") == ""
        assert _output_of(docker_sut, box, "ls /sys/class/net").split() == ["lo"]
        assert "sda" not in _output_of(docker_sut, box, "ls /dev")

    def test_limits_are_set(self, docker_sut: EngineUnderTest) -> None:
        """Memory without swap, CPU time, processes, and no core dumps."""
        box = docker_sut.box()
        assert _output_of(docker_sut, box, "ulimit -c") == "0\n"
        host = docker.APIClient(version="auto")
        try:
            config = host.inspect_container(box)["HostConfig"]
        finally:
            host.close()
        assert (config["Memory"], config["MemorySwap"]) == (256 * 1024**2, 256 * 1024**2)
        assert (config["CpuPeriod"], config["CpuQuota"], config["PidsLimit"]) == (100_000, 100_000, 64)

    def test_an_init_reaps(self, docker_sut: EngineUnderTest) -> None:
        """An orphan that ends does not stay as a zombie."""
        box = docker_sut.box()
        script = "(sh -c 'sleep 0.1 & exec true'); sleep 0.5; cat /proc/[0-9]*/stat | cut -d' ' -f3 | sort -u"
        assert "Z" not in _output_of(docker_sut, box, script)

    def test_more_cpus_than_the_machine_has_are_no_error(self, docker_sut: EngineUnderTest) -> None:
        """A CPU limit for a big server must not prevent runs on a small one."""
        limits = docker_sut.spec().limits
        more = type(limits)(memory_bytes=limits.memory_bytes, cpus=1000.0, pids=limits.pids)
        assert docker_sut.run(docker_sut.box(limits=more), _shell("true")).outcome.ok

    def test_the_images_entrypoint_and_health_check_are_not_run(
        self, docker_sut: EngineUnderTest, inspect: docker.APIClient
    ) -> None:
        """Only the spec's command runs."""
        tag = f"{docker_sut.prefix}:try"
        made = inspect.create_container_from_config({"Image": docker_sut.spec().image}, docker_sut.name("parent"))
        changes = ['ENTRYPOINT ["false"]', "HEALTHCHECK CMD false"]
        inspect.commit(made["Id"], docker_sut.prefix, "try", changes=changes)
        inspect.remove_container(made["Id"])
        try:
            box = docker_sut.box(image=tag)
            found = inspect.inspect_container(box)
            assert (found["State"]["Running"], "Health" in found["State"]) == (True, False)
            docker_sut.engine.remove(box)
        finally:
            inspect.remove_image(tag)

    def test_an_execs_environment_is_shown_nowhere(
        self, docker_sut: EngineUnderTest, inspect: docker.APIClient
    ) -> None:
        """Neither the container's nor the exec's description has it, nor any process's arguments."""
        box = docker_sut.box()
        canary = "canary-5f0c"
        running = docker_sut.begin(box, _shell("echo begun; sleep 60"), env={"TOKEN": canary})
        described = inspect.inspect_container(box)
        arguments = _output_of(docker_sut, box, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        shown = [described, *(inspect.exec_inspect(each) for each in described["ExecIDs"]), arguments]
        assert len(described["ExecIDs"]) == 1
        assert canary not in json.dumps(shown)
        assert canary in _output_of(docker_sut, box, "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' || true")
        docker_sut.engine.kill(box)
        running.outcome()


class TestFiles:
    """Owner and mode of files that are written into a container."""

    pytestmark = on_docker

    def test_a_file_is_the_users(self, docker_sut: EngineUnderTest) -> None:
        """User and group 1000, with the requested mode."""
        box = docker_sut.box()
        docker_sut.engine.put_file(box, f"{WORK}/a", b"")
        docker_sut.engine.put_file(box, f"{WORK}/b", b"", mode=0o755)
        said = _output_of(docker_sut, box, f"stat -c '%u %g %a' {WORK}/a {WORK}/b; echo x >>{WORK}/a")
        assert said == "1000 1000 600\n1000 1000 755\n"

    def test_a_planted_folder_leads_nowhere(self, docker_sut: EngineUnderTest) -> None:
        """A symlink in place of a folder does not lead a file out of the volume."""
        box = docker_sut.box()
        _output_of(docker_sut, box, f"ln -s /etc {WORK}/folder; ln -s ../../../../etc {WORK}/up")
        for folder in ("folder", "up"):
            with pytest.raises(EngineError):
                docker_sut.engine.put_file(box, f"{WORK}/{folder}/planted", b"x")
        assert not Path("/etc/planted").exists()


class TestEndedCommands:
    """A command that was ended leaves no process, and its container has ended."""

    pytestmark = on_docker

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("echo begun; sleep 4711", id="itself"),
            pytest.param("sh -c 'sh -c \"echo begun; sleep 4711\"; true'; true", id="grandchild"),
            pytest.param("setsid sh -c 'sleep 4711 & sleep 4711' & echo begun; wait", id="session-of-its-own"),
            pytest.param("(setsid sleep 4711 >/dev/null 2>&1 &) ; echo begun; sleep 4711", id="orphan"),
            pytest.param("env -i sh -c 'echo begun; setsid sleep 4711'", id="no-environment"),
            pytest.param("(env -i setsid sh -c 'sleep 4711 &') ; echo begun; sleep 4711", id="hidden-orphan"),
            pytest.param("trap '' TERM INT HUP; echo begun; sleep 4711; sleep 4711", id="deaf"),
            pytest.param(
                "exec python3 -c 'import ctypes, os, time; ctypes.CDLL(None).prctl(4, 0);"
                ' os.spawnvpe(os.P_NOWAIT, "sleep", ["sleep", "4711"], {"PATH": os.environ["PATH"]});'
                ' print("begun", flush=True); time.sleep(4711)\'',
                id="not-dumpable",
            ),
        ],
    )
    def test_its_processes_end(self, docker_sut: EngineUnderTest, script: str) -> None:
        """This includes children, other sessions, orphans, and processes that ignore signals or hide."""
        seconds = f"4711.{secrets.randbelow(10**9)}"
        running = docker_sut.begin(docker_sut.box(), _shell(script.replace("4711", seconds)))
        running.cancel.cancel(InterruptReason.CANCELLED)
        assert running.outcome().ended is EndReason.CANCELLED
        assert running.output == b"begun\n"
        assert not any(each.running for each in docker_sut.engine.containers(docker_sut.labels))
        assert seconds not in _commands_on_this_machine()

    def test_one_that_used_up_all_processes_ends(self, docker_sut: EngineUnderTest) -> None:
        """Ending it needs no further process in its container."""
        bomb = """exec python3 -c '
import os, time
full = False
while True:
    try:
        if os.fork() == 0:
            time.sleep(4711)
    except OSError:
        full = full or print("begun", flush=True) or True
        time.sleep(0.01)
'"""
        running = docker_sut.begin(docker_sut.box(), _shell(bomb))
        running.cancel.cancel(InterruptReason.SHUTDOWN)
        assert running.outcome().ended is EndReason.CANCELLED
        assert not any(each.running for each in docker_sut.engine.containers(docker_sut.labels))

    def test_a_flood_of_output_can_be_ended(self, docker_sut: EngineUnderTest) -> None:
        """Output is read while the container is killed: the engine blocks on output that is not read."""
        running = _begin_quietly(docker_sut, docker_sut.box(), "yes")
        running.cancel.cancel(InterruptReason.CANCELLED)
        assert running.outcome().ended is EndReason.CANCELLED
        assert not any(each.running for each in docker_sut.engine.containers(docker_sut.labels))

    def test_the_last_output_is_there(self, docker_sut: EngineUnderTest) -> None:
        """All that the command printed before its silence, a megabyte, is passed on."""
        ran = docker_sut.run(docker_sut.box(), _shell("head -c 1000000 /dev/zero; sleep 4711"), silence_limit=1.0)
        assert (ran.outcome.ended, len(ran.stdout)) == (EndReason.SILENT, 1_000_000)

    def test_it_ends_at_once(self, docker_sut: EngineUnderTest) -> None:
        """There is no wait for the container's init, which ignores SIGTERM."""
        ran = docker_sut.run(docker_sut.box(), _shell("trap '' TERM; sleep 4711"), time_limit=0.5)
        assert ran.outcome.ended is EndReason.TIMED_OUT
        assert ran.outcome.seconds < 8


def _commands_on_this_machine() -> str:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(file.read_bytes().decode(errors="replace"))
    return "\n".join(found)


def _begin_quietly(sut: EngineUnderTest, box: str, script: str) -> Running:
    """As `begin`, without keeping the output."""

    class Quiet(Running):
        def write(self, data: bytes, /) -> None:
            self.spoke.set()

    running = Quiet(sut, box, _shell(script), {})
    running.start()
    assert running.spoke.wait(30)
    return running


class TestEndings:
    """Unusual ends of an exec."""

    pytestmark = on_docker

    def test_a_child_in_the_background_is_not_waited_for(self, docker_sut: EngineUnderTest) -> None:
        """The command has ended although its child keeps the output open, and all its output is there."""
        ran = docker_sut.run(docker_sut.box(), _shell("sleep 4711 & head -c 1000000 /dev/zero; exit 3"))
        assert (ran.outcome.ended, ran.outcome.exit_code) == (EndReason.EXITED, 3)
        assert len(ran.stdout) == 1_000_000

    def test_a_child_in_the_background_that_prints_is_not_waited_for(self, docker_sut: EngineUnderTest) -> None:
        """Even though it keeps printing."""
        chatter = "(while :; do echo more; sleep 0.05; done) & echo begun; exit 3"
        ran = docker_sut.run(docker_sut.box(), _shell(chatter))
        assert (ran.outcome.ended, ran.outcome.exit_code) == (EndReason.EXITED, 3)

    def test_a_command_that_does_not_exist_ends_with_126_or_127(self, docker_sut: EngineUnderTest) -> None:
        """With the reason in the output; which of the two depends on the engine."""
        sut = docker_sut
        sinks = Running(sut, "", _shell(""), {})
        outcome = sut.engine.execute(sut.box(), ExecSpec(command=["no-such-program"]), stdout=sinks, stderr=sinks)
        assert outcome.ended is EndReason.EXITED
        assert outcome.exit_code in {126, 127}
        assert b"no-such-program" in sinks.output

    def test_a_folder_that_is_not_there_ends_with_126_or_127(self, docker_sut: EngineUnderTest) -> None:
        """The engine's message is in the output."""
        ran = docker_sut.run(docker_sut.box(), _shell("true"), working_dir="/no/such/folder")
        assert ran.outcome.ended is EndReason.EXITED
        assert ran.outcome.exit_code in {126, 127}
        assert b"/no/such/folder" in ran.stdout + ran.stderr

    def test_a_command_killed_for_memory_has_137(self, docker_sut: EngineUnderTest) -> None:
        """The container continues, so the command did exit."""
        box = docker_sut.box()
        ran = docker_sut.run(box, _shell("kill -9 $$"))
        assert (ran.outcome.ended, ran.outcome.exit_code) == (EndReason.EXITED, 137)

    def test_an_exec_that_meets_the_containers_end_is_gone(self, docker_sut: EngineUnderTest) -> None:
        """Wherever the kill hits it: before, during or after its start."""
        ended = set()
        for tenth in range(12):
            box = docker_sut.box(str(tenth))
            timer = threading.Timer(tenth / 100, docker_sut.engine.kill, [box])
            timer.start()
            while (ran := docker_sut.run(box, _shell("echo said"))).outcome.ended is EndReason.EXITED:
                assert (ran.outcome.exit_code, ran.stdout) == (0, b"said\n")
            ended.add(ran.outcome.ended)
            timer.join()
        assert ended == {EndReason.CONTAINER_GONE}

    def test_nothing_runs_in_a_frozen_container(self, docker_sut: EngineUnderTest) -> None:
        """Ten processes append to a file all the time, some of them in sessions of their own."""
        box, other = docker_sut.box(), docker_sut.box("other")
        loop = f"while :; do echo x >> {WORK}/log; done"
        docker_sut.run(box, _shell(f"for n in 1 2 3 4 5; do ({loop}) & setsid sh -c '{loop}' & done"))

        def size() -> int:
            return int(_output_of(docker_sut, other, f"stat -c %s {WORK}/log"))

        assert docker_sut.engine.freeze(box)
        before = size()
        assert before
        assert [size() for _ in range(3)] == [before] * 3
        assert docker_sut.engine.remove(box)

    def test_a_container_whose_main_command_ends_is_gone(self, docker_sut: EngineUnderTest) -> None:
        """Its execs end with it."""
        box = docker_sut.box(command=["sh", "-c", f"until [ -e {WORK}/go ]; do sleep 0.05; done"])
        running = docker_sut.begin(box, _shell("echo begun; sleep 4711"))
        docker_sut.engine.put_file(box, f"{WORK}/go", b"")
        assert running.outcome().ended is EndReason.CONTAINER_GONE

    def test_the_last_output_is_not_lost(self, docker_sut: EngineUnderTest) -> None:
        """Fifty commands in a row that print and end at once."""
        box = docker_sut.box()
        assert [_output_of(docker_sut, box, f"printf {number}") for number in range(50)] == [str(n) for n in range(50)]


@pytest.mark.docker
@pytest.mark.image
class TestEngineThatGoesAway:
    """The connection breaks, and works again."""

    def test_a_running_exec_ends_with_the_engine(self, docker_sut: EngineUnderTest, tmp_path: Path) -> None:
        """CONTAINER_GONE with the output until then; later calls report that no engine answers."""
        box = docker_sut.box()
        path = tmp_path / "docker.sock"
        engine = DockerEngine(f"unix://{path}")
        with Forwarder(path) as wire:
            far = EngineUnderTest(engine, docker_sut.prefix)
            running = far.begin(box, _shell("echo begun; sleep 4711"))
            wire.cut()
            assert (running.outcome().ended, running.output) == (EndReason.CONTAINER_GONE, b"begun\n")
        with pytest.raises(EngineUnreachable, match="systemctl start docker"):
            engine.info()
        engine.close()

    def test_an_engine_that_is_back_is_used_again(self, tmp_path: Path) -> None:
        """Broken connections from before do not matter."""
        path = tmp_path / "docker.sock"
        engine = DockerEngine(f"unix://{path}")
        for _ in range(2):
            with Forwarder(path):
                version = engine.info().version
                assert engine.info().version == version
        engine.close()

    def test_output_that_comes_with_the_answers_head_is_kept(self, docker_sut: EngineUnderTest, tmp_path: Path) -> None:
        """On a slow connection both are read at once."""
        box = docker_sut.box()
        path = tmp_path / "docker.sock"
        engine = DockerEngine(f"unix://{path}")
        with Forwarder(path, held_back=0.2):
            ran = EngineUnderTest(engine, docker_sut.prefix).run(box, _shell("echo out; echo err >&2"))
        engine.close()
        assert (ran.outcome.ok, ran.stdout, ran.stderr) == (True, b"out\n", b"err\n")


class TestNoEngine:
    """Each reason for no answer has its hint."""

    def test_no_socket(self, tmp_path: Path) -> None:
        """The message has the socket's path, and how to start an engine."""
        with pytest.raises(EngineUnreachable) as nobody:
            DockerEngine(f"unix://{tmp_path}/docker.sock").info()
        assert str(tmp_path) in nobody.value.message
        assert "systemctl start docker" in nobody.value.hint

    def test_a_socket_without_listener(self, tmp_path: Path) -> None:
        """As after a crash of the engine."""
        path = tmp_path / "docker.sock"
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(path))
            with pytest.raises(EngineUnreachable, match="refused"):
                DockerEngine(f"unix://{path}").info()

    def test_a_server_that_is_not_docker(self) -> None:
        """The message says that the address is not an engine."""

        class Web(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
            threading.Thread(target=server.serve_forever).start()
            with pytest.raises(EngineError, match="is not a Docker engine"):
                DockerEngine(f"tcp://127.0.0.1:{server.server_port}", environment={}).info()
            server.shutdown()

    def test_constructing_needs_no_engine(self) -> None:
        """Nothing is connected before the first call."""
        DockerEngine("unix:///no/such/socket").close()


@pytest.mark.docker
def test_a_gateway_is_an_address(docker_sut: EngineUnderTest) -> None:
    """`ensure_network` gives the address by which containers reach the host."""
    gateway = docker_sut.engine.ensure_network(docker_sut.name("net"), docker_sut.labels)
    assert socket.inet_aton(gateway)


@pytest.mark.docker
@pytest.mark.image
def test_a_network_in_use_stays(docker_sut: EngineUnderTest) -> None:
    """`remove_network` raises while a container is in it."""
    docker_sut.engine.ensure_network(docker_sut.name("net"), docker_sut.labels)
    box = docker_sut.box(network=docker_sut.name("net"), mounts=[Mount(docker_sut.name("work"), WORK)])
    with pytest.raises(EngineError, match="active endpoints"):
        docker_sut.engine.remove_network(docker_sut.name("net"))
    docker_sut.engine.remove(box)
    assert docker_sut.engine.remove_network(docker_sut.name("net"))


def _untagged_image(client: docker.APIClient, label: str) -> str:
    """An image with one file and that label, without a name; its id."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        file = tarfile.TarInfo("file")
        file.size = 5000
        archive.addfile(file, io.BytesIO(label.ljust(5000).encode()))
    answer = client.import_image_from_data(layer.getvalue(), changes=[f"LABEL {label}=job-image", "CMD /file"])
    return str(json.loads(answer)["status"])


@pytest.mark.docker
def test_an_image_that_nothing_names_is_found_and_removed(
    docker_sut: EngineUnderTest, inspect: docker.APIClient
) -> None:
    """By its label, unless a container uses it or a tag names it; a second removal finds none."""
    engine, label = docker_sut.engine, docker_sut.name("build")
    image = _untagged_image(inspect, label)
    (found,) = engine.unused_images(label)
    assert (found.image_id, found.size_bytes, found.labels) == (image, 5000, {label: "job-image"})
    assert abs((datetime.now(UTC) - found.created_at).total_seconds()) < 3600
    box = inspect.create_container(image, name=docker_sut.name("box"), labels=docker_sut.labels)["Id"]
    assert engine.unused_images(label) == []
    with pytest.raises(EngineError, match="container"):
        engine.remove_image(image)
    engine.remove(box)
    inspect.tag(image, docker_sut.name("named"))
    assert engine.unused_images(label) == []
    inspect.remove_image(docker_sut.name("named"))
    assert not engine.remove_image(image)


@pytest.mark.docker
def test_removal_of_an_image(docker_sut: EngineUnderTest, inspect: docker.APIClient) -> None:
    """True for one that exists."""
    image = _untagged_image(inspect, docker_sut.name("build"))
    assert [docker_sut.engine.remove_image(image) for _ in range(2)] == [True, False]


@pytest.mark.docker
def test_the_engines_folder_is_on_this_machine(docker_sut: EngineUnderTest) -> None:
    """An engine on another machine has none here, whatever folders this one has."""
    folder = docker_sut.engine.data_folder()
    assert folder is not None
    assert (folder / "volumes").is_dir()
    assert DockerEngine("tcp://192.0.2.1:2375").data_folder() is None
