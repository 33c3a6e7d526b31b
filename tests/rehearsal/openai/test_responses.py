import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import zstandard

from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse, StandInOpenAI

URL = "https://chatgpt.com/backend-api/codex/responses"
Body = Callable[..., dict[str, object]]
Ask = Callable[..., httpx.Response]


def _events(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = []
    for frame in answer.text.strip().split("\n\n"):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def _item(answer: httpx.Response) -> dict[str, object]:
    item = _events(answer)[1]["item"]
    assert isinstance(item, dict)
    return item


def _message(answer: httpx.Response) -> str:
    content = _item(answer)["content"]
    assert isinstance(content, list)
    text: str = content[0]["text"]
    return text


@pytest.fixture
def ask(client: httpx.Client, bearer: dict[str, str], model_request: Body) -> Ask:
    """A signed-in request to the model; the arguments are `model_request`'s."""
    return lambda *prompt, **changes: client.post(URL, json=model_request(*prompt, **changes), headers=bearer)


def test_a_websocket_request_falls_back_to_server_sent_events(client: httpx.Client, bearer: dict[str, str]) -> None:
    """426, which makes Codex fall back at once."""
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
    }
    assert client.get(URL, headers=bearer | upgrade).status_code == 426


def test_a_response_has_three_events(ask: Ask) -> None:
    """Created, item and completed, with the usage and the same id."""
    created, item, completed = _events(ask())
    assert [created["type"], item["type"], completed["type"]] == [
        "response.created",
        "response.output_item.done",
        "response.completed",
    ]
    assert created["response"]["id"] == completed["response"]["id"]
    usage = completed["response"]["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


def test_a_tool_is_called_in_the_form_of_the_default_model(ask: Ask) -> None:
    """JavaScript for the tool `exec` in the namespace `functions`."""
    item = _item(ask())
    assert (item["type"], item["namespace"], item["name"]) == ("custom_tool_call", "functions", "exec")
    assert "await tools.exec_command(" in str(item["input"])


def test_a_zstd_body_is_unpacked(
    openai: StandInOpenAI, client: httpx.Client, bearer: dict[str, str], model_request: Body
) -> None:
    """Codex compresses by default."""
    packed = zstandard.ZstdCompressor().compress(json.dumps(model_request("$speckit-specify\n\nü")).encode())
    headers = bearer | {"content-encoding": "zstd", "content-type": "application/json"}
    assert client.post(URL, content=packed, headers=headers).status_code == 200
    assert openai.turns[0].text == "ü"


@pytest.mark.parametrize(
    ("content", "encoding", "status"),
    [(b"no zstd", "zstd", 400), (b"{", "identity", 400), (b"[]", "identity", 400), (b"x", "br", 415)],
)
def test_a_body_that_cannot_be_read_is_refused(
    client: httpx.Client, bearer: dict[str, str], content: bytes, encoding: str, status: int
) -> None:
    """It is not an internal error of the stand-in."""
    headers = bearer | {"content-encoding": encoding, "content-type": "application/json"}
    assert client.post(URL, content=content, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"store": True}, "Store must be set to false"),
        ({"stream": False}, "Stream must be set to true"),
        ({"input": "text"}, "Input must be a list"),
        ({"model": "llama"}, "The 'llama' model is not supported when using Codex with a ChatGPT account."),
    ],
)
def test_a_request_that_the_original_refuses_is_refused(ask: Ask, changes: dict[str, object], detail: str) -> None:
    """With OpenAI's message."""
    answer = ask(**changes)
    assert (answer.status_code, answer.json()) == (400, {"detail": detail})


def test_the_model_requires_a_token_and_its_own_account(
    openai: StandInOpenAI, client: httpx.Client, bearer: dict[str, str], model_request: Body
) -> None:
    """As every route of that host does."""
    assert client.post(URL, json=model_request()).status_code == 401
    other = bearer | {"chatgpt-account-id": openai.accounts[1].account_id}
    assert client.post(URL, json=model_request(), headers=other).status_code == 403
    assert openai.turns == []


