"""A run with LOGIN_BROKER: which container has the login, what the agent gets, and whose evidence counts."""

import json
import queue
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.agents.adapter import LoginFacts
from moonmind_appliance.models import (
    LABEL_APPLIANCE,
    LABEL_ROLE,
    LABEL_RUN,
    ContainerSpec,
    FailureCode,
    Limits,
    LoginFault,
    LoginState,
    PhaseName,
    RunStatus,
    WaitReason,
)
from moonmind_appliance.models.container_paths import (
    AGENT_CA_FILE,
    AGENT_HOME,
    BROKERED_LOGIN_FILE,
    EGRESS_FOLDER,
    LOGIN_FOLDER,
)
from moonmind_appliance.phases.login_broker import RunBroker
from moonmind_appliance.phases.start_job_container import agent_spec
from moonmind_appliance.phases.wall import Wall, egress_spec
from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.appliance_under_test import ApplianceUnderTest, ends, open_appliance
from tests.containers.fake_exec import BROKER_AUTHORITY, BROKERED_LOGIN, FakeExec, is_broker, serve_broker
from tests.phases.contexts import make_context
from tests.scripted_acts import says, with_login

SPECIFY, PLAN = PhaseName.SPECKIT_SPECIFY, PhaseName.SPECKIT_PLAN
READY = {"ready": True, "broker": {"ca": BROKER_AUTHORITY, "login": BROKERED_LOGIN}}


@pytest.fixture
def broker(tmp_path: Path, github: StandInGitHub) -> Iterator[ApplianceUnderTest]:
    """An appliance with LOGIN_BROKER."""
    with open_appliance(tmp_path, github, login_broker=True) as made:
        made.store.shards.change(0, with_login)
        yield made


class BrokerOfATurn:
    """A login broker that prints lines during a turn."""

    def __init__(self, appliance: ApplianceUnderTest) -> None:
        self._lines: queue.SimpleQueue[tuple[object, threading.Event]] = queue.SimpleQueue()
        appliance.engine.on_exec(is_broker, self._serve)

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
        process.stdout.write(json.dumps(READY).encode() + b"\n")
        while True:
            while not self._lines.empty():
                line, printed = self._lines.get()
                process.stdout.write(json.dumps(line).encode() + b"\n")
                printed.set()
            process.sleep(0.01)


def limit(resets_at: float) -> dict[str, Any]:
    body = {"error": {"type": "usage_limit_reached", "resets_at": int(resets_at)}}
    return {"broker": "answer", "path": "codex/responses", "status": 429, "at": 1, "body": json.dumps(body)}


def test_only_the_container_with_the_lock_has_the_login() -> None:
    """The agent container mounts no login; the egress container's HOME is not in the volume that the agent sees."""
    ctx = make_context(settings={"login_broker": True})
    ctx.wall = Wall(ctx)
    agent, egress = agent_spec(ctx), egress_spec(ctx)
    login = ctx.names.shard.volume
    assert login not in {mount.volume for mount in agent.mounts}
    assert [mount.target for mount in egress.mounts if mount.volume == login] == [LOGIN_FOLDER]
    assert (egress.name, agent.name) == (ctx.names.shard.lock, f"moonmind-agent-{ctx.run.run_id}")
    shared = {mount.volume for mount in agent.mounts} & {mount.volume for mount in egress.mounts}
    assert shared == {ctx.names.egress_volume}
    (folder,) = [mount.target for mount in egress.mounts if mount.volume in shared]
    assert folder == EGRESS_FOLDER
    assert not AGENT_HOME.startswith(folder)
    assert "mode=0700" in egress.tmpfs[AGENT_HOME]


def test_the_agent_gets_the_brokers_login_and_authority(broker: ApplianceUnderTest, tmp_path: Path) -> None:
    """Before its first turn; beside the operator's authorities."""
    operators = tmp_path / "ca.pem"
    operators.write_bytes(b"authorities of the operator")
    broker.after(extra_ca_certs=operators)
    seen: list[bytes | None] = []

    def turn(process: FakeExec) -> None:
        seen.extend(process.read_file(path) for path in (BROKERED_LOGIN_FILE, AGENT_CA_FILE))
        assert process.read_file(f"{LOGIN_FOLDER}/auth.json") is None

    broker.agent.acts[SPECIFY] = [turn]
    assert ends(broker.run()) == (RunStatus.SUCCEEDED, None)
    login, authorities = seen
    assert login == BROKERED_LOGIN.encode()
    assert authorities is not None
    assert authorities.splitlines() == [b"authorities of the operator", BROKER_AUTHORITY.encode()]


