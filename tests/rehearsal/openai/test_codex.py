"""The real Codex CLI, in the job image, in the production configuration, against the stand-in."""

import json
import re
import uuid
from collections.abc import Iterator

import msgspec
import pytest

from moonmind_appliance.agents.adapter import AGENT_CA_FILE, AGENT_HOME, LOGIN_FOLDER, WORKSPACES, TurnRequest
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
from moonmind_appliance.rehearsal.openai import NORMAL, Play, Scenario, StandInOpenAI, feature_files

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


class Played(msgspec.Struct, frozen=True):
    outcome: TurnOutcome
    ended: ExecOutcome
    stdout: str


class Desk:
    """An agent container as a run has it, signed in, with a fresh repository for each test."""

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

    def play(self, phase: PhaseName, text: str = "", *, silence_limit: float = 60) -> Played:
        request = TurnRequest(phase=phase, workspace=WORKSPACE, text=text, time_limit=90, silence_limit=silence_limit)
        turn = self.codex.turn(request)
        for path, content in turn.files.items():
            self.engine.put_file(self.container, path, content)
        stdout, stderr = Sink(), Sink()
        reader = self.codex.reader(stdout)
        ended = self.engine.execute(self.container, turn.command, stdout=reader, stderr=stderr)
        reader.close()
        return Played(reader.outcome(ended), ended, stdout.data.decode())

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
def room() -> Iterator[Desk]:
    engine, name = DockerEngine(), f"test-openai-{uuid.uuid4().hex[:8]}"
    gateway = engine.ensure_network(name, LABELS)
    volumes = (f"{name}-runs", f"{name}-login")
    for volume in volumes:
        engine.ensure_volume(volume, LABELS)
    try:
        with StandInOpenAI(gateway) as openai:
            codex = Codex(egress=Egress(https_proxy=openai.proxy_url, extra_ca=True))
            spec = ContainerSpec(
                name=name,
                image=IMAGE,
                command=["sleep", "infinity"],
                labels=LABELS,
                limits=Limits(memory_bytes=2 * 1024**3, cpus=2, pids=512),
                network=name,
                env=codex.environment(),
                mounts=[Mount(volumes[0], WORKSPACES), Mount(volumes[1], LOGIN_FOLDER)],
                tmpfs={
                    "/tmp": "rw,exec,nosuid,nodev,size=1g,mode=1777",  # noqa: S108 - a path inside the container
                    AGENT_HOME: "rw,exec,nosuid,nodev,size=512m,mode=0700,uid=1000,gid=1000",
                },
                working_dir=WORKSPACES,
            )
            engine.start(spec)
            engine.put_file(name, AGENT_CA_FILE, openai.ca_pem)
            yield Desk(engine, openai, name, codex)
            assert openai.faults == []
            assert openai.refused_hosts == []
    finally:
        engine.remove(name)
        for volume in volumes:
            engine.remove_volume(volume)
        engine.remove_network(name)
        engine.close()


@pytest.fixture
def desk(room: Desk) -> Iterator[Desk]:
    if room.engine.read_file(room.container, f"{LOGIN_FOLDER}/auth.json", limit=10**6) is None:
        ended, stdout, stderr = room.login()
        assert ended.ok, stdout + stderr
    room.fresh_repository()
    room.openai.play(NORMAL)
    yield room
    room.openai.play(NORMAL)


def test_the_device_login_of_the_real_cli_works(room: Desk) -> None:
    """It shows address and code, and stores the account that was signed in."""
    before = len(room.openai.requests)
    ended, stdout, stderr = room.login()
    assert ended.ok, stderr
    plain = re.sub(r"\x1b\[[0-9;]*m", "", stdout)
    assert "https://auth.openai.com/codex/device" in plain
    assert re.search(r"^\s*[A-Z0-9]{4}-[A-Z0-9]{5}$", plain, re.MULTILINE)
    assert "Successfully logged in" in stderr
    facts = room.codex.login_facts(
        room.engine.read_file(room.container, f"{LOGIN_FOLDER}/auth.json", limit=10**6) or b""
    )
    assert facts.usable
    assert facts.email in {account.email for account in room.openai.accounts}
    assert [request.path for request in room.openai.requests[before:]][-3:] == [
        "/api/accounts/deviceauth/usercode",
        "/api/accounts/deviceauth/token",
        "/oauth/token",
    ]