@pytest.mark.parametrize("skills", [(), ("speckit-specify", "speckit-tasks")])
def test_the_model_works_with_exactly_one_skill(openai: StandInOpenAI, ask: Ask, skills: tuple[str, ...]) -> None:
    """With none or two, the model explains that and writes no files."""
    answer = ask(skills=skills)
    assert f"I was given {len(skills)} skills" in _message(answer)
    assert openai.turns[0].phase is None
    assert openai.turns[0].tool_calls == 0


def test_the_model_needs_its_tool(client: httpx.Client, bearer: dict[str, str], model_request: Body) -> None:
    """It does not call a tool that was not offered."""
    body = model_request()
    items = body["input"]
    assert isinstance(items, list)
    answer = client.post(URL, json=body | {"input": items[1:]}, headers=bearer)
    assert "not offered the tool functions.exec" in _message(answer)


def test_quota_headers_come_with_each_answer(ask: Ask) -> None:
    """Codex writes them into its rollout file; they rise with each turn."""
    used = []
    for turn in ("1", "2"):
        answer = ask(turn_id=turn)
        used.append(float(answer.headers["x-codex-primary-used-percent"]))
        assert answer.headers["x-codex-primary-window-minutes"] == "300"
        assert answer.headers["x-codex-secondary-window-minutes"] == "10080"
    assert 0 < used[0] < used[1] < 100


def test_a_used_up_limit_reports_its_reset_time(openai: StandInOpenAI, ask: Ask) -> None:
    """Body and headers contain the same second."""
    openai.respond_with(ScriptedResponse(ResponseKind.USAGE_LIMIT, resets_in=600))
    answer = ask()
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["resets_in_seconds"]) == (429, "usage_limit_reached", 600)
    assert answer.headers["x-codex-primary-used-percent"] == "100"
    assert int(answer.headers["x-codex-primary-reset-at"]) == error["resets_at"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ResponseKind.AGENT_FAILS, (400, "invalid_request_error", None)),
        (ResponseKind.USAGE_NOT_INCLUDED, (429, "usage_not_included", None)),
        (ResponseKind.OVERLOADED, (503, "service_unavailable_error", "server_is_overloaded")),
        (ResponseKind.SERVER_ERRORS, (500, "server_error", None)),
        (ResponseKind.DEAD_LOGIN, (401, None, "token_invalidated")),
    ],
)
def test_each_fault_has_its_status_and_code(
    openai: StandInOpenAI, ask: Ask, kind: ResponseKind, expected: tuple[int, str | None, str | None]
) -> None:
    """As OpenAI responds."""
    openai.respond_with(ScriptedResponse(kind))
    answer = ask()
    error = answer.json()["error"]
    assert (answer.status_code, error.get("type"), error.get("code")) == expected


def test_a_stream_is_dropped_as_often_as_requested(openai: StandInOpenAI, ask: Ask) -> None:
    """After that the same request gets a complete response."""
    openai.respond_with(ScriptedResponse(ResponseKind.STREAM_DROPPED, drops=2))
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            ask()
    assert len(_events(ask())) == 3


def test_a_revoked_login_stays_revoked_until_the_next_sign_in(
    openai: StandInOpenAI, client: httpx.Client, model_request: Body, ask: Ask
) -> None:
    """The fault revokes the account's tokens."""
    openai.respond_with(ScriptedResponse(ResponseKind.DEAD_LOGIN), times=1)
    assert ask().status_code == 401
    assert ask(turn_id="turn-2").status_code == 401
    fresh = openai.accounts.sign_in(openai.accounts[0]).access_token
    answer = client.post(URL, json=model_request(turn_id="turn-2"), headers={"authorization": f"Bearer {fresh}"})
    assert answer.status_code == 200
