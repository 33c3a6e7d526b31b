"""The real Codex CLI, in the job image, in the production configuration, against the stand-in."""

import json
import re
import uuid
from collections.abc import Iterator

import msgspec
import pytest

from moonmind_appliance.agents.adapter import TurnRequest
from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.agents.egress import Egress
from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.models import (
    AgentVerdict,
    ContainerSpec,
    ExecOutcome,
    ExecSpec,
    Limits,
    Mount,
    PhaseName,
    TurnOutcome,
)
from moonmind_appliance.models.container_paths import AGENT_CA_FILE, AGENT_HOME, LOGIN_FOLDER, WORKSPACES
from moonmind_appliance.rehearsal.openai import NORMAL, ResponseKind, ScriptedResponse, StandInOpenAI, feature_files

pytestmark = [pytest.mark.docker, pytest.mark.image]

IMAGE = "moonmind/spec-automation-job:latest"
LABELS = {"moonmind.test": "rehearsal-openai"}
WORKSPACE = f"{WORKSPACES}/test"
TEXT = "# Add a health page\n\nPeople see whether it is up.\n\n- Shows the version\n- Shows the uptime\n"
SPECIFY, PLAN, TASKS = PhaseName.SPECKIT_SPECIFY, PhaseName.SPECKIT_PLAN, PhaseName.SPECKIT_TASKS


class Sink:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> None:
        self.data += data


class FinishedTurn(msgspec.Struct, frozen=True):
    outcome: TurnOutcome
    ended: ExecOutcome
    stdout: str


class AgentContainer:
    """The agent container of a run, signed in, with a new repository for each test."""

    def __init__(self, engine: DockerEngine, openai: StandInOpenAI, container: str, codex: Codex) -> None:
        self.engine, self.openai, self.container, self.codex = engine, openai, container, codex

    def run(self, command: list[str], **options: object) -> tuple[ExecOutcome, str, str]:
        stdout, stderr = Sink(), Sink()
        spec = ExecSpec(command=command, time_limit=60, **options)  # type: ignore[arg-type]
        ended = self.engine.execute(self.container, spec, stdout=stdout, stderr=stderr)
        return ended, stdout.data.decode(), stderr.data.decode()

    def shell(self, script: str) -> str:
        ended, stdout, stderr = self.run(["bash", "-euc", script])
        assert ended.ok, stderr
        return stdout

    def login(self) -> tuple[ExecOutcome, str, str]:
        self.engine.put_file(self.container, f"{LOGIN_FOLDER}/extra-ca.pem", self.openai.ca_pem)
        return self.run(self.codex.login_command())

    def run_turn(self, phase: PhaseName, text: str = "", *, silence_limit: float = 60) -> FinishedTurn:
        request = TurnRequest(phase=phase, workspace=WORKSPACE, text=text, time_limit=90, silence_limit=silence_limit)
        turn = self.codex.turn(request)
        for path, content in turn.files.items():
            self.engine.put_file(self.container, path, content)
        stdout, stderr = Sink(), Sink()
        reader = self.codex.reader(stdout)
        ended = self.engine.execute(self.container, turn.command, stdout=reader, stderr=stderr)
        reader.close()
        return FinishedTurn(reader.outcome(ended), ended, stdout.data.decode())

    def fresh_repository(self) -> None:
        self.shell(
            f"rm -rf {WORKSPACE}; mkdir -p {WORKSPACE}/repo; cd {WORKSPACE}/repo; git init -q;"
            " cp -R /opt/spec-kit/scaffold/. ."
        )

    def files(self) -> dict[str, str]:
        listed = self.shell(f"cd {WORKSPACE}/repo; find specs -type f 2>/dev/null || true").split()
        found = {
            path: self.engine.read_file(self.container, f"{WORKSPACE}/repo/{path}", limit=10**6) for path in listed
        }
        return {path: (content or b"").decode() for path, content in found.items()}


