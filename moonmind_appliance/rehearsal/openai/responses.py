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
from moonmind_appliance.rehearsal.openai.model import Action, Message, ModelInput, ToolCall, next_action
from moonmind_appliance.rehearsal.openai.response_script import ResponseKind, ResponseScript, ScriptedResponse
from moonmind_appliance.rehearsal.openai.turns import ModelRequest, Turn, is_known_skill, read_request

_TOOL_SPACE, _TOOL = "functions", "exec"
_PRIMARY_MINUTES, _SECONDARY_MINUTES = 300, 10_080
_BYTES_A_TOKEN = 4
_FLAGGED = (
    "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a "
    "different prompt: https://platform.openai.com/docs/guides/reasoning#advice-on-prompting"
)
_TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."
_BODY_LIMIT = 64 * 1024**2


class StreamDropped(Exception):
    """Ends a response's stream in the middle, and with it its connection."""


class ModelServer:
    """Answers requests to the model as the response script says; `turns` may be read from any thread."""

    def __init__(self, accounts: Accounts, script: ResponseScript, think_seconds: float) -> None:
        self.accounts = accounts
        self._script = script
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
            Refused: the script asks for an error, or the request is not valid.
        """
        request = read_request(body, headers)
        turn = self._turn(request, account)
        await asyncio.sleep(self._think_seconds)
        self._refuse(turn)
        action = _action(request, turn)
        quota = _quota_headers(self.used(account), turn.scripted)
        size = len(json.dumps(body))
        return Stream(self._stream(turn, action, size), media_type="text/event-stream", headers=quota)

    def _turn(self, request: ModelRequest, account: Account) -> Turn:
        with self._lock:
            turn = self._turns.get(request.turn_id)
            if turn is None:
                phase = request.skills[0] if len(request.skills) == 1 else None
                turn = Turn(
                    turn_id=request.turn_id or secrets.token_hex(8),
                    thread_id=request.thread_id,
                    account=account,
                    model=request.model,
                    skills=request.skills,
                    offered_skills=request.offered_skills,
                    prompt=request.prompt,
                    scripted=self._script.take(phase, account),
                    tools=request.tools,
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
        """Raise the scripted error, if there is one."""
        scripted, account = turn.scripted, turn.account
        match scripted.kind:
            case ResponseKind.AGENT_FAILS:
                raise _error(400, "invalid_request_error", None, "This request cannot be answered.")
            case ResponseKind.MODEL_UNAVAILABLE:
                raise Refused(400, {"detail": _unsupported({"model": turn.model})})
            case ResponseKind.TEXT_FLAGGED:
                raise _error(400, "invalid_request_error", "invalid_prompt", _FLAGGED)
            case ResponseKind.USAGE_LIMIT:
                resets_at = int(time.time()) + scripted.resets_in
                with self._lock:
                    self._limited_until[account.account_id] = resets_at
                error = {
                    "type": "usage_limit_reached",
                    "message": "The usage limit has been reached",
                    "plan_type": account.plan_type,
                    "resets_at": resets_at,
                    "resets_in_seconds": scripted.resets_in,
                }
                raise Refused(429, {"error": error}, _quota_headers(100.0, scripted))
            case ResponseKind.USAGE_NOT_INCLUDED:
                error = {
                    "type": "usage_not_included",
                    "message": "Codex is not included in this plan.",
                    "plan_type": account.plan_type,
                }
                raise Refused(429, {"error": error})
            case ResponseKind.OVERLOADED:
                raise _error(503, "service_unavailable_error", "server_is_overloaded", "Try again later.")
            case ResponseKind.SERVER_ERRORS:
                raise _error(500, "server_error", None, "An error occurred while processing the request.")
            case ResponseKind.DEAD_LOGIN:
                self.accounts.sign_out(account)
                error = {"message": "Your authentication token has been invalidated.", "code": "token_invalidated"}
                raise Refused(401, {"error": error, "status": 401})
            case _:
                return

    async def _stream(self, turn: Turn, action: Action, request_size: int) -> AsyncIterator[bytes]:
        response = {"id": f"resp_{secrets.token_hex(16)}", "model": turn.model}
        yield _event("response.created", response=response)
        if turn.scripted.kind is ResponseKind.SILENT:
            await asyncio.Event().wait()  # until the client disconnects or the stand-in stops
        if turn.scripted.kind is ResponseKind.CONTEXT_EXCEEDED:
            error = {"code": "context_length_exceeded", "message": _TOO_LONG}
            yield _event("response.failed", response={**response, "status": "failed", "error": error})
            return
        if turn.scripted.kind is ResponseKind.STREAM_DROPPED and turn.requests <= turn.scripted.drops:
            raise StreamDropped
        item = _item(action)
        yield _event("response.output_item.done", item=item, output_index=0)
        tokens_in, tokens_out = (size // _BYTES_A_TOKEN for size in (request_size, len(json.dumps(item))))
        usage = {
            "input_tokens": tokens_in,
            "input_tokens_details": {"cached_tokens": tokens_in // 2 if turn.requests > 1 else 0},
            "output_tokens": tokens_out,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": tokens_in + tokens_out,
        }
        if isinstance(action, ToolCall):
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
        raise Refused(400, {"detail": "The body is not JSON"}) from None
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


def _action(request: ModelRequest, turn: Turn) -> Action:
    """The model's action: it follows one known skill, and calls only tools that the request offers."""
    if turn.phase is None:
        return Message(
            f"I was given {len(turn.skills)} skills ({', '.join(turn.skills) or 'none'}) and need exactly one."
        )
    if not is_known_skill(turn.phase):
        return Message(f"I do not know the skill {turn.phase}.")
    if f"{_TOOL_SPACE}.{_TOOL}" not in request.tools:
        return Message(f"I was not offered the tool {_TOOL_SPACE}.{_TOOL}, so I could do nothing.")
    return next_action(ModelInput(turn.phase, turn.text, request.today, request.outputs, turn.scripted))


def _item(action: Action) -> dict[str, Any]:
    if isinstance(action, ToolCall):
        return {
            "type": "custom_tool_call",
            "id": f"ctc_{secrets.token_hex(16)}",
            "status": "completed",
            "call_id": f"call_{secrets.token_hex(12)}",
            "namespace": _TOOL_SPACE,
            "name": _TOOL,
            "input": action.source,
        }
    return {
        "type": "message",
        "id": f"msg_{secrets.token_hex(16)}",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": action.text, "annotations": []}],
    }


def _event(name: str, **fields: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def _error(status: int, kind: str, code: str | None, message: str) -> Refused:
    return Refused(status, {"error": {"message": message, "type": kind, "param": None, "code": code}})


def _quota_headers(used: float, scripted: ScriptedResponse) -> dict[str, str]:
    now = int(time.time())
    return {
        "x-codex-active-limit": "codex",
        "x-codex-primary-used-percent": f"{used:g}",
        "x-codex-primary-window-minutes": str(_PRIMARY_MINUTES),
        "x-codex-primary-reset-at": str(now + scripted.resets_in),
        "x-codex-secondary-used-percent": f"{used / 5:g}",
        "x-codex-secondary-window-minutes": str(_SECONDARY_MINUTES),
        "x-codex-secondary-reset-at": str(now + 4 * 24 * 3600),
    }
