"""The real Codex CLI with a login broker: the broker's container has the login, the agent's has none and no network."""

import base64
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from moonmind_appliance.agents.adapter import TurnRequest
from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.agents.egress import Egress, listen_command
from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.in_container.ca_bundle import EXTRA_CA_VARIABLE
from moonmind_appliance.in_container.command import command
from moonmind_appliance.in_container.egress_rules import PROXY_VARIABLE
from moonmind_appliance.models import AgentVerdict, ContainerSpec, ExecSpec, Limits, Mount, PhaseName
from moonmind_appliance.models.container_paths import (
    AGENT_CA_FILE,
    AGENT_EGRESS_FOLDER,
    AGENT_HOME,
    GIT_FOLDER,
    LOGIN_FOLDER,
    WORKSPACES,
)
from moonmind_appliance.rehearsal.openai import NORMAL, Account, ResponseKind, ScriptedResponse, StandInOpenAI
from tests.in_container.sent import job_of

pytestmark = [pytest.mark.docker, pytest.mark.image]

IMAGE = "moonmind/spec-automation-job:latest"
LABELS = {"moonmind.test": "login-broker"}
WORKSPACE = f"{WORKSPACES}/test"
TEXT = "# Add a health page\n\nPeople see whether it is up.\n"
CA_FILE = f"{GIT_FOLDER}/extra-ca.pem"
SCRATCH = {
    "/tmp": "rw,exec,nosuid,nodev,size=256m,mode=1777",  # noqa: S108 - a path inside the container
    AGENT_HOME: "rw,exec,nosuid,nodev,size=512m,mode=0700,uid=1000,gid=1000",
}


class Lines:
    """What the broker prints. `ready` is set after the first line."""

    def __init__(self) -> None:
        self.data = b""
        self.ready = threading.Event()

    def write(self, data: bytes, /) -> None:
        self.data += data
        if b"\n" in self.data:
            self.ready.set()

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.data.splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.all() if line.get("broker") == kind]


class Sink:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> None:
        self.data += data


