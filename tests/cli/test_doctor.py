"""`doctor` as a command, and the addresses that containers reach."""

from collections.abc import Iterator

import pytest

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.environment import SLUG, RehearsalEnvironment
from tests.cli.terminal import Terminal


@pytest.fixture(scope="module")
def environment() -> Iterator[RehearsalEnvironment]:
    with RehearsalEnvironment(settings.load({}).settings, shards=1) as made:
        made.github.add_repository(SLUG)
        yield made


@pytest.mark.docker
@pytest.mark.image
def test_a_rehearsal_environment_lacks_only_a_login(environment: RehearsalEnvironment, terminal: Terminal) -> None:
    """Containers reach GitHub, and OpenAI through the proxy, with the operator's CA; no container is left."""
    here = environment.variables() | {"SPEC_WORKFLOW_GITHUB_REPOSITORY": SLUG, "MOONMIND_PORT": "1"}
    environment.data_dir.mkdir(mode=0o700, exist_ok=True)
    called = terminal.call("doctor", "--json", **here)
    grades = {finding["check"]: finding["grade"] for finding in called.json}
    assert grades.pop("login of shard 0") == "wrong"
    assert grades.pop("serve") == "note"
    assert set(grades.values()) == {"ok"}
    assert {name for name in grades if name.startswith("from containers: ")} == {
        f"from containers: {environment.github.server_url.removeprefix('http://')}",
        "from containers: auth.openai.com",
        "from containers: chatgpt.com",
    }
    assert called.code == 1
    assert environment.engine.containers({"moonmind.role": "doctor"}) == []
    assert environment.engine.volumes({"moonmind.role": "doctor"}) == []


@pytest.mark.docker
@pytest.mark.image
def test_a_missing_proxy_and_a_missing_ca(environment: RehearsalEnvironment, terminal: Terminal) -> None:
    """Each finding names the setting to check."""
    gone = environment.variables() | {"AGENT_HTTPS_PROXY": "http://127.0.0.1:9", "EXTRA_CA_CERTS": ""}
    found = {finding["check"]: finding for finding in terminal.call("doctor", "--json", **gone).json}
    assert found["from containers: chatgpt.com"]["grade"] == "wrong"
    assert "AGENT_HTTPS_PROXY" in found["from containers: chatgpt.com"]["to_do"]
    strange = environment.variables() | {"EXTRA_CA_CERTS": ""}
    found = {finding["check"]: finding for finding in terminal.call("doctor", "--json", **strange).json}
    assert found["from containers: chatgpt.com"]["to_do"].startswith("Set EXTRA_CA_CERTS")


@pytest.mark.docker
@pytest.mark.image
def test_answers_through_a_login_broker_are_compared(environment: RehearsalEnvironment, terminal: Terminal) -> None:
    """With the real Codex, directly and through the broker: the operator should turn it on. No turn is done."""
    environment.sign_in_by(environment.variables())
    turns = len(environment.openai.turns)
    here = environment.variables() | {"MOONMIND_PORT": "1"}
    found = {finding["check"]: finding for finding in terminal.call("doctor", "--broker", "--json", **here).json}
    assert found["login broker: wham/usage"]["grade"] == found["login broker: codex/models"]["grade"] == "ok"
    assert found["login broker"]["to_do"] == "Set LOGIN_BROKER=true and restart."
    assert len(environment.openai.turns) == turns
    asked = [each.path.rpartition("/backend-api/")[2] for each in environment.openai.requests if each.status == 200]
    assert asked.count("wham/usage") >= 2
    assert asked.count("codex/models") >= 2
    assert environment.engine.containers({"moonmind.role": "doctor"}) == []


def test_offline_sends_no_request(terminal: Terminal) -> None:
    """The output is a table; a problem gives exit code 1."""
    called = terminal.call("doctor", "--offline", DOCKER_HOST=f"unix://{terminal.home}/none.sock")
    assert called.code == 1
    assert "✖  Docker engine" in called.stdout
    assert "!  logins         Not checked: that needs the Docker engine and the job image." in called.stdout
    assert "login-shard" not in called.stdout
    assert "checks found a problem." in called.stdout
    assert not terminal.data_dir.exists()


def test_settings_that_cannot_be_used_are_findings(terminal: Terminal) -> None:
    """Each invalid setting is a finding, with what to do."""
    called = terminal.call("doctor", "--json", MOONMIND_PORT="x", CODEX_SHARDS="0")
    assert called.code == 1
    assert [finding["check"] for finding in called.json] == ["setting MOONMIND_PORT", "setting CODEX_SHARDS"]
