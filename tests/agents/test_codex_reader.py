"""How Codex's turns are judged: by codes; without a code by the message, and then only for what is reported."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from moonmind_appliance.agents.codex_reader import CodexReader, who_must_act
from moonmind_appliance.in_container.codex_turn import NO_SKILL
from moonmind_appliance.models import AgentVerdict, EndReason, ExecOutcome, QuotaWindow, TurnOutcome

RESETS = 1_900_000_000
FULL = {"primary": {"used_percent": 100.0, "window_minutes": 300, "resets_at": RESETS}, "secondary": None}
NO_WINDOWS = {"limit_id": "codex", "primary": None, "secondary": None, "rate_limit_reached_type": None}
LIMIT = "usage_limit_exceeded"


class Kept:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> None:
        self.data += data


def turn(*events: dict[str, Any], report: dict[str, Any] | None = None, exit_code: int = 1) -> TurnOutcome:
    log = Kept()
    reader = CodexReader(log)
    for event in events:
        reader.write(json.dumps(event).encode() + b"\n")
    reader.write(b"\n" + json.dumps({"type": "moonmind.report", **(report or {})}).encode() + b"\n")
    reader.close()
    assert b"moonmind.report" not in log.data
    return reader.outcome(ExecOutcome(EndReason.EXITED, exit_code, 1.0))


FAILED = {"type": "turn.failed", "error": {"message": "You\u2019ve hit your usage limit. Try again at 4:10 PM."}}


@pytest.mark.parametrize(
    ("rule", "report", "verdict", "limit"),
    [
        (
            "a used-up window",
            {"codex_error_info": LIMIT, "rate_limits": FULL, "limit_told": True},
            AgentVerdict.QUOTA,
            None,
        ),
        (
            "a limit whose answer named no window",
            {"codex_error_info": LIMIT, "rate_limits": NO_WINDOWS, "limit_told": True},
            AgentVerdict.QUOTA,
            None,
        ),
        ("a plan without Codex", {"codex_error_info": LIMIT}, AgentVerdict.PLAN_WITHOUT_CODEX, "usage_not_included"),
        (
            "a plan that ended behind turns that worked",
            {"codex_error_info": LIMIT, "rate_limits": {"primary": {"used_percent": 40.0, "resets_at": RESETS}}},
            AgentVerdict.PLAN_WITHOUT_CODEX,
            "usage_not_included",
        ),
        (
            "a workspace without credits",
            {
                "codex_error_info": LIMIT,
                "rate_limits": NO_WINDOWS | {"rate_limit_reached_type": "workspace_member_credits_depleted"},
                "limit_told": True,
            },
            AgentVerdict.PLAN_WITHOUT_CODEX,
            "workspace_member_credits_depleted",
        ),
        (
            "no credits is no limit",
            {
                "codex_error_info": LIMIT,
                "rate_limits": FULL
                | {"credits": {"has_credits": False}, "rate_limit_reached_type": "rate_limit_reached"},
                "limit_told": True,
            },
            AgentVerdict.QUOTA,
            None,
        ),
        ("a dead login", {"codex_error_info": "unauthorized"}, AgentVerdict.LOGIN_DEAD, None),
        ("a code in an object", {"codex_error_info": {"unauthorized": {}}}, AgentVerdict.LOGIN_DEAD, None),
        ("overloaded", {"codex_error_info": "server_overloaded"}, AgentVerdict.UNREACHABLE, None),
        ("a code of tomorrow", {"codex_error_info": "brand_new"}, AgentVerdict.FAILED, None),
        ("words alone", {}, AgentVerdict.FAILED, None),
    ],
)
def test_a_failed_turn(rule: str, report: dict[str, Any], verdict: AgentVerdict, limit: str | None) -> None:
    """The message is the same for all codes."""
    outcome = turn(FAILED, report=report)
    assert (outcome.verdict, outcome.limit) == (verdict, limit), rule


MODEL = "The 'gpt-9' model is not supported when using Codex with a ChatGPT account."

# Messages and codes as the CLI 0.169.0 wrote them for these responses of a stand-in.
REFUSED_TURNS = [
    ("other", json.dumps({"detail": MODEL}), AgentVerdict.MODEL_UNAVAILABLE, MODEL),
    (
        "other",
        json.dumps({"type": "error", "status": 400, "error": {"type": "invalid_request_error", "message": MODEL}}),
        AgentVerdict.MODEL_UNAVAILABLE,
        MODEL,
    ),
    ("other", "The 'gpt-9' model requires a newer version of Codex.", AgentVerdict.MODEL_UNAVAILABLE, None),
    ("model_not_found", "The model `gpt-9` does not exist", AgentVerdict.MODEL_UNAVAILABLE, None),
    ("invalid_prompt", "Invalid prompt: your prompt was flagged", AgentVerdict.TEXT_FLAGGED, None),
    ("cyber_policy", "flagged for possible cybersecurity risk.", AgentVerdict.TEXT_FLAGGED, None),
    ("bio_policy", "flagged for possible biological risk.", AgentVerdict.TEXT_FLAGGED, None),
    ("misalignment_policy_violation", "blocked by our safety systems.", AgentVerdict.TEXT_FLAGGED, None),
    (
        "other",
        "stream disconnected before completion: Incomplete response returned, reason: content_filter",
        AgentVerdict.TEXT_FLAGGED,
        None,
    ),
    ("context_window_exceeded", "Codex ran out of room", AgentVerdict.CONTEXT_WINDOW_EXCEEDED, None),
    (
        {"http_connection_failed": {"http_status_code": 413}},
        'unexpected status 413 Payload Too Large: {"detail":"Request too large"}',
        AgentVerdict.CONTEXT_WINDOW_EXCEEDED,
        None,
    ),
    ({"http_connection_failed": {"http_status_code": 403}}, "unexpected status 403", AgentVerdict.UNREACHABLE, None),
    (
        "other",
        json.dumps({"error": {"message": "string too long", "code": "x"}}),
        AgentVerdict.FAILED,
        "string too long",
    ),
    ("other", '{"detail": [1]}', AgentVerdict.FAILED, None),
    ("other", "{not JSON", AgentVerdict.FAILED, None),
    # A code decides before any sentence.
    ("unauthorized", MODEL, AgentVerdict.LOGIN_DEAD, None),
    ("server_overloaded", MODEL, AgentVerdict.UNREACHABLE, None),
]


@pytest.mark.parametrize(("info", "message", "verdict", "shown"), REFUSED_TURNS)
def test_a_refused_turn(info: object, message: str, verdict: AgentVerdict, shown: str | None) -> None:
    """Verdict and OpenAI's own sentence; no usage limit and no advice, so the login is not affected."""
    failed = {"type": "turn.failed", "error": {"message": message}}
    outcome = turn(failed, report={"codex_error_info": info})
    assert (outcome.verdict, outcome.message) == (verdict, shown or message)
    assert (outcome.limit, outcome.advice, outcome.resets_at) == (None, "", None)


