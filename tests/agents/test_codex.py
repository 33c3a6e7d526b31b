"""How Codex is started."""

from itertools import pairwise

import pytest

from moonmind_appliance.agents.adapter import SKILLS, TurnRequest
from moonmind_appliance.agents.codex import INSTRUCTIONS, Codex
from moonmind_appliance.agents.egress import Egress
from moonmind_appliance.models import ExecSpec, PhaseName
from moonmind_appliance.models.container_paths import BROKERED_LOGIN_FILE, WORKSPACES
from tests.in_container.sent import job_of, program_of


def turn_of(codex: Codex, phase: PhaseName, text: str = "") -> tuple[dict[str, bytes], ExecSpec]:
    request = TurnRequest(phase=phase, workspace=f"{WORKSPACES}/r", text=text, time_limit=5, silence_limit=4)
    turn = codex.turn(request)
    return turn.files, turn.command


def test_a_text_goes_through_a_file_and_begins_with_the_phases_skill() -> None:
    """As an argument it would be limited to 128 KiB."""
    files, command = turn_of(Codex(), PhaseName.SPECKIT_SPECIFY, "$other-skill\n")
    job = job_of(command)
    assert program_of(command) == "codex_turn"
    assert files == {job["prompt_file"]: b"$speckit-specify\n\n$other-skill\n"}
    assert (command.time_limit, command.silence_limit) == (5, 4)


@pytest.mark.parametrize("phase", [PhaseName.SPECKIT_PLAN, PhaseName.SPECKIT_TASKS])
def test_a_turn_without_text_names_only_its_skill(phase: PhaseName) -> None:
    """It needs no file."""
    files, command = turn_of(Codex(), phase)
    assert files == {}
    assert job_of(command)["prompt"] == f"${SKILLS[phase]}"


def test_the_repositorys_own_configuration_is_not_trusted() -> None:
    """It could name a server to which Codex would send the login. The appliance's instructions are always given."""
    _, command = turn_of(Codex(model='a"b'), PhaseName.SPECKIT_PLAN)
    argv = job_of(command)["command"]
    values = [value for option, value in pairwise(argv) if option == "-c"]
    assert 'projects={"/work/runs/r/repo"={trust_level="untrusted"}}' in values
    assert 'model="a\\"b"' in values
    assert any(INSTRUCTIONS in value for value in values)
    assert argv[-1] == "-"


def test_behind_the_wall_what_codex_starts_gets_the_proxy_variables() -> None:
    """Codex hides its own variables from its tools. Without the proxy the tools would not get an answer."""
    feature = "specs/001-x"
    for egress, expected in ((Egress(wall=True), True), (Egress(https_proxy="http://p:1"), False)):
        request = TurnRequest(
            phase=PhaseName.SPECKIT_PLAN, workspace="/w", text="", feature=feature, time_limit=5, silence_limit=4
        )
        argv = job_of(Codex(egress=egress).turn(request).command)["command"]
        (policy,) = [value for value in argv if value.startswith("shell_environment_policy.set=")]
        assert ('HTTPS_PROXY="http://127.0.0.1:3128"' in policy) is expected
        assert f'="{feature}"' in policy or feature in policy


def test_the_hosts_are_those_of_the_addresses_and_of_api_keys() -> None:
    """Each host is an entry of the egress proxy's list. With a login broker there are no API keys."""
    codex = Codex()
    assert {f"https://{host}/" for host in codex.hosts()} == {*codex.addresses, "https://api.openai.com/"}
    assert {f"https://{host}/" for host in Codex(egress=Egress(broker=True)).hosts()} == set(codex.addresses)


def test_with_a_login_broker_the_turn_gets_its_login_and_authority() -> None:
    """Only the agent container has the variables: the login is not there, and others do not need the authority."""
    with_broker = Codex(egress=Egress(wall=True, broker=True))
    _, command = turn_of(with_broker, PhaseName.SPECKIT_PLAN)
    assert job_of(command)["login"] == BROKERED_LOGIN_FILE
    assert set(with_broker.brokered_environment()) == {"MOONMIND_EXTRA_CA", "CODEX_CA_CERTIFICATE", "SSL_CERT_FILE"}
    assert "CODEX_CA_CERTIFICATE" not in with_broker.environment()
    _, command = turn_of(Codex(), PhaseName.SPECKIT_PLAN)
    assert job_of(command)["login"] is None
    assert Codex().brokered_environment() == {}


def test_the_broker_renews_as_a_check_does() -> None:
    """With the same configuration, which names the server for the login's tokens."""
    check = job_of(ExecSpec(command=Codex().check_command()))
    assert Codex().broker_job() == check
    assert check["command"][:2] == ["codex", "app-server"]


def test_the_environment_contains_no_key_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API key would override the ChatGPT login."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert set(Codex().environment()) == {"HOME", "CODEX_HOME", "LANG", "TERM", "CODEX_SQLITE_HOME"}


@pytest.mark.parametrize(
    ("labels", "version", "pack"),
    [
        ({}, "unknown", "spec-kit unknown, unattended 1"),
        (
            {"moonmind.codex.version": "0.169.0", "moonmind.spec-kit.version": "1.2.3"},
            "0.169.0",
            "spec-kit 1.2.3, unattended 1",
        ),
    ],
)
def test_the_versions_are_those_of_the_image(labels: dict[str, str], version: str, pack: str) -> None:
    """An image without labels has unknown ones."""
    info = Codex().info(labels)
    assert (info.version, info.prompt_pack_version) == (version, pack)
