import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest

from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse, StandInOpenAI


def _can_connect(url: str) -> bool:
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname, address.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_free_port_is_used_and_released() -> None:
    """Port 0 selects a free port; after the stop nothing listens and no thread is left."""
    before = set(threading.enumerate())
    with StandInOpenAI("127.0.0.1") as openai:
        assert urlsplit(openai.proxy_url).port
        assert _can_connect(openai.proxy_url)
    assert not _can_connect(openai.proxy_url)
    assert set(threading.enumerate()) == before


def test_start_and_stop_are_safe_twice() -> None:
    """The second call of each does nothing."""
    openai = StandInOpenAI("127.0.0.1").start()
    url = openai.proxy_url
    assert openai.start().proxy_url == url
    openai.stop()
    openai.stop()


def test_an_address_of_another_machine_is_an_error_at_start() -> None:
    """The caller gets the error at once, and no thread is left."""
    openai = StandInOpenAI("192.0.2.1")
    before = set(threading.enumerate())
    with pytest.raises(OSError, match="assign requested address"):
        openai.start()
    assert set(threading.enumerate()) == before


def test_two_stand_ins_are_independent(client_of: Callable[[StandInOpenAI], httpx.Client]) -> None:
    """Each has its own port, certificate authority and tokens."""
    with StandInOpenAI("127.0.0.1") as one, StandInOpenAI("127.0.0.1") as other:
        assert one.proxy_url != other.proxy_url
        assert one.ca_pem != other.ca_pem
        token = one.accounts.sign_in(one.accounts[0]).access_token
        url, headers = "https://chatgpt.com/backend-api/codex/models", {"authorization": f"Bearer {token}"}
        assert client_of(one).get(url, headers=headers).status_code == 200
        assert client_of(other).get(url, headers=headers).status_code == 401


def test_an_open_stream_does_not_delay_the_stop(
    client_of: Callable[[StandInOpenAI], httpx.Client], model_request: Callable[..., dict[str, object]]
) -> None:
    """Silent turns end when the stand-in stops."""
    with StandInOpenAI("127.0.0.1", response=ScriptedResponse(ResponseKind.SILENT)) as openai:
        token = openai.accounts.sign_in(openai.accounts[0]).access_token
        with client_of(openai).stream(
            "POST",
            "https://chatgpt.com/backend-api/codex/responses",
            json=model_request(),
            headers={"authorization": f"Bearer {token}"},
        ) as response:
            assert next(response.iter_lines()) == "event: response.created"
            openai.stop()
            assert not _can_connect(openai.proxy_url)


def test_requests_are_recorded_with_host_path_and_status(openai: StandInOpenAI, client: httpx.Client) -> None:
    """A test can check what Codex requested."""
    client.get("https://chatgpt.com/backend-api/codex/models")
    assert openai.requests == [("GET", "chatgpt.com", "/backend-api/codex/models", 401)]
