"""How a Codex turn went, from its events and its rollout's error code and usage windows.

Events and codes are those seen on 0.169.0.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any

from moonmind_appliance.agents.turn_output import Report, TurnOutput
from moonmind_appliance.agents.untrusted import Unreadable, as_code, as_count, as_object, as_text, as_window, read_json
from moonmind_appliance.in_container.codex_turn import NO_SKILL
from moonmind_appliance.models import AgentVerdict, ExecOutcome, QuotaWindow, TurnOutcome
from moonmind_appliance.redaction import ByteSink

# Longer lines are logged but not parsed: no relevant event is that long.
_LONGEST_EVENT = 4 * 1024 * 1024
_LONGEST_MESSAGE = 64 * 1024
_MOST_COUNTS = 16
_THREAD_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class CodexErrorKind(StrEnum):
    """Machine codes of a failed turn, as Codex writes them into its rollout file (`codex_error_info`)."""

    USAGE_LIMIT_EXCEEDED = "usage_limit_exceeded"
    UNAUTHORIZED = "unauthorized"
    SERVER_OVERLOADED = "server_overloaded"
    HTTP_CONNECTION_FAILED = "http_connection_failed"
    RESPONSE_TOO_MANY_FAILED_ATTEMPTS = "response_too_many_failed_attempts"
    INTERNAL_SERVER_ERROR = "internal_server_error"
    MODEL_NOT_FOUND = "model_not_found"
    INVALID_PROMPT = "invalid_prompt"
    CYBER_POLICY = "cyber_policy"
    BIO_POLICY = "bio_policy"
    MISALIGNMENT_POLICY_VIOLATION = "misalignment_policy_violation"
    CONTEXT_WINDOW_EXCEEDED = "context_window_exceeded"
    OTHER = "other"


# The verdicts that follow from the code alone.
_VERDICTS = {
    CodexErrorKind.UNAUTHORIZED: AgentVerdict.LOGIN_DEAD,
    CodexErrorKind.HTTP_CONNECTION_FAILED: AgentVerdict.UNREACHABLE,
    CodexErrorKind.RESPONSE_TOO_MANY_FAILED_ATTEMPTS: AgentVerdict.UNREACHABLE,
    CodexErrorKind.SERVER_OVERLOADED: AgentVerdict.UNREACHABLE,
    CodexErrorKind.INTERNAL_SERVER_ERROR: AgentVerdict.UNREACHABLE,
    CodexErrorKind.MODEL_NOT_FOUND: AgentVerdict.MODEL_UNAVAILABLE,
    CodexErrorKind.INVALID_PROMPT: AgentVerdict.TEXT_FLAGGED,
    CodexErrorKind.CYBER_POLICY: AgentVerdict.TEXT_FLAGGED,
    CodexErrorKind.BIO_POLICY: AgentVerdict.TEXT_FLAGGED,
    CodexErrorKind.MISALIGNMENT_POLICY_VIOLATION: AgentVerdict.TEXT_FLAGGED,
    CodexErrorKind.CONTEXT_WINDOW_EXCEEDED: AgentVerdict.CONTEXT_WINDOW_EXCEEDED,
}
# Codex has no code for these: it reports `other`, with OpenAI's response as the message.
_MODEL_REFUSED = re.compile(
    r"The '[^']{1,100}' model (?:is not supported when using Codex|requires a newer version of Codex)"
)
_CONTENT_FILTER = "Incomplete response returned, reason: content_filter"
_TOO_LARGE = {"http_status_code": 413}


class _Report(Report):
    """The line that `codex_turn` adds after Codex's output."""

    codex_error_info: Any = None
    rate_limits: Any = None
    limit_told: bool = False


