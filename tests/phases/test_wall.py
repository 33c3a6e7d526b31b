"""The wall of a run, on the fake engine. On Docker: tests/journeys/test_wall.py."""

import json
import queue
import threading
from typing import Any

import pytest

from moonmind_appliance.errors import ContainerLost, EngineError, InterruptReason, RunInterrupted
from moonmind_appliance.models import FailureCode, PhaseName, RunStatus, WaitReason, network_of
from moonmind_appliance.phases.egress_record import ARTIFACT, stored_record
from moonmind_appliance.phases.start_job_container import agent_spec, git_spec
from moonmind_appliance.phases.wall import Wall, egress_spec, needed_targets
from moonmind_appliance.runs.cancel import cancel_run
from tests.appliance_under_test import ApplianceUnderTest, ends
from tests.containers.fake import FakeEngine
from tests.containers.fake_exec import FakeExec
from tests.fakes import ANN
from tests.phases.contexts import RecordedArtifacts, make_context
from tests.scripted_acts import PLAN, SPECIFY, TASKS, retry, says, with_login

EVIL = {
    "target": "evil.example:443",
    "outcome": "refused",
    "reason": "no",
    "connections": 3,
    "first_at": 1,
    "last_at": 2,
}
OWN = EVIL | {"target": "service.invalid:443", "reason": "its address is not on the internet"}


def proxy_that_prints(*lines: object) -> object:
    """An egress proxy with that record."""

    def serve(process: FakeExec) -> None:
        process.stdout.write(b'{"ready": true}\n')
        for each in lines:
            process.stdout.write(json.dumps(each).encode() + b"\n")
        while True:
            process.sleep(1)

    return serve


class ProxyOfATurn:
    """An egress proxy that prints its record during a turn."""

    def __init__(self, appliance: ApplianceUnderTest) -> None:
        self._lines: queue.SimpleQueue[tuple[object, threading.Event]] = queue.SimpleQueue()
        appliance.engine.on_exec("egress_proxy", self._serve)

    def prints(self, *lines: object, then: Any = None) -> Any:
        """A turn during which these lines are printed."""

        def turn(process: FakeExec) -> Any:
            for line in lines:
                printed = threading.Event()
                self._lines.put((line, printed))
                assert printed.wait(10)
            return then(process) if then else None

        return turn

    def _serve(self, process: FakeExec) -> None:
        process.stdout.write(b'{"ready": true}\n')
        while True:
            while not self._lines.empty():
                line, printed = self._lines.get()
                process.stdout.write(json.dumps(line).encode() + b"\n")
                printed.set()
            process.sleep(0.01)


def artifact(appliance: ApplianceUnderTest, run_id: str) -> list[tuple[str, int]]:
    stored = next(each for each in appliance.store.artifacts.list(run_id) if each.name == ARTIFACT)
    record = json.loads(appliance.resources.files.path(stored.storage_path).read_bytes())
    return [(each["target"], each["connections"]) for each in record["targets"]]


def test_the_agent_container_has_no_network_and_the_egress_container_nothing_of_the_run() -> None:
    """They share one volume, which is read-only for the agent."""
    ctx = make_context()
    ctx.wall = Wall(ctx)
    agent, egress = agent_spec(ctx), egress_spec(ctx)
    assert agent.network is None
    assert egress.network == network_of(ctx.names.git)
    assert [(mount.volume, mount.read_only) for mount in egress.mounts] == [(ctx.names.egress_volume, False)]
    assert [mount.read_only for mount in agent.mounts if mount.volume == ctx.names.egress_volume] == [True]
    assert "egress_listen" in agent.command
    assert egress.env == {"LANG": "C.UTF-8"}


def test_without_the_wall_there_is_no_egress_container(appliance: ApplianceUnderTest) -> None:
    """AGENT_WALL=false: the agent is in JOB_NETWORK."""
    appliance.after(agent_wall=False)
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert not [call for call in appliance.engine.calls if "egress" in call[1]]
    ctx = make_context(settings={"agent_wall": False})
    assert agent_spec(ctx).network == ctx.settings.job_network
    assert ARTIFACT not in {each.name for each in appliance.store.artifacts.list(run.run_id)}


def test_the_record_reaches_the_audit_and_the_pull_request(appliance: ApplianceUnderTest) -> None:
    """Only refused targets are in the pull request."""
    appliance.engine.on_exec(
        "egress_proxy", proxy_that_prints(EVIL, EVIL | {"target": "a.b:443", "outcome": "allowed"})
    )
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert artifact(appliance, run.run_id) == [("evil.example:443", 3), ("a.b:443", 3)]
    assert appliance.github is not None
    (pull,) = appliance.github.pull_requests(appliance.slug)
    assert "evil.example:443` (3 times)" in pull.body
    assert "a.b:443" not in pull.body


@pytest.mark.parametrize("verdict", ["failed", "unreachable"])
def test_a_refused_host_of_the_service_is_the_reason(appliance: ApplianceUnderTest, verdict: str) -> None:
    """The operator must change a setting or the name resolution. Another host is not the reason."""
    appliance.agent.acts[SPECIFY] = [ProxyOfATurn(appliance).prints(OWN, EVIL, then=says(verdict=verdict))]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.EGRESS_REFUSED.value)
    assert run.failure is not None
    assert "service.invalid:443 (its address is not on the internet)" in run.failure.message
    assert "evil" not in run.failure.message
    assert artifact(appliance, run.run_id)


def test_what_the_agent_was_refused_otherwise_is_not_the_reason(appliance: ApplianceUnderTest) -> None:
    """A hostile agent could cause such a refusal."""
    appliance.agent.acts[SPECIFY] = [ProxyOfATurn(appliance).prints(EVIL, then=says(verdict="failed"))]
    assert ends(appliance.run()) == (RunStatus.FAILED, FailureCode.AGENT_FAILED.value)


