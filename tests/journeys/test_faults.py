"""What a whole appliance depends on fails while it works: it says what it waits for, and goes on by itself."""

import uuid

import pytest

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from tests.containers.forwarder import Forwarder

from .conftest import API, Caller
from .served import Served

pytestmark = [pytest.mark.docker, pytest.mark.image]

TEXT = "# Dark mode\n\n- Goal: people can switch to dark colours"


@pytest.fixture(scope="module")
def environment():
    with RehearsalEnvironment(settings.load({}).settings, think_seconds=1) as made:
        yield made


class Engine:
    """The way to the real engine, which a test can close."""

    def __init__(self, folder):
        self.socket = folder / "docker.sock"
        self.comes_back()

    def goes_away(self):
        self._forwarder.cut()

    def comes_back(self):
        self._forwarder = Forwarder(self.socket)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    made = Engine(tmp_path_factory.mktemp("engine"))
    yield made
    made.goes_away()


@pytest.fixture(scope="module")
def served(environment, engine, tmp_path_factory):
    made = Served(environment, tmp_path_factory.mktemp("served") / "serve.log")
    made.environment["DOCKER_HOST"] = f"unix://{engine.socket}"
    made.start()
    environment.sign_in_by(made.environment)
    yield made
    made.close()


def running(phase):
    """A condition: the phase runs."""
    return lambda run: next(p for p in run["phases"] if p["phase"] == phase)["status"] == "running"


@pytest.fixture
def slug(environment):
    name = f"journey/faults-{uuid.uuid4().hex[:8]}"
    environment.github.add_repository(name)
    return name


def test_a_data_folder_that_is_away_for_a_moment_loses_nothing(environment, served, slug):
    """Nothing is accepted or written meanwhile; the run continues when it is back. No bug is reported."""
    away = environment.data_dir.with_name("away")
    with served.client() as client:
        caller = Caller(client)
        run_id = caller.submit(slug, TEXT)
        caller.wait(run_id, until=running("speckit_plan"))
        environment.data_dir.rename(away)
        refused = client.post(f"{API}/runs", json={"repository": slug, "specify_text": TEXT})
        made_meanwhile = environment.data_dir.exists()
        away.rename(environment.data_dir)
        run = caller.wait(run_id)
    assert (refused.status_code, refused.json()["code"], made_meanwhile) == (503, "store_unavailable", False)
    assert run["status"] == "succeeded", run["failure"]
    assert len(environment.github.pull_requests(slug)) == 1
    assert "was removed or replaced while it was in use" in served.log.read_text()
    assert "Traceback" not in served.log.read_text()


def test_an_engine_that_goes_away_in_a_phase_is_waited_for(environment, served, slug, engine):
    """With the reason, and without the queue's file. When the engine is back, only that phase is repeated."""
    with served.client() as client:
        caller = Caller(client)
        run_id = caller.submit(slug, TEXT)
        caller.wait(run_id, until=running("speckit_plan"))
        engine.goes_away()
        for file in environment.data_dir.glob("huey.db*"):
            file.unlink()
        caller.wait(run_id, until=lambda run: (run["waiting_for"] or {}).get("reason") == "engine")
        engine.comes_back()
        run = caller.wait(run_id)
    assert run["status"] == "succeeded", run["failure"]
    attempts = {phase["phase"]: phase["attempt"] for phase in run["phases"]}
    assert (attempts["speckit_specify"], attempts["speckit_plan"], attempts["speckit_tasks"]) == (1, 2, 1)
    assert len(environment.github.pull_requests(slug)) == 1
    assert "Traceback" not in served.log.read_text()
