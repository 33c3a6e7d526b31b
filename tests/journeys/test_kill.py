"""After kill -9 at any moment, a restart finishes every run exactly once."""

import uuid

import pytest

from moonmind_appliance.models import PhaseName
from moonmind_appliance.rehearsal.github import Fault

from .conftest import Caller, docker, git
from .served import Served

pytestmark = [pytest.mark.docker, pytest.mark.image]

TEXT = "# Dark mode\n\n- Goal: people can switch to dark colours"


@pytest.fixture(scope="module")
def served(environment, tmp_path_factory):
    made = Served(environment, tmp_path_factory.mktemp("served") / "serve.log").start()
    environment.sign_in_by(made.environment)
    yield made
    made.close()


@pytest.fixture
def slug(environment):
    name = f"journey/kill-{uuid.uuid4().hex[:8]}"
    environment.github.add_repository(name)
    return name


def reaches(phase):
    """A condition: the phase is running or has ended."""
    return lambda run: next(p for p in run["phases"] if p["phase"] == phase)["status"] not in ("pending", "skipped")


@pytest.mark.parametrize("phase", [phase.value for phase in PhaseName])
def test_an_interrupted_run_is_finished_once(environment, served, slug, phase):
    """Killed at the start of a phase: the restart finishes the run, with one pull request of one commit."""
    with served.client() as client:
        caller = Caller(client)
        run_id = caller.submit(slug, TEXT)
        caller.wait(run_id, until=reaches(phase))
        served.kill()
        served.start()
        run = caller.wait(run_id)
    assert run["status"] == "succeeded", run["failure"]
    (pull,) = environment.github.pull_requests(slug)
    assert pull.html_url == run["pull_request_url"]
    assert git(environment.github.git_folder(slug), "rev-list", "--count", f"main..{run['branch_name']}").strip() == "1"
    assert docker("ps", "--all", "--quiet", "--filter", f"label=moonmind.run={run_id}") == ""


def test_a_pull_request_without_a_received_response_is_not_opened_twice(environment, served, slug):
    """Killed before GitHub responds: the restart finds the existing pull request."""
    with served.client() as client:
        caller = Caller(client)
        run_id = caller.submit(slug, TEXT)
        caller.wait(run_id, until=reaches("commit_push"))
        environment.github.inject(Fault.SLOW)
        try:
            caller.wait(run_id, until=lambda _run: bool(environment.github.pull_requests(slug)))
            served.kill()
        finally:
            environment.github.clear(Fault.SLOW)
        served.start()
        run = caller.wait(run_id)
    assert run["status"] == "succeeded", run["failure"]
    assert len(environment.github.pull_requests(slug)) == 1


def test_many_runs_survive_many_kills(environment, served, slug):
    """Queued and running: none is lost, none is executed twice."""
    with served.client() as client:
        caller = Caller(client)
        runs = [caller.submit(slug, f"# Wish {number}\n\n- Goal: number {number}") for number in range(4)]
        for run_id in runs[:3]:
            caller.wait(run_id, until=lambda run: run["status"] != "queued")
            served.kill()
            served.start()
        ended = [caller.wait(run_id, seconds=200) for run_id in runs]
    assert [run["status"] for run in ended] == ["succeeded"] * 4
    heads = sorted(pull.head for pull in environment.github.pull_requests(slug))
    assert heads == sorted(run["branch_name"] for run in ended)


def test_a_stop_when_idle_is_quick_and_clean(served):
    """SIGTERM: exit code 0 within 10 s."""
    code, seconds = served.terminate()
    served.start()
    assert code == 0
    assert seconds < 10


def test_a_stop_during_a_run_is_logged_and_the_run_continues(environment, served, slug):
    """SIGTERM during a phase: the log names the run, no container is left, the restart finishes it."""
    with served.client() as client:
        caller = Caller(client)
        run_id = caller.submit(slug, TEXT)
        caller.wait(run_id, until=reaches("speckit_plan"))
        code, _seconds = served.terminate()
        left = docker("ps", "--all", "--quiet", "--filter", f"label=moonmind.run={run_id}")
        served.start()
        run = caller.wait(run_id)
    assert (code, left, run["status"]) == (0, "", "succeeded")
    assert f"resume after the restart: {run_id} (speckit_" in served.log.read_text()
    assert len(environment.github.pull_requests(slug)) == 1
