"""The real Codex CLI's logins: the reported state is true, and a failed action keeps the login that worked."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from moonmind_appliance import settings
from moonmind_appliance.agents.adapter import LoginMethod
from moonmind_appliance.attach import attach
from moonmind_appliance.errors import NameTaken
from moonmind_appliance.execution.sweep import Sweeper, When
from moonmind_appliance.models import LoginFault, LoginState
from moonmind_appliance.phases import Names
from moonmind_appliance.rehearsal.openai import ScriptedResponse
from moonmind_appliance.rehearsal.openai.accounts import RefusalCode
from moonmind_appliance.runs.sign_in import SignIn, SignInPrompt, SignInWaiting, sign_out
from moonmind_appliance.shards.callback import CallbackPortTaken
from moonmind_appliance.shards.health import GradeName, health_of
from moonmind_appliance.shards.login import LoginFailed
from moonmind_appliance.shards.logout import LogoutRefused
from moonmind_appliance.shards.read_login import record_login_file
from moonmind_appliance.shards.spec import login_spec
from moonmind_appliance.shards.upkeep import maintain_logins, renew_login
from tests.journeys.logins import check, grades, login_file, put_login, sign_in, to_the_end

pytestmark = [pytest.mark.docker, pytest.mark.image]

LONG = 10 * 24 * 3600.0


@pytest.fixture(scope="module")
def resources(environment):
    """The resources of an appliance without `serve`, so that nothing else checks these logins."""
    with attach(environment.settings) as made:
        yield made


@pytest.fixture(autouse=True)
def normal_responses(environment):
    """Long-lived tokens and no refusals."""
    yield
    environment.openai.respond_with(ScriptedResponse())
    environment.openai.accounts.access_seconds = LONG
    environment.openai.accounts.refresh_seconds = 9 * LONG


# Health


def test_a_new_login_has_only_a_file_and_a_valid_token(resources):
    """Renewal and model turn are unknown until they were observed."""
    state, (prompt,) = sign_in(resources, 1)
    assert prompt.address.startswith("https://auth.openai.com/")
    assert grades(state) == {
        GradeName.LOGIN_FILE: True,
        GradeName.ACCESS_TOKEN: True,
        GradeName.REFRESH: None,
        GradeName.MODEL_TURN: None,
    }
    assert (state.login, state.account_email is not None, state.plan) == (LoginState.PRESENT, True, "plus")


def test_a_token_that_ends_soon_is_renewed_without_a_model_turn(environment, resources):
    """The check renews it: the file has a new token, and no turn was requested."""
    environment.openai.accounts.access_seconds = 600
    sign_in(resources, 1)
    environment.openai.accounts.access_seconds = LONG
    turns, before = len(environment.openai.turns), login_file(resources, 1)
    state = check(resources, 1)
    assert login_file(resources, 1) != before
    assert grades(state)[GradeName.REFRESH] is True
    assert state.access_expires_at > datetime.now(UTC) + timedelta(days=9)
    assert state.login_at < state.last_refresh_at
    assert len(environment.openai.turns) == turns


def test_a_long_lived_token_is_not_renewed(environment, resources):
    """The check reads only the file; OpenAI receives no request."""
    sign_in(resources, 1)
    asked = len(environment.openai.requests)
    state = check(resources, 1)
    assert state.login is LoginState.PRESENT
    assert len(environment.openai.requests) == asked


@pytest.mark.parametrize(
    "why", [RefusalCode.REFRESH_EXPIRED, RefusalCode.REFRESH_REUSED, RefusalCode.REFRESH_INVALIDATED]
)
def test_a_refused_renewal_is_a_dead_login(environment, resources, why):
    """With the time, OpenAI's message and what to do; the next observation keeps that state."""
    environment.openai.accounts.access_seconds = 600
    sign_in(resources, 1)
    for account in environment.openai.accounts:
        if account.email == resources.store.shards.get(1).account_email:
            environment.openai.accounts.sign_out(account, why)
    state = check(resources, 1)
    health = health_of(state, now=datetime.now(UTC))
    assert (state.login, state.login_fault) == (LoginState.DEAD, LoginFault.REFRESH_REFUSED)
    assert grades(state)[GradeName.REFRESH] is False
    assert "login-shard 1" in health.next_step
    assert "renewal of the login was refused" in health.why
    assert health.since is not None
    maintain_logins(resources)
    assert resources.store.shards.get(1).login is LoginState.DEAD