def test_three_phases_write_a_whole_feature(desk: Desk) -> None:
    """Specification, plan and tasks by the skills' own scripts and real tool calls; exactly what the model means."""
    first = len(desk.openai.turns)
    for phase, text in ((SPECIFY, TEXT), (PLAN, ""), (TASKS, "")):
        played = desk.play(phase, text)
        assert played.outcome.verdict is AgentVerdict.COMPLETED, played.stdout
    today = re.search(r"\*\*Created\*\*: (\S+)", desk.files()["specs/001-health-page/spec.md"])
    assert today
    assert desk.files() == feature_files(TEXT, created=today[1])
    turns = desk.openai.turns[first:]
    assert [turn.phase for turn in turns] == ["speckit-specify", "speckit-plan", "speckit-tasks"]
    assert all(turn.finished and turn.tool_calls >= 2 for turn in turns)
    pointer = desk.shell(f"cat {WORKSPACE}/repo/.specify/feature.json")
    assert json.loads(pointer) == {"feature_directory": "specs/001-health-page"}


def test_the_text_arrives_byte_for_byte_with_one_skill_visible(desk: Desk) -> None:
    """256 KiB that name other skills, look like options, commands and markup."""
    text = "-rf --help $(id) `id` $speckit-tasks $speckit-plan <skill> '\"\\\r\n“ü” \x07"
    text += "\n- wish $speckit-implement ü\n" * 10_000
    played = desk.play(SPECIFY, text)
    turn = desk.openai.turns[-1]
    assert len(text.encode()) > 256 * 1024
    assert turn.text == text
    assert turn.skills == turn.offered_skills == ("speckit-specify",)
    assert played.outcome.verdict is AgentVerdict.COMPLETED


def test_usage_and_quota_reach_the_rollout(desk: Desk) -> None:
    """Tokens in the last event, both windows in the rollout file."""
    played = desk.play(SPECIFY, TEXT)
    assert played.outcome.usage["input_tokens"] > played.outcome.usage["output_tokens"] > 0
    assert [window.window_minutes for window in played.outcome.quota] == [300, 10_080]
    assert all(0 < window.used_percent < 100 and window.resets_at for window in played.outcome.quota)


def test_a_second_run_without_changes_leaves_the_tree_as_it_was(desk: Desk) -> None:
    """The feature is there already: all three phases complete, git sees nothing."""
    for phase, text in ((SPECIFY, TEXT), (PLAN, ""), (TASKS, "")):
        desk.play(phase, text)
    desk.shell(
        f"cd {WORKSPACE}/repo; rm .specify/feature.json; git add -A;"
        " git -c user.name=t -c user.email=t@rehearsal.example commit -qm base"
    )
    desk.openai.play(Scenario(Play.NO_CHANGES))
    for phase, text in ((SPECIFY, TEXT), (PLAN, ""), (TASKS, "")):
        assert desk.play(phase, text).outcome.verdict is AgentVerdict.COMPLETED
    assert desk.shell(f"cd {WORKSPACE}/repo; git status --porcelain") == ""


def test_open_questions_stay_in_the_specification(desk: Desk) -> None:
    """Two markers, for people to answer."""
    desk.openai.play(Scenario(Play.CLARIFICATIONS))
    desk.play(SPECIFY, TEXT)
    assert desk.files()["specs/001-health-page/spec.md"].count("[NEEDS CLARIFICATION: ") == 2


def test_a_left_template_is_the_repositorys_own(desk: Desk) -> None:
    """The turn completes, and the file is the unfilled template."""
    desk.openai.play(Scenario(Play.TEMPLATE_LEFT))
    for phase, text in ((SPECIFY, TEXT), (PLAN, ""), (TASKS, "")):
        assert desk.play(phase, text).outcome.verdict is AgentVerdict.COMPLETED
    for kind in ("spec", "plan", "tasks"):
        template = desk.shell(f"cat {WORKSPACE}/repo/.specify/templates/{kind}-template.md")
        assert desk.files()[f"specs/001-health-page/{kind}.md"] == template


