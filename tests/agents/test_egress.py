"""Network access of an agent's container."""

import json
from pathlib import Path

import pytest

from moonmind_appliance.agents.egress import Egress, listen_command, login_proxies, proxy_exec, proxy_files
from moonmind_appliance.in_container.egress_rules import PROXY_VARIABLE
from moonmind_appliance.models.container_paths import AGENT_CA_FILE, EGRESS_CA_FILE
from moonmind_appliance.settings import ProxyUrl, Settings
from tests.in_container.sent import job_of, program_of

PROXY = ProxyUrl("http://moon:word@p:1")


@pytest.mark.parametrize(
    ("egress", "names"),
    [
        (Egress(), set()),
        (Egress(https_proxy="http://p:1"), {"HTTPS_PROXY", "https_proxy"}),
        (Egress(no_proxy="a,b"), {"NO_PROXY", "no_proxy"}),
        (Egress(wall=True), {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"}),
    ],
)
def test_only_what_is_configured_is_set(egress: Egress, names: set[str]) -> None:
    """In both spellings of the proxy, because programs read one or the other."""
    assert set(egress.proxies()) == names


def test_the_authorities_have_the_agents_own_variable_too() -> None:
    """The bundle is outside the login volume, in the agent's HOME."""
    environment = Egress(extra_ca=True).environment("AGENTS_CA")
    assert set(environment) == {"MOONMIND_EXTRA_CA", "AGENTS_CA", "SSL_CERT_FILE"}
    assert environment["MOONMIND_EXTRA_CA"] == AGENT_CA_FILE
    assert environment["AGENTS_CA"] == environment["SSL_CERT_FILE"] == "/work/codex-home/ca.pem"
    assert Egress().environment("AGENTS_CA") == {}


def test_behind_the_wall_the_agent_gets_only_the_address_of_its_own_container() -> None:
    """It gets neither the operator's proxy nor its list of exceptions."""
    settings = Settings(agent_https_proxy=PROXY, agent_no_proxy="internal", extra_ca_certs=Path("/etc/ca.pem"))
    egress = Egress.of(settings)
    assert egress.extra_ca
    assert egress.proxies()["HTTPS_PROXY"] == egress.proxies()["HTTP_PROXY"] == "http://127.0.0.1:3128"
    assert egress.proxies()["NO_PROXY"] == "localhost,127.0.0.1,::1"


def test_without_the_wall_the_agent_gets_the_operators_proxy() -> None:
    """It gets no password: the settings refuse one without the wall, and the address never contains it."""
    settings = Settings(agent_wall=False, agent_https_proxy=PROXY, agent_no_proxy="internal")
    proxies = Egress.of(settings).proxies()
    assert (proxies["HTTPS_PROXY"], proxies["NO_PROXY"]) == ("http://p:1", "internal")


def test_commands_on_a_login_get_the_operators_proxy() -> None:
    """They get its password: no agent runs in their containers, and the engine does not show an exec's environment."""
    proxies = login_proxies(Settings(agent_https_proxy=PROXY, agent_no_proxy="internal"))
    assert (proxies["HTTPS_PROXY"], proxies["no_proxy"]) == ("http://moon:word@p:1", "internal")
    assert login_proxies(Settings()) == {}


def test_the_proxys_password_is_in_no_command() -> None:
    """The engine shows commands to all its clients."""
    settings = Settings(
        agent_https_proxy=PROXY, agent_egress_allow=("packages.example.com",), agent_no_proxy="internal"
    )
    spec = proxy_exec(settings, ("chatgpt.com",), "x.sock")
    job = job_of(spec)
    assert spec.env == {PROXY_VARIABLE: PROXY.reveal()}
    assert PROXY.reveal() not in json.dumps(spec.command)
    assert (job["hosts"], job["allow"], job["no_proxy"], job["ca_file"]) == (
        ["chatgpt.com"],
        ["packages.example.com"],
        "internal",
        None,
    )
    assert job["idle_seconds"] > settings.phase_silence_limit
    assert proxy_exec(Settings(), (), "x.sock").env == {}
    assert listen_command("x.sock")[-1].count("/x.sock") == 1


def test_a_login_broker_gets_what_a_check_of_a_login_gets(tmp_path: Path) -> None:
    """Codex's app server in its container renews the login: the operator's proxy and authorities are in the exec."""
    extra = tmp_path / "ca.pem"
    extra.write_bytes(b"authorities")
    settings = Settings(login_broker=True, agent_https_proxy=PROXY, extra_ca_certs=extra)
    spec = proxy_exec(settings, ("chatgpt.com",), "x.sock", {"command": ["codex"], "seconds": 30})
    assert program_of(spec) == "login_broker"
    assert job_of(spec)["broker"] == {"command": ["codex"], "seconds": 30, "ca_file": EGRESS_CA_FILE}
    assert spec.env == {PROXY_VARIABLE: PROXY.reveal(), "MOONMIND_EXTRA_CA": EGRESS_CA_FILE} | login_proxies(settings)
    assert proxy_files(settings, broker=True) == {EGRESS_CA_FILE: b"authorities"}
    assert PROXY.reveal() not in json.dumps(spec.command)
    bare = proxy_exec(Settings(login_broker=True), (), "x.sock", {})
    assert (job_of(bare)["broker"], bare.env) == ({"ca_file": None}, {})
    assert program_of(proxy_exec(settings, (), "x.sock")) == "egress_proxy"


@pytest.mark.parametrize(("url", "needed"), [("https://p:1", True), ("http://p:1", False)])
def test_the_authorities_are_needed_for_a_proxy_with_tls(tmp_path: Path, url: str, needed: bool) -> None:  # noqa: FBT001
    """Only then does the egress proxy itself use TLS with extra authorities."""
    extra = tmp_path / "ca.pem"
    extra.write_bytes(b"authorities")
    settings = Settings(agent_https_proxy=ProxyUrl(url), extra_ca_certs=extra)
    assert proxy_files(settings) == ({EGRESS_CA_FILE: b"authorities"} if needed else {})
    assert (job_of(proxy_exec(settings, (), "x"))["ca_file"] == EGRESS_CA_FILE) is needed