@pytest.fixture(scope="module")
def agent_container() -> Iterator[AgentContainer]:
    engine, name = DockerEngine(), f"test-openai-{uuid.uuid4().hex[:8]}"
    gateway = engine.ensure_network(name, LABELS)
    volumes = (f"{name}-runs", f"{name}-login")
    for volume in volumes:
        engine.ensure_volume(volume, LABELS)
    try:
        with StandInOpenAI(gateway) as openai:
            egress = Egress(https_proxy=openai.proxy_url, extra_ca=True)
            codex = Codex(egress=egress)
            spec = ContainerSpec(
                name=name,
                image=IMAGE,
                command=["sleep", "infinity"],
                labels=LABELS,
                limits=Limits(memory_bytes=2 * 1024**3, cpus=2, pids=512),
                network=name,
                env=codex.environment() | egress.proxies(),
                mounts=[Mount(volumes[0], WORKSPACES), Mount(volumes[1], LOGIN_FOLDER)],
                tmpfs={
                    "/tmp": "rw,exec,nosuid,nodev,size=1g,mode=1777",  # noqa: S108 - a path inside the container
                    AGENT_HOME: "rw,exec,nosuid,nodev,size=512m,mode=0700,uid=1000,gid=1000",
                },
                working_dir=WORKSPACES,
            )
            engine.start(spec)
            engine.put_file(name, AGENT_CA_FILE, openai.ca_pem)
            yield AgentContainer(engine, openai, name, codex)
            assert openai.internal_errors == []
            assert openai.refused_hosts == []
    finally:
        engine.remove(name)
        for volume in volumes:
            engine.remove_volume(volume)
        engine.remove_network(name)
        engine.close()


@pytest.fixture
def agent(agent_container: AgentContainer) -> Iterator[AgentContainer]:
    if agent_container.engine.read_file(agent_container.container, f"{LOGIN_FOLDER}/auth.json", limit=10**6) is None:
        ended, stdout, stderr = agent_container.login()
        assert ended.ok, stdout + stderr
    agent_container.fresh_repository()
    agent_container.openai.respond_with(NORMAL)
    yield agent_container
    agent_container.openai.respond_with(NORMAL)


def test_the_device_login_of_the_real_cli_works(agent_container: AgentContainer) -> None:
    """It shows the address and the code, and stores the login of the account."""
    before = len(agent_container.openai.requests)
    ended, stdout, stderr = agent_container.login()
    assert ended.ok, stderr
    plain = re.sub(r"\x1b\[[0-9;]*m", "", stdout)
    assert "https://auth.openai.com/codex/device" in plain
    assert re.search(r"^\s*[A-Z0-9]{4}-[A-Z0-9]{5}$", plain, re.MULTILINE)
    assert "Successfully logged in" in stderr
    facts = agent_container.codex.login_facts(
        agent_container.engine.read_file(agent_container.container, f"{LOGIN_FOLDER}/auth.json", limit=10**6) or b""
    )
    assert facts.usable
    assert facts.email in {account.email for account in agent_container.openai.accounts}
    assert [request.path for request in agent_container.openai.requests[before:]][-3:] == [
        "/api/accounts/deviceauth/usercode",
        "/api/accounts/deviceauth/token",
        "/oauth/token",
    ]


def test_three_phases_write_a_whole_feature(agent: AgentContainer) -> None:
    """Specification, plan and tasks by the skills' own scripts and real tool calls; exactly the model's files."""
    first = len(agent.openai.turns)
    for phase, text in ((SPECIFY, TEXT), (PLAN, ""), (TASKS, "")):
        finished = agent.run_turn(phase, text)
        assert finished.outcome.verdict is AgentVerdict.COMPLETED, finished.stdout
    today = re.search(r"\*\*Created\*\*: (\S+)", agent.files()["specs/001-health-page/spec.md"])
    assert today
    assert agent.files() == feature_files(TEXT, created=today[1])
    turns = agent.openai.turns[first:]
    assert [turn.phase for turn in turns] == ["speckit-specify", "speckit-plan", "speckit-tasks"]
    assert all(turn.finished and turn.tool_calls >= 2 for turn in turns)
    pointer = agent.shell(f"cat {WORKSPACE}/repo/.specify/feature.json")
    assert json.loads(pointer) == {"feature_directory": "specs/001-health-page"}