@pytest.mark.parametrize(
    ("content", "state", "fault"),
    [
        (None, LoginState.ABSENT, LoginFault.NO_LOGIN),
        (b"{garbage", LoginState.DEAD, LoginFault.FILE_UNREADABLE),
        (b"{}", LoginState.DEAD, LoginFault.FILE_UNREADABLE),
    ],
    ids=["missing", "garbage", "empty"],
)
def test_an_invalid_login_file(resources, content, state, fault):
    """It is reported as such, and never as healthy."""
    sign_in(resources, 1)
    put_login(resources, 1, content)
    seen = check(resources, 1)
    assert (seen.login, seen.login_fault) == (state, fault)
    assert not health_of(seen, now=datetime.now(UTC)).takes_runs


def test_a_renewal_without_network_does_not_invalidate_the_login(environment, resources):
    """A renewal without a response leaves the login unchanged, and is reported."""
    environment.openai.accounts.access_seconds = 600
    sign_in(resources, 1)
    before = login_file(resources, 1)
    offline = settings.load(environment.variables() | {"AGENT_HTTPS_PROXY": "http://127.0.0.1:9"}).settings
    with attach(offline) as others:
        state = check(others, 1)
    assert (state.login, grades(state)[GradeName.REFRESH]) == (LoginState.PRESENT, None)
    assert state.refresh_problem
    assert login_file(resources, 1) == before


# Signing in


def test_a_refused_sign_in_leaves_the_old_login(environment, resources):
    """The user declines: the file is unchanged byte for byte, and it still works."""
    sign_in(resources, 1)
    before = login_file(resources, 1)
    with environment.openai.manual_approval(), SignIn(resources, 1) as steps:
        environment.openai.deny(next(steps).code)
        with pytest.raises(LoginFailed, match="is unchanged"):
            to_the_end(steps)
    assert login_file(resources, 1) == before
    assert check(resources, 1, renew=True).last_refresh_at is not None


def test_a_stopped_sign_in_leaves_the_old_login(environment, resources):
    """Ctrl-C before the user has confirmed."""
    sign_in(resources, 1)
    before = login_file(resources, 1)
    with environment.openai.manual_approval(), SignIn(resources, 1) as steps:
        assert isinstance(next(steps), SignInPrompt)
        steps.cancel()
        (last,) = steps
    assert (last.cancelled, type(last.error)) == (True, LoginFailed)
    assert login_file(resources, 1) == before


def test_a_killed_sign_in_leaves_the_old_login_and_the_next_one_works(environment, resources):
    """Killed (-9) before the user has confirmed: it blocks the shard for at most half a minute."""
    sign_in(resources, 1)
    before = login_file(resources, 1)
    code = (
        "import sys\nfrom moonmind_appliance import settings\nfrom moonmind_appliance.attach import attach\n"
        "from moonmind_appliance.runs.sign_in import SignIn\nimport os\n"
        "with attach(settings.load(os.environ).settings) as resources, SignIn(resources, 1) as steps:\n"
        "    print(next(steps).code, flush=True)\n    next(steps)\n"
    )
    with environment.openai.manual_approval():
        process = in_other_process(environment, code)
        try:
            assert process.stdout.readline().strip()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    assert login_file(resources, 1) == before
    state, _ = sign_in(resources, 1)
    assert state.login is LoginState.PRESENT
    assert login_file(resources, 1) != before


def test_two_sign_ins_of_one_shard(environment, resources):
    """The second one is refused and does not disturb the first."""
    with environment.openai.manual_approval(), SignIn(resources, 1) as first:
        prompt = next(first)
        (refused,) = SignIn(resources, 1)
        environment.openai.approve(prompt.code)
        state, _ = to_the_end(first)
    assert "Another sign-in of shard 1" in refused.message
    assert state.login is LoginState.PRESENT


