"""Runs when a login stops working, and when a login is created."""

import uuid

import pytest

from moonmind_appliance.models import LoginFault, LoginState
from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse
from moonmind_appliance.runs.sign_in import SignedIn, SignIn, sign_out

pytestmark = [pytest.mark.docker, pytest.mark.image]

TEXT = "# Dark mode\n\n- Goal: people can switch to dark colours"


@pytest.fixture(scope="module")
def resources(running):
    return running.appliance.resources


@pytest.fixture
def slug(environment):
    name = f"journey/logins-{uuid.uuid4().hex[:8]}"
    environment.github.add_repository(name)
    yield name
    environment.openai.respond_with(ScriptedResponse())


def enter(resources, shard):
    *_, last = SignIn(resources, shard)
    assert isinstance(last, SignedIn), last


def test_a_login_that_is_revoked_during_a_run_moves_the_run(environment, resources, caller, slug):
    """The other account continues at the interrupted phase; the dead login is reported."""
    for shard in (0, 1):
        enter(resources, shard)
    environment.openai.respond_with(ScriptedResponse(ResponseKind.DEAD_LOGIN), phase="speckit-plan", times=1)
    run = caller.wait(caller.submit(slug, TEXT))
    assert run["status"] == "succeeded", run["failure"]
    states = {shard.login for shard in resources.store.shards.all(2)}
    assert states == {LoginState.PRESENT, LoginState.DEAD}
    dead = next(shard for shard in resources.store.shards.all(2) if shard.login is LoginState.DEAD)
    # The second one after a check with OpenAI, which the schedule starts.
    assert dead.login_fault in (LoginFault.UNAUTHORIZED, LoginFault.REFRESH_REFUSED)
    assert run["shard"] != dead.shard


def test_a_run_waits_for_a_login_and_starts_after_the_sign_in(environment, resources, caller, slug):
    """No shard is signed in: queued, waiting for a login; the sign-in starts it."""
    for shard in (0, 1):
        sign_out(resources, shard)
    run_id = caller.submit(slug, TEXT)
    waits = caller.wait(run_id, until=lambda run: run["waiting_for"] is not None)
    assert (waits["status"], waits["waiting_for"]["reason"]) == ("queued", "login")
    enter(resources, 0)
    run = caller.wait(run_id)
    assert (run["status"], run["shard"]) == ("succeeded", 0)