class Run:
    """A broker and an agent, in two containers."""

    def __init__(self, engine: DockerEngine, openai: StandInOpenAI, name: str) -> None:
        self.engine, self.openai, self.name = engine, openai, name
        self.agent, self.broker = f"{name}-agent", f"{name}-broker"
        self.lines, self.stderr = Lines(), Sink()
        self.codex = Codex(egress=Egress(wall=True, extra_ca=True))
        self.outside = Codex(egress=Egress(https_proxy=openai.proxy_url, extra_ca=True))

    def start(self) -> None:
        """Start the containers, sign in, and give the agent its dummy."""
        limits = Limits(memory_bytes=2 * 1024**3, cpus=2, pids=512)
        self.engine.start(
            ContainerSpec(
                name=self.broker,
                image=IMAGE,
                command=["sleep", "infinity"],
                labels=LABELS,
                limits=limits,
                network=self.name,
                env=self.outside.environment() | {EXTRA_CA_VARIABLE: CA_FILE},
                mounts=[Mount(f"{self.name}-socket", GIT_FOLDER), Mount(f"{self.name}-login", LOGIN_FOLDER)],
                tmpfs=SCRATCH,
            )
        )
        self.engine.put_file(self.broker, CA_FILE, self.openai.ca_pem)
        self.engine.put_file(self.broker, f"{LOGIN_FOLDER}/extra-ca.pem", self.openai.ca_pem)
        ended = self.execute(self.broker, self.outside.login_command(), env=self.outside.proxies())
        assert ended[0] == 0, ended
        self.engine.start(
            ContainerSpec(
                name=self.agent,
                image=IMAGE,
                command=listen_command("x.sock"),
                labels=LABELS,
                limits=limits,
                network=None,
                env=self.codex.environment() | self.codex.proxies(),
                mounts=[
                    Mount(f"{self.name}-runs", WORKSPACES),
                    Mount(f"{self.name}-socket", AGENT_EGRESS_FOLDER, read_only=True),
                ],
                tmpfs=SCRATCH,
                working_dir=WORKSPACES,
            )
        )
        check = job_of(ExecSpec(command=self.outside.check_command() or []))
        job = {
            "socket": f"{GIT_FOLDER}/x.sock",
            "seconds": 30,
            "hosts": ["chatgpt.com", "auth.openai.com"],
            "allow": [],
            "no_proxy": "",
            "ca_file": None,
            "idle_seconds": 60,
            "broker": {"command": check["command"], "seconds": 30, "ca_file": CA_FILE},
        }
        env = {PROXY_VARIABLE: self.openai.proxy_url, **self.outside.proxies()}
        spec = ExecSpec(command=command("login_broker", job), env=env, working_dir="/work")
        threading.Thread(
            target=lambda: self.engine.execute(self.broker, spec, stdout=self.lines, stderr=self.stderr), daemon=True
        ).start()
        assert self.lines.ready.wait(30), self.stderr.data
        made = self.lines.all()[0]["broker"]
        self.engine.put_file(self.agent, AGENT_CA_FILE, made["ca"].encode())
        self.shell(
            self.agent,
            f"mkdir -m 700 -p {LOGIN_FOLDER}; umask 077; cat > {LOGIN_FOLDER}/auth.json <<'X'\n{made['login']}\nX",
        )

    def execute(self, container: str, argv: list[str], **options: Any) -> tuple[int | None, str, str]:
        stdout, stderr = Sink(), Sink()
        ended = self.engine.execute(
            container, ExecSpec(command=argv, time_limit=90, **options), stdout=stdout, stderr=stderr
        )
        return ended.exit_code, stdout.data.decode(), stderr.data.decode()

    def shell(self, container: str, script: str) -> str:
        code, stdout, stderr = self.execute(container, ["bash", "-euc", script])
        assert code == 0, stderr
        return stdout

    def account(self) -> Account:
        """The account that is signed in."""
        facts = self.outside.login_facts(self.real_login())
        return next(account for account in self.openai.accounts if account.email == facts.email)

    def real_login(self) -> bytes:
        return self.engine.read_file(self.broker, f"{LOGIN_FOLDER}/auth.json", limit=10**6) or b""

    def turn(self) -> Any:
        """A turn of the agent in a new repository."""
        self.shell(
            self.agent,
            f"rm -rf {WORKSPACE}; mkdir -p {WORKSPACE}/repo; cd {WORKSPACE}/repo; git init -q;"
            " cp -R /opt/spec-kit/scaffold/. .",
        )
        request = TurnRequest(
            phase=PhaseName.SPECKIT_SPECIFY, workspace=WORKSPACE, text=TEXT, time_limit=90, silence_limit=60
        )
        turn = self.codex.turn(request)
        self.engine.put_files(self.agent, turn.files)
        stdout, stderr = Sink(), Sink()
        reader = self.codex.reader(stdout)
        ended = self.engine.execute(self.agent, turn.command, stdout=reader, stderr=stderr)
        reader.close()
        self.printed = stdout.data.decode() + stderr.data.decode()
        return reader.outcome(ended)


@contextmanager
def started() -> Iterator[Run]:
    """A run with everything that it needs; all of it is removed at the end."""
    engine, name = DockerEngine(), f"test-broker-{uuid.uuid4().hex[:8]}"
    gateway = engine.ensure_network(name, LABELS)
    volumes = [f"{name}-{each}" for each in ("runs", "login", "socket")]
    for volume in volumes:
        engine.ensure_volume(volume, LABELS)
    try:
        with StandInOpenAI(gateway) as openai:
            made = Run(engine, openai, name)
            made.start()
            yield made
            assert openai.internal_errors == []
            # Codex needs nothing that the broker refuses, whatever OpenAI answers.
            assert [line for line in made.lines.all() if line.get("outcome", "allowed") != "allowed"] == []
    finally:
        for container in (f"{name}-agent", f"{name}-broker"):
            engine.remove(container)
        for volume in volumes:
            engine.remove_volume(volume)
        engine.remove_network(name)
        engine.close()


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with started() as made:
        yield made


@pytest.fixture(autouse=True)
def normal(run: Run) -> Iterator[None]:
    """Each test begins with a model that answers."""
    run.openai.respond_with(NORMAL)
    yield
    run.openai.respond_with(NORMAL)


def test_a_turn_works_with_the_dummy(run: Run) -> None:
    """OpenAI gets only requests of Codex with the real login."""
    before = len(run.openai.requests)
    assert run.turn().verdict is AgentVerdict.COMPLETED, run.printed
    assert {exchange.status for exchange in run.openai.requests[before:]} == {200}
    assert run.lines.of("quota")