def test_two_shards_are_signed_in_at_once(resources):
    """Each has its own volume and container."""
    ended = {}

    def one(shard):
        ended[shard] = sign_in(resources, shard)[0]

    threads = [threading.Thread(target=one, args=[shard]) for shard in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert {shard: state.login for shard, state in ended.items()} == {0: LoginState.PRESENT, 1: LoginState.PRESENT}


def test_a_login_is_imported_from_a_file(environment, resources):
    """It is stored unchanged; an invalid file is refused and changes nothing."""
    sign_in(resources, 1)
    brought = login_file(resources, 1)
    sign_out_only_here(resources)
    state, _ = to_the_end(SignIn.from_file(resources, 1, brought))
    assert (state.login, login_file(resources, 1)) == (LoginState.PRESENT, brought)
    for wrong in (b"{}", b"not json", b"x" * 300_000):
        with pytest.raises(LoginFailed, match="is unchanged"):
            to_the_end(SignIn.from_file(resources, 1, wrong))
    assert login_file(resources, 1) == brought
    assert check(resources, 1, renew=True).login is LoginState.PRESENT


def sign_out_only_here(resources):
    put_login(resources, 1, None)
    record_login_file(resources, 1, None)


def test_an_api_key_is_a_login(resources):
    """It is passed through a file in the staging volume, is known to the redactor, and does not expire."""
    key = "sk-proj-" + "A1b2C3d4" * 5
    state, told = sign_in(resources, 1, method=LoginMethod.API_KEY, api_key=f"{key}\n")
    assert (state.login, state.by_api_key, told) == (LoginState.PRESENT, True, [])
    assert json.loads(login_file(resources, 1))["OPENAI_API_KEY"] == key
    assert key not in resources.redactor.redact_text(f"it is {key}.")
    assert check(resources, 1).login is LoginState.PRESENT
    sign_in(resources, 1)


def test_a_sign_out_revokes_and_removes(environment, resources):
    """OpenAI revokes it and the file is removed; safe twice."""
    sign_in(resources, 1)
    asked = len(environment.openai.requests)
    state, was = sign_out(resources, 1)
    assert (state.login, was, login_file(resources, 1)) == (LoginState.ABSENT, True, None)
    assert "/oauth/revoke" in [request.path for request in environment.openai.requests[asked:]]
    assert sign_out(resources, 1) == (resources.store.shards.get(1), False)
    sign_in(resources, 1)


# The shard's lock


@pytest.fixture
def locked_by_a_run(resources):
    """A container like that of a run."""
    name = resources.shards[1]
    labels = Names("run-that-holds", resources.appliance_id, name).labels("agent")
    spec = login_spec(resources, name, role="agent", name=name.lock, login_volume=name.volume)
    resources.engine.start(msgspec.structs.replace(spec, labels=labels))
    yield resources
    resources.engine.remove(name.lock)


def test_a_check_never_runs_beside_a_run(locked_by_a_run):
    """The error names the run that uses the shard."""
    with pytest.raises(NameTaken) as refusal:
        check(locked_by_a_run, 1, renew=True)
    assert refusal.value.holder["moonmind.run"] == "run-that-holds"


def test_a_sign_out_is_refused_beside_a_run(locked_by_a_run):
    """The error names the run."""
    with pytest.raises(LogoutRefused, match="run run-that-holds"):
        sign_out(locked_by_a_run, 1)


def test_a_sign_in_waits_for_a_run(locked_by_a_run):
    """It reports once which run uses the shard, and stores the login when the run ends."""
    resources = locked_by_a_run
    with SignIn(resources, 1) as steps:
        assert isinstance(next(steps), SignInPrompt)
        assert next(steps) == SignInWaiting("run run-that-holds", "run-that-holds")
        resources.engine.remove(resources.shards[1].lock)
        state, between = to_the_end(steps)
    assert (state.login, between) == (LoginState.PRESENT, [])


def test_the_leftovers_of_a_crashed_check_are_removed(resources):
    """The next action removes an ended container, or a check that never ends."""
    sign_in(resources, 1)
    name = resources.shards[1]
    for role, run in (("look", False), ("check", True)):
        spec = login_spec(resources, name, role=role, name=name.lock, login_volume=name.volume)
        resources.engine.start(spec, run=run)
        if run:
            resources.engine.kill(name.lock)
        assert check(resources, 1).login is LoginState.PRESENT


# With a browser on this machine


def test_a_sign_in_with_the_browser_of_this_machine(environment, resources):
    """The browser is redirected to port 1455 of this machine, and the waiting container receives the request."""
    with SignIn(resources, 1, method=LoginMethod.BROWSER) as steps:
        prompt = next(steps)
        assert prompt.code == ""
        with httpx.Client(proxy=environment.openai.proxy_url, verify=trusting(environment)) as outside:
            sent = outside.get(prompt.address)
        with httpx.Client(trust_env=False, timeout=60) as inside:
            page = inside.get(sent.headers["location"], follow_redirects=True)
        state, _ = to_the_end(steps)
    assert state.login is LoginState.PRESENT
    assert login_file(resources, 1) is not None
    assert page.status_code == httpx.codes.OK
    assert check(resources, 1, renew=True).last_refresh_at is not None


def trusting(environment):
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=environment.openai.ca_pem.decode())
    return context


