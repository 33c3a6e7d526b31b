"""`rehearse`: a complete run with its progress, or an appliance that is served until a signal."""

import signal
from pathlib import Path

import pytest

from moonmind_appliance.api_address import open_socket
from moonmind_appliance.rehearsal.scenarios import SCENARIOS
from tests.cli.terminal import ROOT, Terminal
from tests.journeys.conftest import docker
from tests.known_tokens import REAL


@pytest.mark.docker
@pytest.mark.image
@pytest.mark.timeout(600)
def test_a_rehearsal_ends_with_a_draft_pull_request(terminal: Terminal) -> None:
    """Phases are shown on stderr; stdout has the report; nothing is written to the operator's own data folder."""
    called = terminal.run("rehearse", "--think", "0", "--json")
    assert called.code == 0, called.stderr
    report = called.json
    assert (report["as_expected"], report["problem"], report["run"]["status"]) == (True, None, "succeeded")
    assert report["pull_requests"][0]["draft"] is True
    assert {path.rpartition("/")[2] for path in report["commit_files"]} >= {"spec.md", "plan.md", "tasks.md"}
    assert "speckit_tasks succeeded" in called.stderr
    assert not terminal.data_dir.exists()


def test_help_describes_every_scenario(terminal: Terminal) -> None:
    """Help and page describe each scenario; another name is refused before anything starts."""
    told = " ".join(terminal.call("rehearse", "--help").stdout.split())
    assert [name for name, scenario in SCENARIOS.items() if f"{name} {scenario.summary}" not in told] == []
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    assert [name for name, scenario in SCENARIOS.items() if f"| `{name}` | {scenario.summary} |" not in page] == []
    assert terminal.call("rehearse", "--scenario", "sunny").code == 2


@pytest.mark.docker
def test_without_an_image_it_shows_how_to_build_one(terminal: Terminal) -> None:
    """It says how to build one, and leaves no data."""
    called = terminal.run("rehearse", SPEC_AUTOMATION_JOB_IMAGE="moonmind/none:none")
    assert called.code == 1
    assert called.stderr.splitlines()[-1] == (
        "error: The Docker engine has no image moonmind/none:none. Build it with ./install.sh."
    )


def test_without_an_engine_it_reports_that(terminal: Terminal) -> None:
    """The exit code is that of an unreachable service."""
    assert terminal.run("rehearse", DOCKER_HOST=f"unix://{terminal.home}/none.sock").code == 4


@pytest.mark.parametrize(
    "text",
    [" \n", "a\0b", "x" * (256 * 1024 + 1), f"Use {REAL}."],
    ids=["blank", "nul", "too-long", "secret"],
)
@pytest.mark.usefixtures("served")
def test_a_text_that_the_api_refuses_is_refused_before_anything_starts(terminal: Terminal, text: str) -> None:
    """In the words of `runs submit`; Docker is not needed to find out."""
    submitted = terminal.call("runs", "submit", "--repository", "acme/shop", "--spec", "-", stdin=text)
    for serve in ([], ["--serve"]):
        rehearsed = terminal.call("rehearse", *serve, "--spec", "-", stdin=text, DOCKER_HOST="unix:///none.sock")
        assert rehearsed == submitted
    assert (submitted.code, "  specify_text: " in submitted.stderr) == (2, True)


@pytest.mark.parametrize("option", [("--port", "5001"), ("--shards", "2"), ("--command-prefix", "ssh host")])
def test_options_of_a_served_rehearsal_need_serve(terminal: Terminal, option: tuple[str, str]) -> None:
    """They would have no effect without it."""
    called = terminal.call("rehearse", *option)
    assert (called.code, "need --serve" in called.stderr) == (2, True)


def test_a_port_in_use_is_reported_before_anything_starts(terminal: Terminal) -> None:
    """The hint names this command's option, not the setting; Docker is not needed to find out."""
    with open_socket("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        called = terminal.run("rehearse", "--serve", "--port", port, DOCKER_HOST=f"unix://{terminal.home}/none.sock")
    assert called.code == 4
    assert f"127.0.0.1:{port} is already in use" in called.stderr
    assert "use another --port" in called.stderr


@pytest.mark.docker
@pytest.mark.image
@pytest.mark.parametrize("serve", [(), ("--serve",)])
def test_ctrl_c_during_the_start_leaves_nothing(terminal: Terminal, tmp_path: Path, serve: tuple[str, ...]) -> None:
    """The exit code is that of Ctrl-C, and the folder with the stand-ins' files is gone."""
    (tmp_path / "tmp").mkdir()
    process = terminal.start("rehearse", *serve, "--json", TMPDIR=str(tmp_path / "tmp"))
    assert process.stderr is not None
    while "Local stand-ins" not in (line := process.stderr.readline()):
        assert line, "it ended before it started"
    environment_id = next((tmp_path / "tmp").glob("moonmind-rehearsal-*")).name.split("-")[2]
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=100)
    assert (process.returncode, stdout, stderr.splitlines()[-1]) == (130, "", "error: stopped")
    assert list((tmp_path / "tmp").iterdir()) == []
    assert environment_id not in docker("network", "ls") + docker("volume", "ls") + docker("ps", "--all")