def test_a_run_with_a_broker_removes_its_containers(broker: ApplianceUnderTest) -> None:
    """The shard's lock is free afterwards."""
    run = broker.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert broker.containers() == []
    assert f"moonmind-egress-{run.run_id}" not in broker.engine.volume_data


def test_the_run_waits_for_the_lock(broker: ApplianceUnderTest) -> None:
    """It names the user, and removes the containers that it has started."""
    lock = broker.resources.shards[0].lock
    broker.engine.ensure_network("jobs", {})
    held = {LABEL_APPLIANCE: "another", LABEL_ROLE: "egress", LABEL_RUN: "theirs"}
    image = next(iter(broker.engine.images))
    spec = ContainerSpec(name=lock, image=image, command=["x"], labels=held, limits=Limits(1, 1, 1))
    broker.engine.start(spec)
    run = broker.submit(shard=0)
    broker.work()
    waiting = broker.stored(run).waiting_for
    assert waiting is not None
    assert (waiting.reason, waiting.detail) == (WaitReason.SHARD_BUSY, f"{lock} is in use by run theirs")
    assert broker.containers() == [lock]
    broker.engine.remove(lock)
    broker.clock.advance(seconds=16)
    broker.work()
    assert ends(broker.stored(run)) == (RunStatus.SUCCEEDED, None)


def test_a_missing_login_is_found_in_the_container_with_the_lock(broker: ApplianceUnderTest) -> None:
    """The run waits for a sign-in."""
    broker.sign_out(0)
    run = broker.submit(shard=0)
    broker.work()
    waiting = broker.stored(run).waiting_for
    assert waiting is not None
    assert waiting.reason is WaitReason.LOGIN
    assert broker.store.shards.get(0).login is LoginState.ABSENT