def test_an_expired_token_is_renewed_once_in_a_turn(run: Run) -> None:
    """Codex does not notice it; one real refresh reaches OpenAI, from the broker's container."""
    run.openai.accounts.expire_access(run.account())
    before, file = len(run.openai.requests), run.real_login()
    assert run.turn().verdict is AgentVerdict.COMPLETED, run.printed
    assert "401" not in run.printed
    refreshes = [each for each in run.openai.requests[before:] if each.path == "/oauth/token"]
    assert [each.status for each in refreshes] == [200]
    assert run.lines.of("renewed")[-1]["report"]["refreshed"] is True
    assert run.real_login() != file


def test_a_token_that_is_refused_in_a_turn_is_renewed_and_the_turn_goes_on() -> None:
    """Codex gets the refusal of its model request, refreshes its dummy, and repeats the request."""
    with started() as run:
        expiring = threading.Thread(target=expire_after_the_first_answer, args=(run,))
        expiring.start()
        outcome = run.turn()
        expiring.join()
        assert outcome.verdict is AgentVerdict.COMPLETED, run.printed
        model = [each.status for each in run.openai.requests if each.path == "/backend-api/codex/responses"]
        assert (model[0], model.count(401), model[-1]) == (200, 1, 200)
        (refused,) = run.lines.of("answer")
        assert (refused["path"], refused["renewed"]) == ("codex/responses", True)
        assert len(run.lines.of("renewed")) == 1


def expire_after_the_first_answer(run: Run) -> None:
    """As soon as the model has answered, its account's tokens are not valid any more."""
    waiting = threading.Event()
    for _ in range(30_000):
        if any(each.path == "/backend-api/codex/responses" for each in run.openai.requests):
            run.openai.accounts.expire_access(run.account())
            return
        waiting.wait(0.002)


def test_a_usage_limit_is_printed_with_its_body(run: Run) -> None:
    """With the time of OpenAI's answer, which is exact."""
    run.openai.respond_with(ScriptedResponse(ResponseKind.USAGE_LIMIT, resets_in=600))
    assert run.turn().verdict is AgentVerdict.QUOTA
    printed = run.lines.of("answer")[-1]
    assert (printed["path"], printed["status"]) == ("codex/responses", 429)
    error = json.loads(printed["body"])["error"]
    assert error["type"] == "usage_limit_reached"
    assert 0 <= error["resets_at"] - printed["at"] <= 600


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (ResponseKind.TEXT_FLAGGED, AgentVerdict.TEXT_FLAGGED),
        (ResponseKind.USAGE_NOT_INCLUDED, AgentVerdict.PLAN_WITHOUT_CODEX),
        (ResponseKind.OVERLOADED, AgentVerdict.UNREACHABLE),
        (ResponseKind.STREAM_DROPPED, AgentVerdict.COMPLETED),
    ],
)
def test_codex_reports_a_fault_as_without_a_broker(run: Run, kind: ResponseKind, verdict: AgentVerdict) -> None:
    """Refusals, errors and streams that break off reach it as they are."""
    run.openai.respond_with(ScriptedResponse(kind))
    assert run.turn().verdict is verdict, run.printed


def test_a_login_that_openai_ended_ends_the_turn() -> None:
    """Codex gets OpenAI's refusal of its refresh, and asks for a new sign-in, as it does without a broker."""
    with started() as run:
        run.openai.respond_with(ScriptedResponse(ResponseKind.DEAD_LOGIN))
        outcome = run.turn()
        assert outcome.verdict is AgentVerdict.LOGIN_DEAD, run.printed
        (renewed,) = run.lines.of("renewed")
        assert renewed["report"]["account"]["result"]["account"] is None
        assert [each.path for each in run.openai.requests].count("/oauth/token") == 2  # the sign-in, and one renewal


def test_the_agents_container_has_nothing_of_the_real_login(run: Run) -> None:
    """Not in a file, a variable or a command line, nor in the volume that both containers mount. Its dummy is found."""
    folders = f"{WORKSPACES} {AGENT_EGRESS_FOLDER} {AGENT_HOME} /tmp"
    script = f"cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline || true; find {folders} -type f -exec cat {{}} +"
    run.turn()
    found = base64.b64decode(run.shell(run.agent, f"({script}) 2> /dev/null | base64 -w0"))
    real, dummy = (json.loads(each)["tokens"] for each in (run.real_login(), run.lines.all()[0]["broker"]["login"]))
    for name in ("id_token", "access_token", "refresh_token"):
        parts = real[name].split(".")[1:] or [real[name]]
        assert [part for part in parts if part.encode() in found] == [], name
    assert dummy["access_token"].split(".")[2].encode() in found