class CodexReader(TurnOutput[_Report]):
    """Parses the output of `codex exec --json` line by line.

    Only `turn.completed` and `turn.failed` decide; an `error` may be followed by a retry.
    """

    def __init__(self, log: ByteSink) -> None:
        super().__init__(log, _Report)
        self._completed = False
        self._failed = ""
        self._last_error = ""
        self._message = ""
        self._thread_id: str | None = None
        self._usage: dict[str, int] = {}

    def _read(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            event = as_object(read_json(line, limit=_LONGEST_EVENT))
        except Unreadable:
            return
        match event.get("type"):
            case "thread.started":
                thread_id = as_text(event.get("thread_id"), longest=64)
                self._thread_id = thread_id if _THREAD_ID.fullmatch(thread_id) else None
            case "turn.completed":
                self._completed = True
                self._usage = dict(_counts(event.get("usage")))
            case "turn.failed":
                self._failed = _message(event.get("error")) or "the turn failed"
            case "error":
                self._last_error = _message(event)
            case "item.completed":
                item = as_object(event.get("item"))
                if item.get("type") == "agent_message":
                    self._message = as_text(item.get("text"), longest=_LONGEST_MESSAGE)

    def outcome(self, ended: ExecOutcome) -> TurnOutcome:
        """How the turn went."""
        self.close()
        report = self._report or _Report()
        quota, reached = quota_windows(report.rate_limits), _limit_reached(report.rate_limits)
        verdict = self._verdict(ended, report, reached)
        refused = verdict is AgentVerdict.PLAN_WITHOUT_CODEX
        return TurnOutcome(
            verdict=verdict,
            message=self._message if verdict is AgentVerdict.COMPLETED else _plain(self._failed or self._last_error),
            thread_id=self._thread_id,
            usage=self._usage,
            quota=quota,
            resets_at=_resets_at(quota) if verdict is AgentVerdict.QUOTA else None,
            limit=reached or "usage_not_included" if refused else None,
            advice=who_must_act(reached) if refused else "",
        )

    def _verdict(self, ended: ExecOutcome, report: _Report, reached: str) -> AgentVerdict:
        if self._completed and not self._failed and ended.ok:
            return AgentVerdict.COMPLETED
        if ended.exit_code == NO_SKILL:
            return AgentVerdict.SKILL_MISSING
        kind = _known(error_kind(report.codex_error_info))
        if kind == CodexErrorKind.USAGE_LIMIT_EXCEEDED:
            return AgentVerdict.QUOTA if _waiting_cures(report, reached) else AgentVerdict.PLAN_WITHOUT_CODEX
        if kind is None or kind is CodexErrorKind.OTHER:
            return _by_message(self._failed)
        if as_object(report.codex_error_info) == {CodexErrorKind.HTTP_CONNECTION_FAILED: _TOO_LARGE}:
            return AgentVerdict.CONTEXT_WINDOW_EXCEEDED
        return _VERDICTS.get(kind, AgentVerdict.FAILED)


def _known(kind: str | None) -> CodexErrorKind | None:
    return CodexErrorKind(kind) if kind in frozenset(CodexErrorKind) else None


def _by_message(message: str) -> AgentVerdict:
    """The verdict of a failure without a code.

    The agent can write any message, so the verdict may affect only what is reported.
    """
    if _MODEL_REFUSED.search(message):
        return AgentVerdict.MODEL_UNAVAILABLE
    return AgentVerdict.TEXT_FLAGGED if message.endswith(_CONTENT_FILTER) else AgentVerdict.FAILED


def _plain(message: str) -> str:
    """OpenAI's own sentence if Codex reports its whole response: `{"detail": …}` or `{"error": {"message": …}}`."""
    try:
        body = as_object(read_json(message.encode(), limit=_LONGEST_MESSAGE)) if message.startswith("{") else {}
    except Unreadable:
        return message
    error = as_object(body.get("error"))
    return as_text(body.get("detail") or error.get("message"), longest=_LONGEST_MESSAGE) or message


def _resets_at(quota: list[QuotaWindow]) -> datetime | None:
    resets = [w.resets_at for w in quota if w.used_percent >= 100 and w.resets_at]  # noqa: PLR2004 - per cent
    return max(resets, default=None)


def _limit_reached(limits: Any) -> str:  # noqa: ANN401 - any JSON value
    """The `rate_limit_reached_type` of a rollout's `rate_limits`; "" if there is none."""
    return as_code(as_object(limits).get("rate_limit_reached_type"))


def _waiting_cures(report: _Report, reached: str) -> bool:
    """Whether the limit ends by itself.

    Seen on 0.169.0: with `usage_limit_reached` Codex reports the windows right before the error, even if the response
    names none; with `usage_not_included` it reports none. Credits and limits that a workspace's owner set have
    `rate_limit_reached_type` `workspace_…`, even if a window is used up.
    """
    return report.limit_told and not reached.startswith("workspace_")


def _message(error: Any) -> str:  # noqa: ANN401 - any JSON value
    return as_text(error.get("message") if isinstance(error, dict) else error, longest=_LONGEST_MESSAGE)


def _counts(usage: Any) -> Iterator[tuple[str, int]]:  # noqa: ANN401 - any JSON value
    for name, value in list(as_object(usage).items())[:_MOST_COUNTS]:
        count = as_count(value)
        if as_code(name) and count is not None:
            yield name, count


def error_kind(info: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """The machine code of `codex_error_info`: a string, or an object whose only key is the code."""
    if isinstance(info, dict) and info:
        info = next(iter(info))
    return as_code(info) or None


def quota_windows(limits: Any) -> list[QuotaWindow]:  # noqa: ANN401 - any JSON value
    """The windows of a rollout's `rate_limits`; `resets_at` is in epoch seconds there."""
    windows = (as_object(as_object(limits).get(name)) for name in ("primary", "secondary"))
    found = (as_window(w.get("used_percent"), w.get("window_minutes"), w.get("resets_at")) for w in windows)
    return [window for window in found if window is not None]


def who_must_act(limit: str | None) -> str:
    """One sentence: which limit that does not end by itself was reached, and who can lift it."""
    return {
        "workspace_owner_credits_depleted": "The workspace has no credits left: its owner must buy credits.",
        "workspace_member_credits_depleted": "The workspace has no credits left: its owner must buy credits.",
        "workspace_owner_usage_limit_reached": "The workspace's spending limit is reached: its owner must raise it.",
        "workspace_member_usage_limit_reached": "This account's spending limit is reached: its administrator must "
        "raise it.",
    }.get(limit or "", "The account's ChatGPT plan does not include Codex: its owner must change the plan.")