def test_a_callback_port_in_use_is_reported(resources):
    """Before the user is asked for anything."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 1455))
        other.listen()
        with pytest.raises(CallbackPortTaken, match="1455"):
            sign_in(resources, 1, method=LoginMethod.BROWSER)
    assert resources.engine.containers({"moonmind.appliance": resources.appliance_id, "moonmind.role": "login"}) == []


def test_a_check_reports_the_usage_windows(environment, resources):
    """Without a model turn; each window has its usage, length and reset time."""
    sign_in(resources, 1)
    turns = len(environment.openai.turns)
    state = check(resources, 1, renew=True)
    assert [window.window_minutes for window in state.quota] == [300, 10_080]
    assert all(window.resets_at > datetime.now(UTC) for window in state.quota)
    assert len(environment.openai.turns) == turns


# Killed during a renewal


def test_a_login_survives_a_kill_during_its_renewal(environment, resources, monkeypatch):
    """Killed (-9) after the old token was used: the container finishes the renewal despite a restart."""
    sign_in(resources, 1)
    before = resources.store.shards.get(1)
    spent, answered, refresh = threading.Event(), threading.Event(), environment.openai.accounts.refresh

    def slow_refresh(token):
        tokens = refresh(token)
        spent.set()
        assert answered.wait(60)
        return tokens

    monkeypatch.setattr(environment.openai.accounts, "refresh", slow_refresh)
    code = (
        "import os\nfrom moonmind_appliance import settings\nfrom moonmind_appliance.attach import attach\n"
        "from moonmind_appliance.shards.upkeep import renew_login\n"
        "with attach(settings.load(os.environ).settings) as resources:\n"
        "    renew_login(resources, resources.store.shards.get(1), wanted=True)\n"
    )
    process = in_other_process(environment, code)
    try:
        assert spent.wait(60)
        process.kill()
        process.wait()
        Sweeper(resources).sweep(When.START)
        held = resources.engine.containers({"moonmind.appliance": resources.appliance_id, "moonmind.role": "check"})
        assert [container.running for container in held] == [True]
    finally:
        answered.set()
        process.kill()
        process.wait()
        process.stdout.close()
    limit = time.monotonic() + 90
    while (state := renew_login(resources, before, wanted=True)).refresh_tried_at == before.refresh_tried_at:
        assert time.monotonic() < limit
    assert (state.login, grades(state)[GradeName.REFRESH]) == (LoginState.PRESENT, True)
    assert state.last_refresh_at > before.login_at


def in_other_process(environment, code):
    """Run code in another process of the same appliance."""
    variables = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "DOCKER_HOST")}
    variables |= environment.variables() | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen([sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE)
