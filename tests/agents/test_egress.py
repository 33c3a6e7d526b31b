"""Network access of an agent's container."""

from pathlib import Path

import pytest

from moonmind_appliance.agents.egress import Egress
from moonmind_appliance.models.container_paths import AGENT_CA_FILE
from moonmind_appliance.settings import Settings


@pytest.mark.parametrize(
    ("egress", "names"),
    [
        (Egress(), set()),
        (Egress(https_proxy="http://p:1"), {"HTTPS_PROXY", "https_proxy"}),
        (Egress(no_proxy="a,b"), {"NO_PROXY", "no_proxy"}),
        (Egress(extra_ca=True), {"MOONMIND_EXTRA_CA", "AGENTS_CA", "SSL_CERT_FILE"}),
    ],
)
def test_only_what_is_configured_is_set(egress: Egress, names: set[str]) -> None:
    """In both spellings of the proxy, because programs read one or the other."""
    assert set(egress.environment("AGENTS_CA")) == names


def test_the_values_are_those_of_the_settings() -> None:
    """The bundle is outside the login volume, in the agent's HOME."""
    settings = Settings(agent_https_proxy="http://p:1", agent_no_proxy="internal", extra_ca_certs=Path("/etc/ca.pem"))
    environment = Egress.of(settings).environment("AGENTS_CA")
    assert (environment["HTTPS_PROXY"], environment["NO_PROXY"]) == ("http://p:1", "internal")
    assert environment["MOONMIND_EXTRA_CA"] == AGENT_CA_FILE
    assert environment["AGENTS_CA"] == environment["SSL_CERT_FILE"] == "/work/codex-home/ca.pem"