@pytest.mark.parametrize(
    ("play", "verdict"),
    [
        (Play.AGENT_FAILS, AgentVerdict.FAILED),
        (Play.USAGE_LIMIT, AgentVerdict.QUOTA),
        (Play.USAGE_NOT_INCLUDED, AgentVerdict.PLAN_WITHOUT_CODEX),
        (Play.OVERLOADED, AgentVerdict.UNREACHABLE),
        (Play.STREAM_DROPPED, AgentVerdict.COMPLETED),
    ],
)
def test_a_bad_day_is_what_codex_reports(desk: Desk, play: Play, verdict: AgentVerdict) -> None:
    """The real CLI reads the stand-in's answers as it reads the original's."""
    desk.openai.play(Scenario(play, resets_in=600))
    played = desk.play(SPECIFY, TEXT)
    assert played.outcome.verdict is verdict, played.stdout
    assert played.ended.exit_code == (0 if verdict is AgentVerdict.COMPLETED else 1)
    assert (played.outcome.resets_at is not None) is (play is Play.USAGE_LIMIT)


def test_a_dead_login_is_told_apart(desk: Desk) -> None:
    """The refresh is refused, and Codex says to sign in again; its file stays."""
    desk.openai.play(Scenario(Play.DEAD_LOGIN))
    played = desk.play(SPECIFY, TEXT)
    assert played.outcome.verdict is AgentVerdict.LOGIN_DEAD
    assert "sign in again" in played.outcome.message
    desk.shell(f"rm {LOGIN_FOLDER}/auth.json")


def test_an_expired_token_is_refreshed_on_the_way(desk: Desk) -> None:
    """Once, and the turn goes on; the stored refresh token is a new one."""
    path = f"{LOGIN_FOLDER}/auth.json"
    before = desk.codex.secrets_of(desk.engine.read_file(desk.container, path, limit=10**6) or b"")
    for account in desk.openai.accounts:
        desk.openai.accounts.expire_access(account)
    assert desk.play(SPECIFY, TEXT).outcome.verdict is AgentVerdict.COMPLETED
    after = desk.codex.secrets_of(desk.engine.read_file(desk.container, path, limit=10**6) or b"")
    assert after["refresh_token"] != before["refresh_token"]


def test_a_leaking_agent_prints_the_login_and_a_careless_one_writes_a_secret(desk: Desk) -> None:
    """What redaction and the secret scan have to find."""
    desk.openai.play(Scenario(Play.LEAK_OUTPUT))
    printed = desk.play(SPECIFY, TEXT)
    stored = desk.engine.read_file(desk.container, f"{LOGIN_FOLDER}/auth.json", limit=10**6) or b""
    refresh_token = desk.codex.secrets_of(stored)["refresh_token"]
    assert refresh_token in printed.stdout
    assert refresh_token in printed.outcome.message
    scenario = Scenario(Play.LEAK_FILE)
    desk.openai.play(scenario)
    desk.play(SPECIFY, TEXT)
    assert scenario.secret in "".join(desk.files().values())


def test_a_hostile_agent_plants_what_it_promises(desk: Desk) -> None:
    """In its own container, as Codex's user, in the last phase."""
    desk.openai.play(Scenario(Play.HOSTILE), phase="speckit-tasks")
    for phase, text in ((SPECIFY, TEXT), (PLAN, ""), (TASKS, "")):
        assert desk.play(phase, text).outcome.verdict is AgentVerdict.COMPLETED
    assert desk.shell(f"cd {WORKSPACE}; ls -d planted-on-* repo/nested-repository/.git/evil/fsmonitor").count("\n") == 2
    desk.shell(f"cd {WORKSPACE}/repo; git status > /dev/null")
    host = desk.shell("hostname").strip()
    assert desk.shell(f"ls {WORKSPACE}").split().count(f"ran-fsmonitor-on-{host}") == 1


def test_a_silent_model_leaves_the_turn_without_output(desk: Desk) -> None:
    """The container engine's silence limit ends it, and its container: this test is the last one that uses it."""
    desk.openai.play(Scenario(Play.SILENT))
    played = desk.play(SPECIFY, TEXT, silence_limit=3)
    assert played.ended.ended.value == "silent"
    assert "turn.started" in played.stdout