@pytest.mark.parametrize("web_search", [False, True])
def test_a_web_search_is_offered_only_if_the_operator_allows_it(agent: AgentContainer, *, web_search: bool) -> None:
    """Codex sends a search through OpenAI, so no rule of the network prevents it. Image generation is never offered."""
    codex = Codex(egress=Egress(https_proxy=agent.openai.proxy_url, extra_ca=True), web_search=web_search)
    searching = AgentContainer(agent.engine, agent.openai, agent.container, codex)
    assert searching.run_turn(SPECIFY, TEXT).outcome.verdict is AgentVerdict.COMPLETED
    tools = agent.openai.turns[-1].tools
    assert "tools.exec_command" in tools
    assert ("tools.web__run" in tools) is web_search
    assert not any("image_gen" in tool for tool in tools)


def test_the_text_arrives_byte_for_byte_with_one_skill_visible(agent: AgentContainer) -> None:
    """256 KiB that contain names of other skills, options, commands and markup."""
    text = "-rf --help $(id) `id` $speckit-tasks $speckit-plan <skill> '\"\\\r\n“ü” \x07"
    text += "\n- requirement $speckit-implement ü\n" * 10_000
    finished = agent.run_turn(SPECIFY, text)
    turn = agent.openai.turns[-1]
    assert len(text.encode()) > 256 * 1024
    assert turn.text == text
    assert turn.skills == turn.offered_skills == ("speckit-specify",)
    assert finished.outcome.verdict is AgentVerdict.COMPLETED


def test_usage_and_quota_reach_the_rollout(agent: AgentContainer) -> None:
    """Tokens in the last event, both windows in the rollout file."""
    finished = agent.run_turn(SPECIFY, TEXT)
    assert finished.outcome.usage["input_tokens"] > finished.outcome.usage["output_tokens"] > 0
    assert [window.window_minutes for window in finished.outcome.quota] == [300, 10_080]
    assert all(0 < window.used_percent < 100 and window.resets_at for window in finished.outcome.quota)


def test_a_second_run_without_changes_leaves_the_tree_as_it_was(agent: AgentContainer) -> None:
    """The feature already exists: all three phases complete, and git reports no change."""
    for phase, text in ((SPECIFY, TEXT), (PLAN, ""), (TASKS, "")):
        agent.run_turn(phase, text)
    agent.shell(
        f"cd {WORKSPACE}/repo; rm .specify/feature.json; git add -A;"
        " git -c user.name=t -c user.email=t@rehearsal.example commit -qm base"
    )
    agent.openai.respond_with(ScriptedResponse(ResponseKind.NO_CHANGES))
    for phase, text in ((SPECIFY, TEXT), (PLAN, ""), (TASKS, "")):
        assert agent.run_turn(phase, text).outcome.verdict is AgentVerdict.COMPLETED
    assert agent.shell(f"cd {WORKSPACE}/repo; git status --porcelain") == ""


def test_open_questions_stay_in_the_specification(agent: AgentContainer) -> None:
    """Two markers for the reviewers."""
    agent.openai.respond_with(ScriptedResponse(ResponseKind.CLARIFICATIONS))
    agent.run_turn(SPECIFY, TEXT)
    assert agent.files()["specs/001-health-page/spec.md"].count("[NEEDS CLARIFICATION: ") == 2


def test_an_unfilled_template_is_the_repositorys_own(agent: AgentContainer) -> None:
    """The turn completes, and the file is the unfilled template."""
    agent.openai.respond_with(ScriptedResponse(ResponseKind.TEMPLATE_LEFT))
    for phase, text in ((SPECIFY, TEXT), (PLAN, ""), (TASKS, "")):
        assert agent.run_turn(phase, text).outcome.verdict is AgentVerdict.COMPLETED
    for kind in ("spec", "plan", "tasks"):
        template = agent.shell(f"cat {WORKSPACE}/repo/.specify/templates/{kind}-template.md")
        assert agent.files()[f"specs/001-health-page/{kind}.md"] == template


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (ResponseKind.AGENT_FAILS, AgentVerdict.FAILED),
        (ResponseKind.MODEL_UNAVAILABLE, AgentVerdict.MODEL_UNAVAILABLE),
        (ResponseKind.TEXT_FLAGGED, AgentVerdict.TEXT_FLAGGED),
        (ResponseKind.CONTEXT_EXCEEDED, AgentVerdict.CONTEXT_WINDOW_EXCEEDED),
        (ResponseKind.USAGE_LIMIT, AgentVerdict.QUOTA),
        (ResponseKind.USAGE_NOT_INCLUDED, AgentVerdict.PLAN_WITHOUT_CODEX),
        (ResponseKind.OVERLOADED, AgentVerdict.UNREACHABLE),
        (ResponseKind.STREAM_DROPPED, AgentVerdict.COMPLETED),
    ],
)
def test_codex_reports_each_fault(agent: AgentContainer, kind: ResponseKind, verdict: AgentVerdict) -> None:
    """The real CLI parses the stand-in's errors as it parses OpenAI's."""
    agent.openai.respond_with(ScriptedResponse(kind, resets_in=600))
    finished = agent.run_turn(SPECIFY, TEXT)
    assert finished.outcome.verdict is verdict, finished.stdout
    assert finished.ended.exit_code == (0 if verdict is AgentVerdict.COMPLETED else 1)
    assert (finished.outcome.resets_at is not None) is (kind is ResponseKind.USAGE_LIMIT)


