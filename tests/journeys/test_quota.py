"""A used-up quota: the run continues on another shard, or waits and continues automatically. Nothing is done twice."""

import uuid
from datetime import UTC, datetime

import httpx
import pytest

from moonmind_appliance import settings
from moonmind_appliance.models import LoginState, RunStatus
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment, RunningAppliance
from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse

from .conftest import Caller
from .served import Served

pytestmark = [pytest.mark.docker, pytest.mark.image]

TEXT = "# Dark mode\n\n- Goal: people can switch to dark colours"
PHASES = ("speckit-specify", "speckit-plan", "speckit-tasks")


@pytest.fixture
def slug(environment):
    name = f"journey/quota-{uuid.uuid4().hex[:8]}"
    environment.github.add_repository(name)
    return name


@pytest.fixture
def signed_in(environment, running):
    """Both shards signed in and without a cooldown; normal responses afterwards."""
    for shard in (0, 1):
        environment.sign_in(running, shard)
    yield running.appliance.resources.store
    environment.openai.respond_with(ScriptedResponse())


def kinds(store, **which):
    return [event.kind for event in store.events.after(0, limit=1000, **which)]


def finished_turns(environment, before):
    return [turn.phase for turn in environment.openai.turns[before:] if turn.finished]


def test_a_limit_during_a_run_moves_it_to_another_account(environment, signed_in, caller, slug):
    """It continues at once at the interrupted phase; finished phases are not repeated."""
    before = len(environment.openai.turns)
    environment.openai.respond_with(
        ScriptedResponse(ResponseKind.USAGE_LIMIT, resets_in=3600), phase="speckit-plan", times=1
    )
    run = caller.wait(caller.submit(slug, TEXT))
    assert run["status"] == "succeeded", run["failure"]
    assert finished_turns(environment, before) == list(PHASES)
    accounts = [turn.account for turn in environment.openai.turns[before:]]
    assert accounts[0] == accounts[1] != accounts[2] == accounts[3]
    assert "run.goes_on_elsewhere" in kinds(signed_in, run_id=run["run_id"])
    cut = [shard for shard in signed_in.shards.all(2) if shard.cooldown_until]
    assert len(cut) == 1
    assert 3500 < (cut[0].cooldown_until - datetime.now(UTC)).total_seconds() < 3700
    assert [phase["attempt"] for phase in run["phases"] if phase["phase"] == "speckit_specify"] == [1]


def test_a_plan_without_codex_fails_the_run_only_without_another_account(environment, signed_in, caller, slug):
    """A refused account is set aside, with who must act; the last one's refusal fails the run."""
    environment.openai.respond_with(ScriptedResponse(ResponseKind.USAGE_NOT_INCLUDED))
    run = caller.wait(caller.submit(slug, TEXT))
    assert (run["status"], run["failure"]["code"], run["failure"]["who_acts"]) == (
        "failed",
        "plan_without_codex",
        "operator",
    )
    assert [shard.login for shard in signed_in.shards.all(2)] == [LoginState.REFUSED] * 2
    assert all("plan" in shard.login_reason for shard in signed_in.shards.all(2))


@pytest.mark.timeout(600)
def test_one_account_waits_and_continues_after_a_restart(tmp_path):
    """CODEX_SHARDS=1: queued, waiting for quota, with the time; it continues then although the appliance was killed."""
    with RehearsalEnvironment(settings.load({}).settings, shards=1) as environment:
        served = Served(environment, tmp_path / "serve.log").start()
        try:
            environment.sign_in_by(served.environment)
            slug = "journey/quota-alone"
            environment.github.add_repository(slug)
            environment.openai.respond_with(
                ScriptedResponse(ResponseKind.USAGE_LIMIT, resets_in=20), phase="speckit-tasks", times=1
            )
            with served.client() as client:
                caller = Caller(client)
                run_id = caller.submit(slug, TEXT)
                waits = caller.wait(run_id, until=lambda run: run["waiting_for"] is not None)
                assert (waits["status"], waits["waiting_for"]["reason"]) == ("queued", "quota")
                until = datetime.fromisoformat(waits["waiting_for"]["until"])
                served.kill()
                served.start()
                run = caller.wait(run_id)
            assert run["status"] == "succeeded", run["failure"]
            assert finished_turns(environment, 0) == list(PHASES)
            began = next(phase["started_at"] for phase in run["phases"] if phase["phase"] == "speckit_tasks")
            assert datetime.fromisoformat(began) >= until
        finally:
            served.close()


@pytest.mark.timeout(600)
def test_three_accounts_at_their_limit_wait_and_continue(tmp_path):
    """Every run waits for the first window that resets, reports its time, and all of them finish."""
    with (
        RehearsalEnvironment(settings.load({}).settings, shards=3) as environment,
        RunningAppliance(environment.settings) as running,
    ):
        for shard in range(3):
            environment.sign_in(running, shard)
        slug = "journey/quota-three"
        environment.github.add_repository(slug)
        store = running.appliance.resources.store
        token = store.tokens.create("three", operator=True, expires_at=None)
        environment.openai.respond_with(ScriptedResponse(ResponseKind.USAGE_LIMIT, resets_in=15), times=3)
        with httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            caller = Caller(client)
            runs = [caller.submit(slug, f"# Wish {number}\n\n- Goal: number {number}") for number in range(4)]
            caller.wait(runs[0], until=lambda _run: all(s.cooldown_until for s in store.shards.all(3)))
            waits = caller.wait(runs[3], until=lambda run: run["waiting_for"] is not None)
            assert (waits["status"], waits["waiting_for"]["reason"]) == ("queued", "quota")
            ended = [caller.wait(run_id, seconds=150) for run_id in runs]
        assert [run["status"] for run in ended] == [RunStatus.SUCCEEDED.value] * 4