@pytest.mark.parametrize(("connections", "code"), [(3, FailureCode.AGENT_FAILED), (4, FailureCode.EGRESS_REFUSED)])
def test_a_refusal_during_an_earlier_turn_is_not_the_reason(
    appliance: ApplianceUnderTest, connections: int, code: FailureCode
) -> None:
    """It is the reason if it occurs again."""
    proxy = ProxyOfATurn(appliance)
    appliance.agent.acts[SPECIFY] = [proxy.prints(OWN)]
    again = OWN | {"connections": connections}
    appliance.agent.acts[PLAN] = [proxy.prints(again, then=says(verdict="failed"))]
    assert ends(appliance.run()) == (RunStatus.FAILED, code.value)


def test_an_unreachable_service_is_explained_by_the_egress_container(appliance: ApplianceUnderTest) -> None:
    """One example is a proxy that requires a password."""
    said = OWN | {"outcome": "failed", "reason": "the proxy of AGENT_HTTPS_PROXY: HTTP 407"}
    appliance.agent.acts[SPECIFY] = [ProxyOfATurn(appliance).prints(said, then=says(verdict="unreachable"))]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.AGENT_UNREACHABLE.value)
    assert run.failure is not None
    assert "service.invalid:443 (the proxy of AGENT_HTTPS_PROXY: HTTP 407)" in run.failure.message


def test_the_record_of_a_cancelled_run_is_kept(appliance: ApplianceUnderTest) -> None:
    """A retry adds to it."""
    appliance.engine.on_exec("egress_proxy", proxy_that_prints(EVIL))
    run = appliance.submit()

    def cancel(process: FakeExec) -> None:
        cancel_run(appliance.resources, ANN, run.run_id)
        process.sleep(10)

    appliance.agent.acts[PLAN] = [cancel]
    appliance.work()
    assert appliance.stored(run).status is RunStatus.CANCELLED
    assert artifact(appliance, run.run_id) == [("evil.example:443", 3)]
    assert ends(retry(appliance, run)) == (RunStatus.SUCCEEDED, None)
    assert artifact(appliance, run.run_id) == [("evil.example:443", 6)]


def test_an_egress_container_that_ends_ends_the_turn(appliance: ApplianceUnderTest) -> None:
    """Codex would retry for a minute. The run waits for the engine and repeats the phase."""
    appliance.store.shards.change(0, with_login)
    kill = threading.Event()

    def serve(process: FakeExec) -> None:
        process.stdout.write(b'{"ready": true}\n')
        while not kill.is_set():
            process.sleep(0.01)
        process.kill_container()
        process.check()

    appliance.engine.on_exec("egress_proxy", serve)

    def turn(process: FakeExec) -> None:
        kill.set()
        process.sleep(10)

    appliance.agent.acts[SPECIFY] = [turn]
    run = appliance.submit()
    appliance.work()
    waiting = appliance.stored(run).waiting_for
    assert waiting is not None
    assert waiting.reason is WaitReason.ENGINE
    kill.clear()
    appliance.clock.advance(seconds=60)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


@pytest.mark.parametrize("verdict", ["failed", "unreachable"])
def test_a_turn_without_the_git_containers_network_is_repeated(appliance: ApplianceUnderTest, verdict: str) -> None:
    """The egress container uses that network. The service is not the reason."""

    def without_network(process: FakeExec) -> dict[str, Any] | None:
        git = next(name for name in appliance.containers() if name.startswith("moonmind-git-"))
        appliance.engine.kill(git)
        return says(verdict=verdict)(process)

    appliance.agent.acts[PLAN] = [without_network]
    run = appliance.run()
    assert run.waiting_for is not None
    assert run.waiting_for.reason is WaitReason.ENGINE
    appliance.clock.advance(seconds=60)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [SPECIFY, PLAN, PLAN, TASKS]


def test_a_turn_waits_until_the_proxy_is_ready() -> None:
    """It may be interrupted meanwhile. A proxy that ended is an error of the engine."""
    ctx = make_context()
    ctx.engine.ensure_network(ctx.settings.job_network, {})
    ctx.engine.start(git_spec(ctx))
    engine = ctx.engine
    assert isinstance(engine, FakeEngine)
    wall = Wall(ctx)
    with pytest.raises(ContainerLost):
        wall.wait_ready()
    engine.on_exec("egress_proxy", lambda process: process.sleep(30))
    wall.start()
    wall.wait_started()
    ctx.cancel.cancel(InterruptReason.CANCELLED)
    with pytest.raises(RunInterrupted):
        wall.wait_ready()
    engine.remove(ctx.names.egress)


def test_an_egress_container_that_cannot_start_is_an_error_of_the_engine() -> None:
    """The start of the containers reports it."""
    ctx = make_context()
    ctx.engine.fail(EngineError("no space"), method="start")  # type: ignore[attr-defined]
    wall = Wall(ctx)
    wall.start()
    wall.wait_started()
    with pytest.raises(EngineError, match="no space"):
        wall.end_with_proxy("agent")


def test_the_record_is_stored_only_if_it_changed() -> None:
    """Three turns without a new connection do not write it again."""
    artifacts = RecordedArtifacts()
    ctx = make_context(artifacts=artifacts)
    wall = Wall(ctx)
    wall.keep(PhaseName.SPECKIT_SPECIFY)
    assert stored_record(ctx).allowed_hosts == ["service.invalid"]
    artifacts.files.clear()
    wall.keep(PhaseName.SPECKIT_PLAN)
    assert artifacts.files == {}
    assert needed_targets(ctx) == {}
