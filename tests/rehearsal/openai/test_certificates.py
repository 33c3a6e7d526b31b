"""A certificate authority for the simulated hosts."""

import httpx
import pytest

from moonmind_appliance.rehearsal.openai import StandInOpenAI


@pytest.mark.parametrize("host", ["chatgpt.com", "auth.openai.com"])
def test_both_simulated_hosts_are_reachable_with_valid_certificates(client: httpx.Client, host: str) -> None:
    """A client verifies each host's certificate by name."""
    assert client.get(f"https://{host}/nothing-here").status_code == 404


def test_a_client_must_trust_the_stand_ins_authority(openai: StandInOpenAI) -> None:
    """With only the system's authorities the TLS handshake fails."""
    with (
        httpx.Client(proxy=openai.proxy_url, trust_env=False) as client,
        pytest.raises(httpx.ConnectError, match="certificate verify failed"),
    ):
        client.get("https://chatgpt.com/")
