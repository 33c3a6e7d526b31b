"""`serve` as a process: it starts, prints its address, stops with 0, and reports why it cannot start."""

import signal
import socket
import stat
import subprocess
import time
from typing import Self

import httpx
import pytest

from tests.bench.measure import processor_seconds
from tests.cli.terminal import Called, Terminal

SECRET = "ghp_" + "Zy9" * 12


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Serving:
    """A `serve` that answers; it is stopped at the end."""

    def __init__(self, terminal: Terminal, **variables: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api/spec-automation"
        # A missing engine, so that this machine's own is not used.
        unreal = {"DOCKER_HOST": f"unix://{terminal.home}/none.sock", "MOONMIND_PORT": str(self.port)}
        self.process: subprocess.Popen[str] = terminal.start("serve", **unreal, **variables)
        for _ in range(600):
            try:
                httpx.get(f"{self.url}/health", trust_env=False)
                break
            except httpx.HTTPError:
                assert self.process.poll() is None, self.process.communicate()[1]
                time.sleep(0.05)

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> Called:
        self.process.send_signal(sig)
        stdout, stderr = self.process.communicate(timeout=30)
        return Called(self.process.returncode, stdout, stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def processor_seconds_within(pid: int, seconds: float) -> float:
    """The processor time that the process uses in the next `seconds`."""
    before = processor_seconds(pid)
    time.sleep(seconds)
    return processor_seconds(pid) - before


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_serve_starts_prints_its_address_and_stops_with_0(terminal: Terminal, sig: signal.Signals) -> None:
    """The first line has address, data, shards and docs. SIGTERM and Ctrl-C end it in order."""
    with Serving(terminal, CODEX_SHARDS="2") as serving:
        called = serving.stop(sig)
    assert called.code == 0
    assert called.stdout == ""
    banner = next(text for text in called.stderr.splitlines() if "MoonMind appliance" in text)
    assert serving.url in banner
    assert f"data in {terminal.data_dir}; shard 0: not checked; shard 1: not checked" in banner
    assert f"{serving.url}/schema" in banner
    assert f"{sig.name}: stopping. No runs are running." in called.stderr
    assert stat.S_IMODE(terminal.data_dir.stat().st_mode) == 0o700


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_the_start_is_in_order(terminal: Terminal, sig: signal.Signals) -> None:
    """The signal comes while the data folder is prepared: the exit code is 0 whenever it comes."""
    process = terminal.start("serve", MOONMIND_PORT=str(free_port()), DOCKER_HOST=f"unix://{terminal.home}/none.sock")
    while not terminal.data_dir.exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(sig)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr


def test_systemd_is_told_from_the_start_to_the_stop(terminal: Terminal) -> None:
    """READY=1 comes when requests are accepted, WATCHDOG=1 while the process is alive, STOPPING=1 before its end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(terminal.home / "notify"))
        systemd.settimeout(60)
        port = free_port()
        process = terminal.start(
            "serve",
            MOONMIND_PORT=str(port),
            DOCKER_HOST=f"unix://{terminal.home}/none.sock",
            NOTIFY_SOCKET=str(terminal.home / "notify"),
            WATCHDOG_USEC="400000",
        )
        try:
            seen = b""
            while b"READY=1" not in seen:
                seen += systemd.recv(4096) + b"\n"
            assert seen.startswith(b"STATUS=Starting")
            assert b"EXTEND_TIMEOUT_USEC=" in seen
            answer = httpx.get(f"http://127.0.0.1:{port}/api/spec-automation/health", trust_env=False)
            assert answer.status_code == 200
            while b"WATCHDOG=1" not in seen or b"logins usable" not in seen:
                seen += systemd.recv(4096) + b"\n"
            process.send_signal(signal.SIGTERM)
            while b"STOPPING=1" not in seen:
                seen += systemd.recv(4096) + b"\n"
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, stderr
    assert "Traceback" not in stderr


def test_the_log_says_where_an_aborted_process_was(terminal: Terminal) -> None:
    """The watchdog aborts it; each thread has its lines.

    Not while it starts: a thread that runs Python code at that moment can make the dump crash, which cuts it off.
    """
    with Serving(terminal) as serving:
        while processor_seconds_within(serving.process.pid, 0.3) > 0.01:
            pass
        called = serving.stop(signal.SIGABRT)
    assert called.code == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in called.stderr
    assert called.stderr.count("Thread 0x") > 3


def test_a_token_that_was_made_beside_it_is_taken(terminal: Terminal) -> None:
    """A token created by another process is accepted."""
    with Serving(terminal) as serving:
        made = terminal.run("token", "create", "--name", "ann", "--json")
        here = {"MOONMIND_SERVER": f"http://127.0.0.1:{serving.port}", "MOONMIND_API_TOKEN": made.json["token"]}
        listed = terminal.run("runs", "list", "--json", **here)
        serving.stop()
        gone = terminal.run("runs", "list", "--json", **here)
    assert listed.json == {"items": [], "next_cursor": None}
    assert (gone.code, gone.stdout) == (4, "")
    assert "No appliance responds at" in gone.stderr


def test_the_json_log_has_thread_names_and_no_secret(terminal: Terminal) -> None:
    """Each line is one object; a secret that a caller sends is redacted."""
    with Serving(terminal, MOONMIND_LOG_FORMAT="json", GITHUB_TOKEN=SECRET) as serving:
        httpx.delete(f"{serving.url}/{SECRET}", trust_env=False)
        called = serving.stop()
    lines = Called(0, called.stderr, "").lines
    assert all(set(line) >= {"time", "level", "thread", "logger", "message"} for line in lines)
    assert any("DELETE /api/spec-automation/[redacted:" in line["message"] for line in lines)
    assert SECRET not in called.stderr


def test_reads_that_went_well_are_not_logged(terminal: Terminal) -> None:
    """Clients that follow a run read twice a second; refusals are still logged."""
    with Serving(terminal) as serving:
        httpx.get(f"{serving.url}/runs", trust_env=False)
        called = serving.stop()
    assert "/runs 401" in called.stderr
    assert "/health 200" not in called.stderr


def test_a_port_in_use_is_reported_before_anything_runs(terminal: Terminal) -> None:
    """The error says how to find the process that uses it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        called = terminal.run("serve", MOONMIND_PORT=str(port))
    assert called.code == 4
    last = called.stderr.splitlines()[-1]
    assert last.startswith(f"error: The address 127.0.0.1:{port} is already in use by another process. `ss -ltnp")


def test_an_address_of_another_machine_is_a_settings_problem(terminal: Terminal) -> None:
    """192.0.2.0/24 is reserved for documentation (RFC 5737)."""
    called = terminal.run("serve", MOONMIND_HOST="192.0.2.1")
    assert called.code == 3
    assert "Set MOONMIND_HOST to a local address." in called.stderr


def test_a_data_folder_is_served_once(terminal: Terminal) -> None:
    """The second process names the first one, also with another port."""
    with Serving(terminal) as serving:
        called = terminal.run("serve", MOONMIND_PORT=str(free_port()))
        assert called.code == 4
        assert f"already in use by another process (pid {serving.process.pid})" in called.stderr
        assert serving.stop().code == 0


def test_settings_that_cannot_be_used_end_it_at_once(terminal: Terminal) -> None:
    """The output has all problems and no trace."""
    called = terminal.run("serve", MOONMIND_PORT="x", STOP_GRACE="never")
    assert called.code == 3
    assert "MOONMIND_PORT (environment):" in called.stderr
    assert "STOP_GRACE (environment):" in called.stderr
    assert "Traceback" not in called.stderr


def test_a_data_folder_that_cannot_be_created_is_reported(terminal: Terminal) -> None:
    """A file at the folder's path prevents it."""
    (terminal.home / "file").touch()
    called = terminal.run("serve", MOONMIND_DATA_DIR=str(terminal.home / "file" / "data"))
    assert called.code == 1
    assert called.stderr.splitlines()[-1].startswith("error: The data folder")