def test_a_revoked_login_has_its_own_verdict(agent: AgentContainer) -> None:
    """The refresh is refused, and Codex asks for a new sign-in; the login file stays."""
    agent.openai.respond_with(ScriptedResponse(ResponseKind.DEAD_LOGIN))
    finished = agent.run_turn(SPECIFY, TEXT)
    assert finished.outcome.verdict is AgentVerdict.LOGIN_DEAD
    assert "sign in again" in finished.outcome.message
    agent.shell(f"rm {LOGIN_FOLDER}/auth.json")


def test_an_expired_token_is_refreshed_during_the_turn(agent: AgentContainer) -> None:
    """It is refreshed once and the turn continues; the stored refresh token is new."""
    path = f"{LOGIN_FOLDER}/auth.json"
    before = agent.codex.secrets_of(agent.engine.read_file(agent.container, path, limit=10**6) or b"")
    for account in agent.openai.accounts:
        agent.openai.accounts.expire_access(account)
    assert agent.run_turn(SPECIFY, TEXT).outcome.verdict is AgentVerdict.COMPLETED
    after = agent.codex.secrets_of(agent.engine.read_file(agent.container, path, limit=10**6) or b"")
    assert after["refresh_token"] != before["refresh_token"]


def test_a_leaking_agent_prints_the_login_and_a_careless_one_writes_a_secret(agent: AgentContainer) -> None:
    """Redaction and the secret scan must find these."""
    agent.openai.respond_with(ScriptedResponse(ResponseKind.LEAK_OUTPUT))
    printed = agent.run_turn(SPECIFY, TEXT)
    stored = agent.engine.read_file(agent.container, f"{LOGIN_FOLDER}/auth.json", limit=10**6) or b""
    refresh_token = agent.codex.secrets_of(stored)["refresh_token"]
    assert refresh_token in printed.stdout
    assert refresh_token in printed.outcome.message
    response = ScriptedResponse(ResponseKind.LEAK_FILE)
    agent.openai.respond_with(response)
    agent.run_turn(SPECIFY, TEXT)
    assert response.secret in "".join(agent.files().values())


def test_a_hostile_agent_plants_its_programs(agent: AgentContainer) -> None:
    """In its own container, as Codex's user, in the last phase."""
    agent.openai.respond_with(ScriptedResponse(ResponseKind.HOSTILE), phase="speckit-tasks")
    for phase, text in ((SPECIFY, TEXT), (PLAN, ""), (TASKS, "")):
        assert agent.run_turn(phase, text).outcome.verdict is AgentVerdict.COMPLETED
    assert (
        agent.shell(f"cd {WORKSPACE}; ls -d planted-on-* repo/nested-repository/.git/evil/fsmonitor").count("\n") == 2
    )
    agent.shell(f"cd {WORKSPACE}/repo; git status > /dev/null")
    host = agent.shell("hostname").strip()
    assert agent.shell(f"ls {WORKSPACE}").split().count(f"ran-fsmonitor-on-{host}") == 1


def test_a_silent_model_leaves_the_turn_without_output(agent: AgentContainer) -> None:
    """The engine's silence limit ends the turn and its container, so this test must be the last one."""
    agent.openai.respond_with(ScriptedResponse(ResponseKind.SILENT))
    finished = agent.run_turn(SPECIFY, TEXT, silence_limit=3)
    assert finished.ended.ended.value == "silent"
    assert "turn.started" in finished.stdout
