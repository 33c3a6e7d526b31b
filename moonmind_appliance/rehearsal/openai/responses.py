"""chatgpt.com/backend-api/codex/responses: the model's API, over server-sent events.

Events, items, error bodies and quota headers are those that Codex CLI 0.169.0 reads.
"""

import asyncio
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import zstandard
from litestar import Request, Response, get, post
from litestar.handlers import BaseRouteHandler
from litestar.response import Stream

from moonmind_appliance.rehearsal.openai.accounts import Account, Accounts
from moonmind_appliance.rehearsal.openai.backend import Refused, caller
from moonmind_appliance.rehearsal.openai.model import Act, Say, Script, Situation, next_act
from moonmind_appliance.rehearsal.openai.response_script import Play, Programme, Scenario
from moonmind_appliance.rehearsal.openai.turns import Asked, Turn, is_played, read_request

_TOOL_SPACE, _TOOL = "functions", "exec"
_PRIMARY_MINUTES, _SECONDARY_MINUTES = 300, 10_080
_BYTES_A_TOKEN = 4
_BODY_LIMIT = 64 * 1024**2


class StreamDropped(Exception):
    """Ends a response's stream in the middle, and with it its connection."""


class ModelServer:
    """Answers requests to the model by the programme; `turns` may be read from any thread."""

    def __init__(self, accounts: Accounts, programme: Programme, think_seconds: float) -> None:
        self.accounts = accounts
        self._programme = programme
        self._think_seconds = think_seconds
        self._lock = threading.Lock()
        self._turns: dict[str, Turn] = {}
        self._limited_until: dict[str, int] = {}

    @property
    def turns(self) -> list[Turn]:
        """In order of their first request."""
        with self._lock:
            return list(self._turns.values())

    async def answer(self, account: Account, body: dict[str, Any], headers: dict[str, str]) -> Stream:
        """Answer one request.

        Raises:
            Refused: the scenario, or the request itself, ends it before a stream.
        """
        asked = read_request(body, headers)
        turn = self._turn(asked, account)
        await asyncio.sleep(self._think_seconds)
        self._refuse(turn)
        act = _act(asked, turn)
        quota = _quota_headers(self.used(account), turn.scenario)
        size = len(json.dumps(body))
        return Stream(self._stream(turn, act, size), media_type="text/event-stream", headers=quota)

    def _turn(self, asked: Asked, account: Account) -> Turn:
        with self._lock:
            turn = self._turns.get(asked.turn_id)
            if turn is None:
                phase = asked.skills[0] if len(asked.skills) == 1 else None
                turn = Turn(
                    turn_id=asked.turn_id or secrets.token_hex(8),
                    thread_id=asked.thread_id,
                    account=account,
                    model=asked.model,
                    skills=asked.skills,
                    offered_skills=asked.offered_skills,
                    prompt=asked.prompt,
                    scenario=self._programme.take(phase, account),
                    tools=asked.tools,
                )
                self._turns[turn.turn_id] = turn
            turn.requests += 1
            return turn

    def used(self, account: Account) -> float:
        """Used percentage of the account's short window; it grows with each turn."""
        with self._lock:
            turns = sum(1 for turn in self._turns.values() if turn.account == account)
        return min(99.0, 2.0 + turns * 1.5)

    def limited_until(self, account: Account) -> int:
        """When the account's used-up window resets, in epoch seconds; 0 if it was never used up."""
        with self._lock:
            return self._limited_until.get(account.account_id, 0)

    def _refuse(self, turn: Turn) -> None:
        """Raise the scenario's error answer, if it has one."""
        scenario, account = turn.scenario, turn.account
        match scenario.play:
            case Play.AGENT_FAILS:
                raise _error(400, "invalid_request_error", None, "This request cannot be answered.")
            case Play.USAGE_LIMIT:
                resets_at = int(time.time()) + scenario.resets_in
                with self._lock:
                    self._limited_until[account.account_id] = resets_at
                error = {
                    "type": "usage_limit_reached",
                    "message": "The usage limit has been reached",
                    "plan_type": account.plan_type,
                    "resets_at": resets_at,
                    "resets_in_seconds": scenario.resets_in,
                }
                raise Refused(429, {"error": error}, _quota_headers(100.0, scenario))
            case Play.USAGE_NOT_INCLUDED:
                error = {
                    "type": "usage_not_included",
                    "message": "Codex is not included in this plan.",
                    "plan_type": account.plan_type,
                }
                raise Refused(429, {"error": error})
            case Play.OVERLOADED:
                raise _error(503, "service_unavailable_error", "server_is_overloaded", "Try again later.")
            case Play.SERVER_ERRORS:
                raise _error(500, "server_error", None, "An error occurred while processing the request.")
            case Play.DEAD_LOGIN:
                self.accounts.sign_out(account)
                error = {"message": "Your authentication token has been invalidated.", "code": "token_invalidated"}
                raise Refused(401, {"error": error, "status": 401})
            case _:
                return

    async def _stream(self, turn: Turn, act: Act, request_size: int) -> AsyncIterator[bytes]:
        response = {"id": f"resp_{secrets.token_hex(16)}", "model": turn.model}
        yield _event("response.created", response=response)
        if turn.scenario.play is Play.SILENT:
            await asyncio.Event().wait()  # until the client disconnects or the stand-in stops
        if turn.scenario.play is Play.STREAM_DROPPED and turn.requests <= turn.scenario.drops:
            raise StreamDropped
        item = _item(act)
        yield _event("response.output_item.done", item=item, output_index=0)
        tokens_in, tokens_out = (size // _BYTES_A_TOKEN for size in (request_size, len(json.dumps(item))))
        usage = {
            "input_tokens": tokens_in,
            "input_tokens_details": {"cached_tokens": tokens_in // 2 if turn.requests > 1 else 0},
            "output_tokens": tokens_out,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": tokens_in + tokens_out,
        }
        if isinstance(act, Script):
            turn.tool_calls += 1
        else:
            turn.finished = True
        yield _event("response.completed", response={**response, "usage": usage})


def response_routes(model: ModelServer) -> list[BaseRouteHandler]:
    """The handlers of the model's address."""

    @get("/backend-api/codex/responses")
    async def web_socket() -> Response[Any]:
        # Codex tries a WebSocket first; this answer sends it to server-sent events at once.
        return Response({"detail": "Upgrade Required"}, status_code=426, headers={"upgrade": "websocket"})

    @post("/backend-api/codex/responses", status_code=200)
    async def responses(request: Request[Any, Any, Any]) -> Stream:
        account = caller(request, model.accounts)
        body = check(await request.body(), dict(request.headers))
        return await model.answer(account, body, dict(request.headers))

    @get("/backend-api/wham/usage")
    async def usage(request: Request[Any, Any, Any]) -> dict[str, Any]:
        account = caller(request, model.accounts)
        used, now = model.used(account), int(time.time())
        limited = max(0, model.limited_until(account) - now)
        windows = {
            name: {
                "used_percent": int(percent),
                "limit_window_seconds": minutes * 60,
                "reset_after_seconds": seconds,
                "reset_at": now + seconds,
            }
            for name, percent, minutes, seconds in (
                ("primary_window", 100 if limited else used, _PRIMARY_MINUTES, limited or 3600),
                ("secondary_window", used / 5, _SECONDARY_MINUTES, 4 * 24 * 3600),
            )
        }
        return {
            "plan_type": account.plan_type,
            "rate_limit": {"allowed": not limited, "limit_reached": bool(limited), **windows},
        }

    return [web_socket, responses, usage]


def check(raw: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """The request's JSON, unpacked.

    Raises:
        Refused: 400 or 415 for requests that the original refuses.
    """
    encoding = headers.get("content-encoding", "identity")
    if encoding == "zstd":
        try:
            raw = zstandard.ZstdDecompressor().stream_reader(raw).read(_BODY_LIMIT)
        except zstandard.ZstdError:
            raise Refused(400, {"detail": "The zstd body cannot be read"}) from None
    elif encoding != "identity":
        raise Refused(415, {"detail": f"Unsupported content encoding: {encoding}"})
    try:
        body = json.loads(raw)
    except ValueError:
        raise Refused(400, {"detail": "The body is no JSON"}) from None
    for wrong, detail in (
        (not isinstance(body, dict), "The body must be an object"),
        (not _get(body, "model"), "Field required: model"),
        (not str(_get(body, "model")).startswith("gpt-"), _unsupported(body)),
        (not isinstance(_get(body, "input"), list), "Input must be a list"),
        (_get(body, "store") is not False, "Store must be set to false"),
        (_get(body, "stream") is not True, "Stream must be set to true"),
    ):
        if wrong:
            raise Refused(400, {"detail": detail})
    checked: dict[str, Any] = body
    return checked


def _unsupported(body: object) -> str:
    return f"The '{_get(body, 'model')}' model is not supported when using Codex with a ChatGPT account."


def _get(body: object, key: str) -> Any:  # noqa: ANN401 - JSON
    return body.get(key) if isinstance(body, dict) else None


def _act(asked: Asked, turn: Turn) -> Act:
    """The model's action: it follows one known skill, and calls only tools that the request offers."""
    if turn.phase is None:
        return Say(f"I was given {len(turn.skills)} skills ({', '.join(turn.skills) or 'none'}) and need exactly one.")
    if not is_played(turn.phase):
        return Say(f"I do not know the skill {turn.phase}.")
    if f"{_TOOL_SPACE}.{_TOOL}" not in asked.tools:
        return Say(f"I was not offered the tool {_TOOL_SPACE}.{_TOOL}, so I could do nothing.")
    return next_act(Situation(turn.phase, turn.text, asked.today, asked.outputs, turn.scenario))


def _item(act: Act) -> dict[str, Any]:
    if isinstance(act, Script):
        return {
            "type": "custom_tool_call",
            "id": f"ctc_{secrets.token_hex(16)}",
            "status": "completed",
            "call_id": f"call_{secrets.token_hex(12)}",
            "namespace": _TOOL_SPACE,
            "name": _TOOL,
            "input": act.source,
        }
    return {
        "type": "message",
        "id": f"msg_{secrets.token_hex(16)}",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": act.text, "annotations": []}],
    }


def _event(name: str, **fields: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def _error(status: int, kind: str, code: str | None, message: str) -> Refused:
    return Refused(status, {"error": {"message": message, "type": kind, "param": None, "code": code}})


def _quota_headers(used: float, scenario: Scenario) -> dict[str, str]:
    now = int(time.time())
    return {
        "x-codex-active-limit": "codex",
        "x-codex-primary-used-percent": f"{used:g}",
        "x-codex-primary-window-minutes": str(_PRIMARY_MINUTES),
        "x-codex-primary-reset-at": str(now + scenario.resets_in),
        "x-codex-secondary-used-percent": f"{used / 5:g}",
        "x-codex-secondary-window-minutes": str(_SECONDARY_MINUTES),
        "x-codex-secondary-reset-at": str(now + 4 * 24 * 3600),
    }