def test_the_models_text_is_not_a_refusal() -> None:
    """Only the message of the failed turn counts, and only if the turn failed."""
    said = {"type": "item.completed", "item": {"type": "agent_message", "text": MODEL}}
    assert turn(said, FAILED, report={"codex_error_info": "other"}).verdict is AgentVerdict.FAILED
    completed = {"type": "turn.completed", "usage": {}}
    assert turn(said, completed, report={}, exit_code=0).verdict is AgentVerdict.COMPLETED


def test_a_limits_reset_time_comes_from_the_window() -> None:
    """In UTC, from the used-up windows only."""
    windows = FULL | {"secondary": {"used_percent": 20.0, "window_minutes": 10_080, "resets_at": RESETS + 9999}}
    outcome = turn(FAILED, report={"codex_error_info": LIMIT, "rate_limits": windows, "limit_told": True})
    assert outcome.resets_at == datetime.fromtimestamp(RESETS, UTC)
    assert outcome.quota[0] == QuotaWindow(100.0, 300, datetime.fromtimestamp(RESETS, UTC))


def test_a_successful_turn_reports_its_windows() -> None:
    """The usage is known before a limit is reached."""
    report = {"rate_limits": {"primary": {"used_percent": 91.5, "window_minutes": 300, "resets_at": RESETS}}}
    outcome = turn({"type": "turn.completed", "usage": {"output_tokens": 3}}, report=report, exit_code=0)
    assert (outcome.verdict, outcome.quota[0].used_percent) == (AgentVerdict.COMPLETED, 91.5)


def test_a_missing_skill_is_reported_by_its_exit_code() -> None:
    """The turn's program found no skill, and did not start Codex."""
    assert turn(exit_code=NO_SKILL).verdict is AgentVerdict.SKILL_MISSING


def test_a_refused_account_gets_advice_on_who_must_act() -> None:
    """Each limit that waiting does not resolve names the person who must act; other turns have no advice."""
    limits = NO_WINDOWS | {"rate_limit_reached_type": "workspace_member_credits_depleted"}
    refused = turn(FAILED, report={"codex_error_info": LIMIT, "rate_limits": limits})
    assert refused.advice == who_must_act("workspace_member_credits_depleted")
    assert "owner" in refused.advice
    assert turn(FAILED, report={"codex_error_info": "unauthorized"}).advice == ""
    assert len({who_must_act(limit) for limit in ("", "workspace_owner_usage_limit_reached", refused.limit)}) == 3
