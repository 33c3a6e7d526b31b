import socket
from urllib.parse import urlsplit

import httpx
import pytest

from moonmind_appliance.rehearsal.openai import StandInOpenAI


def _ask(openai: StandInOpenAI, head: bytes) -> bytes:
    address = urlsplit(openai.proxy_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(head)
        return connection.recv(4096).split(b"\r\n")[0]


def test_every_other_host_is_refused_and_recorded(openai: StandInOpenAI, client: httpx.Client) -> None:
    """Requests to other hosts do not leave the machine, and are recorded."""
    with pytest.raises(httpx.ProxyError, match="403"):
        client.get("https://telemetry.example/collect")
    assert openai.refused_hosts == ["telemetry.example:443"]


def test_a_simulated_host_on_another_port_is_refused(openai: StandInOpenAI) -> None:
    """Only port 443 is simulated."""
    assert _ask(openai, b"CONNECT chatgpt.com:22 HTTP/1.1\r\n\r\n") == b"HTTP/1.1 403 Forbidden"
    assert openai.refused_hosts == ["chatgpt.com:22"]


def test_a_request_other_than_connect_is_refused_and_recorded(openai: StandInOpenAI, client: httpx.Client) -> None:
    """Plain HTTP through the proxy is refused."""
    assert client.get("http://chatgpt.com/").status_code == 403
    assert openai.refused_hosts == ["GET http://chatgpt.com/"]


def test_each_host_serves_only_its_own_paths(client: httpx.Client) -> None:
    """The two hosts share a server, but not their paths."""
    assert client.get("https://auth.openai.com/backend-api/codex/models").status_code == 404
    assert client.post("https://chatgpt.com/oauth/token").status_code == 404


def test_a_tunnel_to_one_host_cannot_ask_for_an_unknown_one(client: httpx.Client) -> None:
    """A Host header that is not simulated gets 421."""
    assert client.get("https://chatgpt.com/", headers={"host": "elsewhere.example"}).status_code == 421
