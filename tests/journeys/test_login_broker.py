"""The login broker: the agent never has the shard's login, and its own login cannot be used elsewhere or later.

Real containers, the real Codex CLI, stand-ins for OpenAI and GitHub.
"""

import base64
import json
import os
import subprocess
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moonmind_appliance import settings
from moonmind_appliance.models import LoginState
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse
from moonmind_appliance.shards.check import check_shard

from .conftest import Caller, docker, git
from .served import Served

pytestmark = [pytest.mark.docker, pytest.mark.image]

TEXT = "# Dark mode\n\n- Goal: people can switch to dark colours"
MODELS = "https://chatgpt.com/backend-api/codex/models"
USAGE = "https://chatgpt.com/backend-api/wham/usage"

# The turn waits until the test lets it go on.
HOLD = r"""
touch /work/runs/held
n=0; while [ ! -e /work/runs/go ] && [ $n -lt 900 ]; do sleep 0.1; n=$((n+1)); done
"""

# Ends the broker: the process whose command line names its program.
KILL = """
import os, pathlib
for process in pathlib.Path("/proc").iterdir():
    if process.name.isdigit() and process.name not in ("1", str(os.getpid())):
        if b"login_broker" in (process / "cmdline").read_bytes():
            os.kill(int(process.name), 9)
"""


@pytest.fixture(scope="module")
def environment():
    with RehearsalEnvironment(settings.load({}).settings, shards=2, login_broker=True) as made:
        yield made


@pytest.fixture(scope="module")
def running(environment, running):
    """With both shards signed in."""
    environment.sign_in(running, 1)
    return running


@pytest.fixture
def slug(environment):
    name = f"journey/broker-{uuid.uuid4().hex[:8]}"
    environment.github.add_repository(name)
    yield name
    environment.openai.respond_with(ScriptedResponse())