def test_an_api_key_is_not_given_to_the_agent(broker: ApplianceUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run fails and says why; no turn begins."""
    monkeypatch.setattr(broker.agent, "login_facts", lambda _: LoginFacts(usable=True, account="k", by_api_key=True))
    run = broker.run(shard=0)
    assert ends(run) == (RunStatus.FAILED, FailureCode.LOGIN_BROKER_FAILED.value)
    assert run.failure is not None
    assert "API key" in run.failure.message
    assert broker.agent.turns == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"broker_problem": "openssl is missing\x1b[2J"}], "openssl is missing"),
        ([{"ready": True}], "made no login"),
        ([{}], "No module named 'h11' The job image is older"),
    ],
)
def test_a_broker_that_cannot_start_fails_the_run(broker: ApplianceUnderTest, lines: list[Any], words: str) -> None:
    """With its reason, without a turn."""

    def serve(process: FakeExec) -> int:
        for line in lines:
            process.stdout.write(json.dumps(line).encode() + b"\n")
        while "ready" in lines[0]:
            process.sleep(1)
        process.stderr.write(b"Traceback:\nModuleNotFoundError: No module named 'h11'\n")
        return 1

    broker.engine.on_exec(is_broker, serve)
    run = broker.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.LOGIN_BROKER_FAILED.value)
    assert run.failure is not None
    assert words in run.failure.message
    assert "\x1b" not in run.failure.message
    assert broker.agent.turns == []


def test_a_container_that_ends_before_the_broker_is_ready_is_the_engines_fault(broker: ApplianceUnderTest) -> None:
    """The run waits, and tries again with a new one."""
    tries: list[FakeExec] = []

    def serve(process: FakeExec) -> None:
        tries.append(process)
        if len(tries) == 1:
            process.kill_container()
            process.check()
        serve_broker(process)

    broker.engine.on_exec(is_broker, serve)
    run = broker.submit()
    broker.work()
    waiting = broker.stored(run).waiting_for
    assert waiting is not None
    assert waiting.reason is WaitReason.ENGINE
    broker.clock.advance(seconds=60)
    broker.work()
    assert ends(broker.stored(run)) == (RunStatus.SUCCEEDED, None)


def test_a_limit_that_the_broker_saw_ends_to_the_second(broker: ApplianceUnderTest) -> None:
    """The run waits until exactly that time, whatever the agent's container says."""
    resets = (broker.clock() + timedelta(hours=30)).replace(microsecond=0)
    said = says(verdict="quota", resets_at=(broker.clock() + timedelta(hours=1)).isoformat())
    broker.agent.acts[PLAN] = [BrokerOfATurn(broker).prints(limit(resets.timestamp()), then=said)]
    run = broker.submit(shard=0)
    broker.work()
    waiting = broker.stored(run).waiting_for
    assert waiting is not None
    assert (waiting.reason, waiting.until) == (WaitReason.QUOTA, resets)
    assert broker.store.shards.get(0).cooldown_until == resets
    broker.clock.now = resets
    broker.work()
    assert ends(broker.stored(run)) == (RunStatus.SUCCEEDED, None)


@pytest.mark.parametrize("verdict", ["quota", "login_dead", "plan_without_codex"])
def test_what_the_agents_container_says_about_the_login_is_ignored(broker: ApplianceUnderTest, verdict: str) -> None:
    """The run fails; the shard takes the next one."""
    later = (broker.clock() + timedelta(hours=5)).isoformat()
    broker.agent.acts[PLAN] = [says(verdict=verdict, resets_at=later)]
    run = broker.run(shard=0)
    assert ends(run) == (RunStatus.FAILED, FailureCode.AGENT_FAILED.value)
    known = broker.store.shards.get(0)
    assert (known.login, known.cooldown_until, known.check_wanted) == (LoginState.PRESENT, None, False)
    assert ends(broker.run(shard=0)) == (RunStatus.SUCCEEDED, None)


def test_a_login_that_the_broker_could_not_renew_is_dead(broker: ApplianceUnderTest) -> None:
    """The run waits for a new one."""
    report = {"account": {"result": {"account": None}}, "refreshed": False, "refresh_error": "expired"}
    lines = [
        {"broker": "answer", "path": "codex/responses", "status": 401, "at": 1},
        {"broker": "renewed", "at": 2, "report": report},
    ]
    broker.agent.acts[PLAN] = [BrokerOfATurn(broker).prints(*lines, then=says(verdict="failed"))]
    run = broker.submit(shard=0)
    broker.work()
    waiting = broker.stored(run).waiting_for
    assert waiting is not None
    assert waiting.reason is WaitReason.LOGIN
    known = broker.store.shards.get(0)
    assert (known.login, known.login_fault) == (LoginState.DEAD, LoginFault.REFRESH_REFUSED)


def test_a_login_that_the_broker_renewed_is_recorded(broker: ApplianceUnderTest) -> None:
    """The file in the container with the lock counts; its secrets are redacted from then on."""
    report = {"account": {"result": {"account": {}}}, "refreshed": True}
    new = b"rt_renewedByTheBroker-0123456789"

    def turn(process: FakeExec) -> Any:
        broker.engine.volume_data[broker.resources.shards[0].volume].files["auth.json"].content = new
        return printed(process)

    printed = BrokerOfATurn(broker).prints({"broker": "renewed", "at": 2, "report": report})
    broker.agent.acts[PLAN] = [turn]
    assert ends(broker.run(shard=0)) == (RunStatus.SUCCEEDED, None)
    assert broker.store.shards.get(0).last_refresh_at is not None
    assert new.decode() not in broker.resources.redactor.redact_text(f"x {new.decode()} y")


def test_a_challenge_has_its_own_code(broker: ApplianceUnderTest) -> None:
    """The login stays as it is."""
    line = {"broker": "answer", "path": "codex/responses", "status": 403, "at": 1, "challenge": True}
    broker.agent.acts[SPECIFY] = [BrokerOfATurn(broker).prints(line, then=says(verdict="login_dead"))]
    run = broker.run(shard=0)
    assert ends(run) == (RunStatus.FAILED, FailureCode.OPENAI_CHALLENGE.value)
    assert broker.store.shards.get(0).login is LoginState.PRESENT


def test_a_broker_that_ends_ends_the_turn(broker: ApplianceUnderTest) -> None:
    """The run waits for the engine, and repeats the phase with a new broker."""
    kill = threading.Event()

    def serve(process: FakeExec) -> int:
        process.stdout.write(json.dumps(READY).encode() + b"\n")
        while not kill.is_set():
            process.sleep(0.01)
        return 1

    broker.engine.on_exec(is_broker, serve)

    def turn(process: FakeExec) -> None:
        kill.set()
        process.sleep(10)

    broker.agent.acts[SPECIFY] = [turn]
    run = broker.submit()
    broker.work()
    waiting = broker.stored(run).waiting_for
    assert waiting is not None
    assert waiting.reason is WaitReason.ENGINE
    kill.clear()
    broker.clock.advance(seconds=60)
    broker.work()
    assert ends(broker.stored(run)) == (RunStatus.SUCCEEDED, None)


def test_the_login_is_given_once() -> None:
    """Later turns of the attempt find it."""
    ctx = make_context(settings={"login_broker": True})
    run_broker = RunBroker(ctx)
    refused = run_broker.give_login()
    assert refused is not None
    assert refused.code is FailureCode.LOGIN_BROKER_FAILED
    run_broker.reader.take(json.dumps(READY).encode())
    assert run_broker.give_login() is None
    assert set(ctx.agent_files) == {BROKERED_LOGIN_FILE, AGENT_CA_FILE}
    ctx.agent_files = {}
    assert run_broker.give_login() is None
    assert ctx.agent_files == {}
