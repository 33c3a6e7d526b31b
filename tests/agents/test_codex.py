"""How Codex's turns and checks are judged: by codes, never by sentences."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from moonmind_appliance.agents.codex import Codex
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
    reader = Codex().reader(log)
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
    """The sentence is the same in all of them."""
    outcome = turn(FAILED, report=report)
    assert (outcome.verdict, outcome.limit) == (verdict, limit), rule


def test_a_limits_end_comes_from_the_window() -> None:
    """In UTC, of the windows that are used up alone."""
    windows = FULL | {"secondary": {"used_percent": 20.0, "window_minutes": 10_080, "resets_at": RESETS + 9999}}
    outcome = turn(FAILED, report={"codex_error_info": LIMIT, "rate_limits": windows, "limit_told": True})
    assert outcome.resets_at == datetime.fromtimestamp(RESETS, UTC)
    assert outcome.quota[0] == QuotaWindow(100.0, 300, datetime.fromtimestamp(RESETS, UTC))


def test_a_turn_that_worked_tells_its_windows() -> None:
    """How much is used is known before anything fails."""
    report = {"rate_limits": {"primary": {"used_percent": 91.5, "window_minutes": 300, "resets_at": RESETS}}}
    outcome = turn({"type": "turn.completed", "usage": {"output_tokens": 3}}, report=report, exit_code=0)
    assert (outcome.verdict, outcome.quota[0].used_percent) == (AgentVerdict.COMPLETED, 91.5)


# The check


def answer(result: Any = None, error: Any = None) -> dict[str, Any]:
    return {"id": 2, "result": result} if error is None else {"id": 2, "error": error}


ACCOUNT = {"account": {"type": "chatgpt", "email": "a@example.org"}}
WINDOWS = {"rateLimits": {"primary": {"usedPercent": 12, "windowDurationMins": 300, "resetsAt": RESETS}}}


@pytest.mark.parametrize(
    ("rule", "printed", "alive", "refreshed"),
    [
        ("renewed", {"account": answer(ACCOUNT), "refreshed": True}, True, True),
        ("renewed, then cut off", {"account": {}, "refreshed": True}, True, True),
        ("good, but not renewed", {"account": answer(ACCOUNT), "refreshed": False}, True, False),
        ("refused", {"account": answer({"account": None}), "refreshed": False}, False, False),
        ("no network", {"account": answer(error={"code": -32603, "message": "no route"})}, None, False),
        ("ended early", {"problem": "ended"}, None, False),
    ],
)
def test_what_a_check_says(rule: str, printed: dict[str, Any], alive: bool | None, *, refreshed: bool) -> None:  # noqa: FBT001 - expected value
    """Alive, dead or unknown."""
    check = Codex().read_check(json.dumps(printed).encode())
    assert (check.alive, check.refreshed) == (alive, refreshed), rule


@pytest.mark.parametrize("printed", [b"", b"Killed\n", b"[]", b'"x"', b'{"account": 3, "limits": []}'])
def test_a_check_that_printed_something_else_is_unknown(printed: bytes) -> None:
    """Never dead, never alive."""
    assert Codex().read_check(printed).alive is None


def test_a_check_tells_the_windows() -> None:
    """Of a living login; windows of a dead one say nothing."""
    report = {"account": answer(ACCOUNT), "refreshed": False, "limits": {"id": 3, "result": WINDOWS}}
    assert Codex().read_check(json.dumps(report).encode()).quota == [
        QuotaWindow(12.0, 300, datetime.fromtimestamp(RESETS, UTC))
    ]
    report["limits"] = answer(error={"code": -32603})
    assert Codex().read_check(json.dumps(report).encode()).quota is None


# The stored login


@pytest.mark.parametrize(
    ("content", "usable", "by_api_key"),
    [
        ({"tokens": {"access_token": "a", "refresh_token": "r"}}, True, False),
        ({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-1"}, True, True),
        ({"tokens": {"access_token": "a"}}, False, False),
        ({"tokens": None, "OPENAI_API_KEY": None}, False, False),
        ({}, False, False),
        ([], False, False),
        ("x", False, False),
    ],
)
def test_which_files_are_logins(content: Any, *, usable: bool, by_api_key: bool) -> None:
    """A ChatGPT login has both tokens; an API key stands alone."""
    facts = Codex().login_facts(json.dumps(content).encode())
    assert (facts.usable, facts.by_api_key) == (usable, by_api_key)