class Held:
    """A run in the middle of a turn, and its containers."""

    def __init__(self, run_id, shard, appliance):
        self.run_id = run_id
        self.agent = f"moonmind-agent-{run_id}"
        self.egress = appliance.resources.shards[shard].lock
        limit = time.monotonic() + 60
        while not self.exists("held"):
            assert time.monotonic() < limit
            time.sleep(0.05)

    def exists(self, name):
        command = ["docker", "exec", self.agent, "test", "-e", f"/work/runs/{name}"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def go_on(self):
        """Let the turn end. Safe to call again after the end of the run."""
        subprocess.run(["docker", "exec", self.agent, "touch", "/work/runs/go"], capture_output=True, check=False)

    def login(self):
        """The login file that the agent has."""
        return json.loads(docker("exec", self.agent, "cat", "/work/codex-home/.codex/auth.json"))

    def curl(self, url, token, *arguments):
        """The status and the body of a request from the agent's container."""
        curl = ["curl", "-sS", "--cacert", "/work/codex-home/ca.pem", "-w", "\n%{http_code}", "--max-time", "20"]
        done = docker("exec", self.agent, *curl, "-H", f"Authorization: Bearer {token}", *arguments, url)
        body, _, status = done.rpartition("\n")
        return int(status), body


def hold(environment, caller, running, slug, shard):
    run_id = caller.submit(slug, TEXT, shard=shard)
    return Held(run_id, shard, running.appliance)


@pytest.fixture
def held(environment, running, caller, slug):
    """Two runs on two shards, both in the middle of their first turn."""
    environment.openai.respond_with(ScriptedResponse(ResponseKind.HOSTILE, script=HOLD))
    made = [hold(environment, caller, running, slug, shard) for shard in (0, 1)]
    yield made
    for each in made:
        each.go_on()
    for each in made:
        caller.wait(each.run_id)


def stored(held):
    """The login file in the shard's volume, read in the container that has it."""
    return json.loads(docker("exec", held.egress, "cat", "/work/codex-home/.codex/auth.json"))


def parts_of(login):
    """What only the broker may have of a login: payloads and signatures of its tokens, and the refresh token."""
    tokens = login["tokens"]
    found = {"refresh token": tokens["refresh_token"]}
    for name in ("id_token", "access_token"):
        _, found[f"{name} payload"], found[f"{name} signature"] = tokens[name].split(".")
    return {name: value for name, value in found.items() if value}


class Search:
    """Where byte strings occur in a container, seen from its host.

    It searches the files, and the environments, command lines and writable memory of the processes. `read` counts the
    bytes that it searched.
    """

    def __init__(self, container, needles):
        self._needles = {name: value.encode() for name, value in needles.items()}
        self.found = {name: [] for name in needles}
        self.read = dict.fromkeys(("files", "environ", "cmdline", "memory"), 0)
        processes = [Path("/proc", pid) for pid in docker("top", container, "-eo", "pid").split()[1:]]
        self._files(processes[0] / "root")
        for process in processes:
            # Processes that the tools start may end meanwhile.
            with suppress(FileNotFoundError, ProcessLookupError):
                for kind in ("environ", "cmdline"):
                    self._look(kind, process, (process / kind).read_bytes())
                self._memory(process)

    def _look(self, kind, where, data):
        self.read[kind] += len(data)
        for name, needle in self._needles.items():
            if needle in data:
                self.found[name].append(f"{kind} {where}")

    def _files(self, root):
        skipped = {root / each for each in ("proc", "sys", "usr", "opt/codex")}
        for top, folders, files in os.walk(root):
            folders[:] = [each for each in folders if Path(top, each) not in skipped]
            for path in (Path(top, each) for each in files):
                if path.is_file() and not path.is_symlink():
                    self._look("files", path, path.read_bytes())

    def _memory(self, process):
        with (process / "mem").open("rb", 0) as memory:
            for line in (process / "maps").read_text().splitlines():
                span, rights = line.split()[:2]
                if rights.startswith("rw") and "[v" not in line:
                    begin, end = (int(part, 16) for part in span.split("-"))
                    memory.seek(begin)
                    # Pages that were never written cannot be read.
                    with suppress(OSError):
                        self._look("memory", process, memory.read(end - begin))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to read the memory of other users' processes")
def test_the_real_login_is_nowhere_in_the_agents_container(held):
    """Not in files, environments, command lines or memory.

    The controls find the agent's own login in its container, and the real one where it must be.
    """
    real, own = parts_of(stored(held[0])), parts_of(held[0].login())
    assert len(real) == 5
    looked = Search(held[0].agent, real)
    assert looked.found == {name: [] for name in real}
    assert looked.read["memory"] > 10_000_000
    assert min(looked.read.values()) > 100

    control = Search(held[0].agent, own).found["access_token payload"]
    assert {"files", "memory"} <= {where.split()[0] for where in control}
    there = Search(held[0].egress, real).found
    assert [name for name in real if not there[name]] == []


def test_the_agents_login_has_the_account_and_nothing_else_of_the_real_one(held):
    """Codex reads the account's claims from it; its tokens are not signed."""
    real, own = stored(held[0]), held[0].login()
    assert set(own) == set(real)
    assert own["tokens"]["account_id"] == real["tokens"]["account_id"]

    def claims(login, name):
        payload = login["tokens"][name].split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))

    auth = "https://api.openai.com/auth"
    assert claims(own, "id_token")["email"] == claims(real, "id_token")["email"]
    assert claims(own, "id_token")[auth] == claims(real, "id_token")[auth]
    assert claims(own, "access_token")["exp"] > time.time() + 399 * 24 * 3600
    assert not set(parts_of(own).values()) & set(parts_of(real).values())


def test_the_agents_login_works_only_at_its_own_broker(held, environment):
    """Another run's broker refuses it, and OpenAI itself, too."""
    own, other = (each.login()["tokens"]["access_token"] for each in held)
    assert held[0].curl(MODELS, own)[0] == 200
    assert held[0].curl(MODELS, other)[0] == 403
    assert held[1].curl(MODELS, own)[0] == 403
    direct = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", str(environment.folder / "ca.pem")]
    direct += ["--proxy", environment.openai.proxy_url, "-H", f"Authorization: Bearer {own}", MODELS]
    assert subprocess.run(direct, capture_output=True, text=True, check=True).stdout == "401"
    # The control: the real one is accepted there.
    direct[-2] = f"Authorization: Bearer {stored(held[0])['tokens']['access_token']}"
    assert subprocess.run(direct, capture_output=True, text=True, check=True).stdout == "200"


