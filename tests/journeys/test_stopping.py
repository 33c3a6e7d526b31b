"""A stop, a drain, a cancel and a stalled agent on the real product: nothing is lost, and no process is left."""

import secrets
import signal
import uuid
from pathlib import Path

import pytest

from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse
from tests.containers.forwarder import Forwarder

from .conftest import API, Caller, docker
from .served import Served

pytestmark = [pytest.mark.docker, pytest.mark.image]

TEXT = "# Dark mode\n\n- Goal: people can switch to dark colours"


@pytest.fixture(scope="module")
def socket_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def engine(socket_folder):
    """The Docker engine behind a proxy that can hang."""
    with Forwarder(socket_folder / "docker.sock") as made:
        yield made


@pytest.fixture(scope="module")
def served(environment, engine, socket_folder, tmp_path_factory):
    made = Served(environment, tmp_path_factory.mktemp("served") / "serve.log")
    made.environment["DOCKER_HOST"] = f"unix://{socket_folder}/docker.sock"
    environment.sign_in_by(made.environment)
    made.start()
    yield made
    made.close()


@pytest.fixture
def caller(served):
    with served.client() as client:
        yield Caller(client)


@pytest.fixture
def slug(environment):
    name = f"journey/stopping-{uuid.uuid4().hex[:8]}"
    environment.github.add_repository(name)
    yield name
    environment.openai.respond_with(ScriptedResponse())


def plan_runs(environment, script):
    """The next turn of `plan` runs this script in the agent's shell."""
    hostile = ScriptedResponse(ResponseKind.HOSTILE, script=script)
    environment.openai.respond_with(hostile, phase="speckit-plan", times=1)


def escaping(seconds):
    """A script whose process leaves its session and its parents, ignores signals, and keeps the turn silent."""
    away = f"trap '' TERM INT HUP; exec sleep {seconds}"
    return f'(setsid nohup sh -c "{away}" >/dev/null 2>&1 &); touch "$FEATURE/begun"; sleep {seconds}'


def begun(seconds):
    """A condition: the script of `escaping` runs."""
    return lambda _run: seconds in commands()


def commands():
    """The commands of all processes of this machine, as one text."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def of_run(run_id):
    return docker("ps", "--all", "--quiet", "--filter", f"label=moonmind.run={run_id}")


def phase(run, name):
    return next(each for each in run["phases"] if each["phase"] == name)["status"]


def some_seconds():
    """An argument of `sleep` that no other process has."""
    return f"4711.{secrets.randbelow(10**9)}"


def test_a_stop_lets_the_phase_end(environment, served, caller, slug):
    """The API answers until then; the phase is not repeated after the restart."""
    plan_runs(environment, "sleep 3")
    before = len(environment.openai.turns)
    run_id = caller.submit(slug, TEXT)
    caller.wait(run_id, until=lambda run: phase(run, "speckit_plan") == "running")
    served.process.send_signal(signal.SIGTERM)
    refused = caller.client.post(f"{API}/runs", json={"repository": slug, "specify_text": TEXT})
    while refused.status_code == 202:  # the signal was not handled yet
        refused = caller.client.post(f"{API}/runs", json={"repository": slug, "specify_text": TEXT})
    assert refused.json()["code"] == "draining"
    assert phase(caller.show(run_id), "speckit_plan") == "running"
    assert served.process.wait(60) == 0
    assert of_run(run_id) == ""
    assert f"{run_id} (speckit_plan). Send SIGTERM again to stop at once." in served.log.read_text()
    served.start()
    run = caller.wait(run_id)
    assert (run["status"], phase(run, "speckit_plan")) == ("succeeded", "succeeded")
    attempts = {each["phase"]: each["attempt"] for each in run["phases"]}
    assert (attempts["speckit_specify"], attempts["speckit_plan"], attempts["speckit_tasks"]) == (1, 1, 1)
    finished = [turn.phase for turn in environment.openai.turns[before:] if turn.finished]
    assert finished.count("speckit-plan") >= 1


def test_a_second_signal_stops_at_once(environment, served, caller, slug):
    """Well before STOP_GRACE (30 s) is over; no process and no container is left, and the run continues later."""
    seconds = some_seconds()
    plan_runs(environment, escaping(seconds))
    run_id = caller.submit(slug, TEXT)
    caller.wait(run_id, until=begun(seconds))
    served.process.send_signal(signal.SIGINT)
    while "SIGINT: stopping." not in served.log.read_text():
        pass
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(25) == 0
    assert (of_run(run_id), seconds in commands()) == ("", False)
    served.start()
    assert caller.wait(run_id)["status"] == "succeeded"


def test_a_cancel_while_the_engine_hangs(environment, engine, served, caller, slug):
    """The run is cancelled, its artifacts are true; when the engine answers again its containers go, and runs start."""
    seconds = some_seconds()
    plan_runs(environment, escaping(seconds))
    run_id = caller.submit(slug, TEXT)
    caller.wait(run_id, until=begun(seconds))
    engine.freeze()
    try:
        caller.client.post(f"{API}/runs/{run_id}/cancel").raise_for_status()
        run = caller.wait(run_id, seconds=20)
        assert (run["status"], phase(run, "speckit_plan"), phase(run, "cleanup")) == ("cancelled", "failed", "skipped")
        for artifact in run["artifacts"]:
            assert len(caller.artifact(run, artifact["name"])) == artifact["size_bytes"]
        assert any(artifact["name"].startswith("speckit_plan") for artifact in run["artifacts"])
    finally:
        engine.thaw()
    again = caller.submit(slug, TEXT)
    assert caller.wait(again, seconds=200)["status"] == "succeeded"
    assert (of_run(run_id), seconds in commands()) == ("", False)


def test_a_drain_over_http(served, caller, slug):
    """The running run is finished, the next one waits, also across a restart, until the appliance is resumed."""
    first = caller.submit(slug, TEXT)
    caller.wait(first, until=lambda run: run["status"] == "in_progress")
    assert caller.client.put(f"{API}/drain").json()["running"] == [first]
    second = caller.submit(slug, f"{TEXT} at night")
    assert caller.wait(first)["status"] == "succeeded"
    assert caller.client.get(f"{API}/drain").json()["running"] == []
    served.terminate()
    served.start()
    assert caller.show(second)["waiting_for"] == {"reason": "drained", "until": None}
    assert "drain" in [error["field"] for error in caller.client.get(f"{API}/ready").json()["errors"]]
    caller.client.delete(f"{API}/drain").raise_for_status()
    assert caller.wait(second)["status"] == "succeeded"


def test_a_stalled_agent_is_ended(environment, served, caller, slug):
    """After PHASE_SILENCE_LIMIT, with a code of its own; its escaped process is gone. A retry continues there."""
    served.terminate()
    # Longer than any start on a busy machine.
    served.environment["PHASE_SILENCE_LIMIT"] = "12s"
    served.start()
    seconds = some_seconds()
    plan_runs(environment, escaping(seconds))
    run_id = caller.submit(slug, TEXT)
    caller.wait(run_id, until=begun(seconds))
    run = caller.wait(run_id)
    assert (run["status"], run["failure"]["code"]) == ("failed", "agent_silent")
    assert (of_run(run_id), seconds in commands()) == ("", False)
    caller.client.post(f"{API}/runs/{run_id}/retry").raise_for_status()
    run = caller.wait(run_id)
    assert run["status"] == "succeeded"
    assert {each["phase"]: each["attempt"] for each in run["phases"]}["speckit_specify"] == 1
