"""`rehearse`: a complete run with its progress."""

import pytest

from moonmind_appliance.rehearsal.scenarios import SCENARIOS
from tests.cli.terminal import ROOT, Terminal


@pytest.mark.docker
@pytest.mark.image
@pytest.mark.timeout(200)
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