def test_the_login_of_a_finished_run_is_refused(held, caller, running, slug):
    """The next run on that shard has another one. The record names what was refused."""
    old = held[0].login()["tokens"]["access_token"]
    held[0].go_on()
    caller.wait(held[0].run_id)
    next_one = hold(None, caller, running, slug, 0)
    try:
        assert next_one.login()["tokens"]["access_token"] != old
        assert next_one.curl(MODELS, old)[0] == 403
        assert next_one.curl(MODELS, next_one.login()["tokens"]["access_token"])[0] == 200
    finally:
        next_one.go_on()
    run = caller.wait(next_one.run_id)
    record = json.loads(caller.artifact(run, "egress.json"))
    refused = {each["target"] for each in record["targets"] if each["outcome"] == "refused"}
    assert any(target.startswith("https://chatgpt.com") for target in refused), refused


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/backend-api/me"),
        ("GET", "/backend-api/conversations"),
        ("POST", "/backend-api/files"),
        ("POST", "/backend-api/codex/alpha/search"),
        ("GET", "/backend-api/codex/models/../../me"),
        ("GET", "/backend-api/codex/models/%2e%2e/%2e%2e/me"),
        ("DELETE", "/backend-api/codex/models"),
    ],
)
def test_other_addresses_are_refused(held, environment, method, path):
    """The real login is not sent there."""
    before = len(environment.openai.requests)
    token = held[0].login()["tokens"]["access_token"]
    status, _ = held[0].curl(f"https://chatgpt.com{path}", token, "--path-as-is", "-X", method)
    assert status == 403
    assert [each for each in environment.openai.requests[before:] if each.path == path] == []


def test_the_containers_have_what_they_should(held, running, caller):
    """The container with the lock has the login; the audit says so."""
    for number, each in enumerate(held):
        mounts = {
            each: json.loads(docker("inspect", "-f", "{{json .Mounts}}", each)) for each in (each.agent, each.egress)
        }
        volume = running.appliance.resources.shards[number].volume
        assert volume not in {mount["Name"] for mount in mounts[each.agent]}
        assert volume in {mount["Name"] for mount in mounts[each.egress]}
        each.go_on()
        run = caller.wait(each.run_id)
        audit = json.loads(caller.artifact(run, "credential_audit.json"))
        assert volume not in audit["containers"]["agent"]["mounts"].values()
        assert volume in audit["containers"]["egress"]["mounts"].values()


# Quota


def shard_of(running, number=0):
    return running.appliance.resources.store.shards.get(number)


def test_the_quota_is_that_of_the_last_answer(environment, running, caller, slug):
    """The windows of the headers, with the exact end."""
    began = int(time.time())
    environment.openai.respond_with(ScriptedResponse(resets_in=7200))
    run = caller.wait(caller.submit(slug, TEXT, shard=0))
    assert run["status"] == "succeeded", run["failure"]
    short, long = shard_of(running).quota
    assert (short.window_minutes, long.window_minutes) == (300, 10_080)
    assert began + 7200 <= short.resets_at.timestamp() <= time.time() + 7200
    assert short.resets_at.microsecond == 0
    assert shard_of(running).last_turn_at is not None


def test_a_limit_ends_to_the_second(environment, running, caller, slug):
    """The run waits until the time in OpenAI's answer, and no longer. It continues then by itself."""
    account = environment.openai.accounts[shard_account(environment, running, 0)]
    environment.openai.respond_with(
        ScriptedResponse(ResponseKind.USAGE_LIMIT, resets_in=12), phase="speckit-plan", times=1
    )
    run_id = caller.submit(slug, TEXT, shard=0)
    waits = caller.wait(run_id, until=lambda run: run["waiting_for"] is not None)
    until = datetime.fromtimestamp(environment.openai._model.limited_until(account), UTC)
    assert waits["waiting_for"]["reason"] == "quota"
    assert datetime.fromisoformat(waits["waiting_for"]["until"]) == until
    assert shard_of(running).cooldown_until == until
    run = caller.wait(run_id)
    assert run["status"] == "succeeded", run["failure"]
    began = next(phase["started_at"] for phase in run["phases"] if phase["phase"] == "speckit_plan")
    assert datetime.fromisoformat(began) >= until


def shard_account(environment, running, shard):
    """The number of the account that a shard is signed in to."""
    emails = [account.email for account in environment.openai.accounts]
    return emails.index(shard_of(running, shard).account_email)


def test_the_usage_that_openai_reports_is_recorded(held, running, caller):
    """Exactly as `wham/usage` answered it."""
    status, body = held[0].curl(USAGE, held[0].login()["tokens"]["access_token"])
    assert status == 200
    short = json.loads(body)["rate_limit"]["primary_window"]
    docker("exec", held[0].agent, "sh", "-c", "kill -9 $(pgrep -f 'codex exec' || pidof codex)")
    run = caller.wait(held[0].run_id)
    assert run["status"] == "failed"
    known = shard_of(running).quota[0]
    assert (known.used_percent, known.resets_at.timestamp()) == (short["used_percent"], short["reset_at"])


# The login


def test_the_broker_renews_an_expired_login_during_a_turn(held, environment, running, caller):
    """Codex gets a 401, asks the broker for new tokens, and repeats the request. The run does not notice."""
    before, dummy = stored(held[0]), held[0].login()
    environment.openai.accounts.expire_access(environment.openai.accounts[shard_account(environment, running, 0)])
    held[0].go_on()
    run = caller.wait(held[0].run_id)
    assert run["status"] == "succeeded", run["failure"]
    after = json.loads(environment.stored_login(running, 0))
    assert after["tokens"]["refresh_token"] != before["tokens"]["refresh_token"]
    assert after["tokens"]["refresh_token"] != dummy["tokens"]["refresh_token"]
    known = shard_of(running)
    assert (known.login, known.last_refresh_at is not None) == (LoginState.PRESENT, True)
    assert running.appliance.resources.redactor.redact_text(f" {after['tokens']['refresh_token']} ").count("rt_") == 0


def test_a_renewal_is_finished_although_the_turn_ends(held, environment, running, caller):
    """OpenAI has ended the old tokens: the container is removed when the new ones are stored, not before."""
    accounts, begun = environment.openai.accounts, threading.Event()
    refresh = accounts.refresh

    def slow(token):
        tokens = refresh(token)
        begun.set()
        time.sleep(1.5)
        return tokens

    before, own = stored(held[0]), held[0].login()["tokens"]["access_token"]
    accounts.refresh = slow
    asking = threading.Thread(target=lambda: suppress_errors(held[0].curl, MODELS, own))
    try:
        accounts.expire_access(accounts[shard_account(environment, running, 0)])
        asking.start()
        assert begun.wait(20)
        docker("exec", held[0].agent, "sh", "-c", "kill -9 $(pidof codex)")
        assert caller.wait(held[0].run_id)["status"] == "failed"
    finally:
        accounts.refresh = refresh
        asking.join()
    after = json.loads(environment.stored_login(running, 0))
    assert after["tokens"]["refresh_token"] != before["tokens"]["refresh_token"]
    assert check_shard(running.appliance.resources, 0, renew=True).login is LoginState.PRESENT


def suppress_errors(call, *arguments):
    """The container may end meanwhile."""
    with suppress(subprocess.CalledProcessError):
        call(*arguments)


def test_the_agent_cannot_renew_the_real_login(held, environment):
    """Each refresh of its own login is answered by the broker; a foreign refresh token is refused."""
    refreshes = [each for each in environment.openai.requests if each.path == "/oauth/token"]
    own = held[0].login()["tokens"]
    for token, expected in ((own["refresh_token"], 200), ("rt_anything", 403)):
        body = json.dumps({"grant_type": "refresh_token", "refresh_token": token, "client_id": "x"})
        arguments = ["-X", "POST", "-H", "Content-Type: application/json", "-d", body]
        status, answer = held[0].curl("https://auth.openai.com/oauth/token", own["access_token"], *arguments)
        assert status == expected, answer
    assert [each for each in environment.openai.requests if each.path == "/oauth/token"] == refreshes


# Ends


def test_a_broker_that_is_killed_ends_the_turn_at_once(held, caller, environment):
    """Codex would retry for a minute. The run waits for the engine, and repeats the phase with a new broker."""
    docker("exec", held[0].egress, "python3", "-c", KILL)
    waits = caller.wait(held[0].run_id, until=lambda run: run["waiting_for"] is not None, seconds=20)
    assert waits["waiting_for"]["reason"] == "engine"
    environment.openai.respond_with(ScriptedResponse())
    run = caller.wait(held[0].run_id)
    assert run["status"] == "succeeded", run["failure"]
    assert [phase["attempt"] for phase in run["phases"] if phase["phase"] == "speckit_specify"] == [2]


@pytest.mark.timeout(300)
def test_a_killed_appliance_continues_the_run_after_a_restart(tmp_path):
    """Recovery removes the containers, also the one with the lock."""
    with RehearsalEnvironment(settings.load({}).settings, shards=1, login_broker=True) as environment:
        served = Served(environment, tmp_path / "serve.log").start()
        try:
            environment.sign_in_by(served.environment)
            slug = "journey/broker-killed"
            environment.github.add_repository(slug)
            with served.client() as client:
                caller = Caller(client)
                run_id = caller.submit(slug, TEXT)
                plan = "speckit_plan"
                caller.wait(
                    run_id,
                    until=lambda run: next(p for p in run["phases"] if p["phase"] == plan)["status"] == "running",
                )
                served.kill()
                served.start()
                run = caller.wait(run_id)
            assert run["status"] == "succeeded", run["failure"]
            (pull,) = environment.github.pull_requests(slug)
            folder = environment.github.git_folder(slug)
            assert git(folder, "rev-list", "--count", f"main..{pull.head}").strip() == "1"
            assert docker("ps", "--all", "--quiet", "--filter", f"label=moonmind.run={run_id}") == ""
        finally:
            served.close()
