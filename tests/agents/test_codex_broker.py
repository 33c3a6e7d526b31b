"""What the lines of the login broker prove. They are hostile input: the broker parses what others send."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moonmind_appliance.agents.codex_broker import LONGEST_LINE, CodexBroker
from moonmind_appliance.models import AgentVerdict, QuotaWindow, TurnOutcome

AT = 1_900_000_000
RESETS = AT + 4321
MODEL = "codex/responses"
ALIVE = {"account": {"result": {"account": {"type": "chatgpt"}}}, "refreshed": True}
DEAD = {"account": {"result": {"account": None}}, "refreshed": False, "refresh_error": "expired"}
UNKNOWN = {"account": {"error": {"message": "no route"}}, "refreshed": False}


def time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def headers(used: float, reset: int = RESETS, **more: str) -> dict[str, str]:
    return {
        "x-codex-primary-used-percent": f"{used:g}",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": str(reset),
        **more,
    }


def answer(status: int, body: Any = None, path: str = MODEL, **more: Any) -> dict[str, Any]:
    return {"broker": "answer", "path": path, "status": status, "at": AT, "body": json.dumps(body or {}), **more}


def limit(**error: Any) -> dict[str, Any]:
    return answer(429, {"error": {"type": "usage_limit_reached", **error}}, headers=headers(100))


def quota(used: float = 10) -> dict[str, Any]:
    return {"broker": "quota", "at": AT, "headers": headers(used)}


def renewed(report: dict[str, Any]) -> dict[str, Any]:
    return {"broker": "renewed", "at": AT, "report": report}


def reader(*lines: Any) -> CodexBroker:
    broker = CodexBroker()
    for line in lines:
        broker.take(json.dumps(line).encode())
    return broker


def outcome(*lines: Any, verdict: AgentVerdict = AgentVerdict.FAILED, **reported: Any) -> TurnOutcome:
    return reader(*lines).outcome(TurnOutcome(verdict=verdict, **reported), 0)


# The start


def test_the_first_line_has_the_login_and_the_authority() -> None:
    """Later ones do not replace them."""
    made = {"ready": True, "broker": {"ca": "PEM", "login": '{"tokens": 1}'}}
    broker = reader({"target": "chatgpt.com:443"}, made, made | {"broker": {"ca": "other", "login": "other"}})
    assert broker.login is not None
    assert (broker.login.authority, broker.login.login_file) == (b"PEM", b'{"tokens": 1}')
    assert broker.problem == ""


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"ca": "PEM"},
        {"ca": "", "login": "x"},
        {"ca": "é", "login": "x"},
        {"ca": "PEM", "login": "x" * 300_000},
    ],
)
def test_an_incomplete_login_is_none(said: Any) -> None:
    """The run then fails with a reason."""
    assert reader({"ready": True, "broker": said}).login is None


def test_the_broker_says_why_it_cannot_start() -> None:
    """The first sentence counts, and it is bounded."""
    assert reader({"broker_problem": "no login"}, {"broker_problem": "other"}).problem == "no login"
    assert len(reader({"broker_problem": "x" * 5000}).problem) == 500


# Limits


@pytest.mark.parametrize(
    ("error", "resets"),
    [
        ({"resets_at": RESETS + 60, "resets_in_seconds": 1}, RESETS + 60),
        ({"resets_in_seconds": 90}, AT + 90),
        ({}, RESETS),
        ({"resets_at": "soon", "resets_in_seconds": -1}, RESETS),
    ],
)
def test_the_end_of_a_limit_is_exact(error: dict[str, Any], resets: int) -> None:
    """From the body of the 429, else from its headers."""
    found = outcome(limit(**error))
    assert (found.verdict, found.resets_at, found.limit_reached) == (AgentVerdict.QUOTA, time(resets), True)
    assert found.quota == [QuotaWindow(100.0, 300, time(RESETS))]
    assert found.confirmed


def test_without_times_in_the_answer_the_usage_has_the_end_of_the_limit() -> None:
    """`wham/usage` has the windows, too."""
    window = {"used_percent": 100, "limit_window_seconds": 18_000, "reset_at": RESETS}
    usage = {"broker": "usage", "at": AT, "body": json.dumps({"rate_limit": {"primary_window": window}})}
    found = outcome(usage, answer(429, {"error": {"type": "usage_limit_reached"}}))
    assert (found.verdict, found.resets_at) == (AgentVerdict.QUOTA, time(RESETS))
    assert found.quota == [QuotaWindow(100.0, 300, time(RESETS))]


@pytest.mark.parametrize(("used", "verdict"), [(100, AgentVerdict.QUOTA), (99, AgentVerdict.FAILED)])
def test_a_limit_whose_body_cannot_be_read_is_known_by_its_headers(used: float, verdict: AgentVerdict) -> None:
    """An agent can ask for a compressed body. Another 429 without a body is no limit."""
    assert outcome(answer(429, headers=headers(used)) | {"body": "\x1f\x8b"}).verdict is verdict


def test_a_limit_counts_although_the_turn_completed() -> None:
    """The agent decides what it reports, not what OpenAI answered."""
    found = outcome(limit(resets_at=RESETS), verdict=AgentVerdict.COMPLETED)
    assert (found.verdict, found.limit_reached, found.resets_at) == (AgentVerdict.COMPLETED, True, time(RESETS))


def test_an_answer_of_the_model_ends_a_limit() -> None:
    """Codex may have waited for it."""
    found = outcome(limit(), quota(), verdict=AgentVerdict.FAILED)
    assert (found.verdict, found.limit_reached, found.resets_at) == (AgentVerdict.FAILED, False, None)


@pytest.mark.parametrize(
    ("error", "more", "limit_code"),
    [
        ("usage_not_included", {}, "usage_not_included"),
        ("usage_limit_reached", {"x-codex-rate-limit-reached-type": "workspace_owner_credits_depleted"}, None),
    ],
)
def test_a_limit_that_does_not_end_refuses_the_account(
    error: str, more: dict[str, str], limit_code: str | None
) -> None:
    """The advice says who can lift it."""
    found = outcome(answer(429, {"error": {"type": error}}, headers=headers(10) | more))
    assert found.verdict is AgentVerdict.PLAN_WITHOUT_CODEX
    assert found.limit == (limit_code or "workspace_owner_credits_depleted")
    assert found.advice
    assert not found.limit_reached


def test_the_windows_are_the_last_that_were_reported() -> None:
    """Also those of an earlier turn."""
    broker = reader(quota(10), quota(20))
    since = broker.position()
    assert broker.outcome(TurnOutcome(verdict=AgentVerdict.COMPLETED), since).quota[0].used_percent == 20


def test_what_happened_before_the_turn_does_not_count() -> None:
    """Only the turn's own events decide."""
    broker = reader(limit(), renewed(DEAD))
    since = broker.position()
    assert broker.outcome(TurnOutcome(verdict=AgentVerdict.FAILED), since).verdict is AgentVerdict.FAILED
    assert broker.checks(since) == []


# The login


@pytest.mark.parametrize(
    ("rule", "lines", "verdict"),
    [
        ("the renewal was refused", [answer(401), renewed(DEAD), answer(401)], AgentVerdict.LOGIN_DEAD),
        ("refused before a request", [renewed(DEAD)], AgentVerdict.LOGIN_DEAD),
        ("refused, and not renewed", [answer(401)], AgentVerdict.FAILED),
        ("refused although it was renewed", [answer(401), renewed(ALIVE), answer(401)], AgentVerdict.FAILED),
        ("the renewal got no answer", [answer(401), renewed(UNKNOWN), answer(401)], AgentVerdict.UNREACHABLE),
        ("renewed, and it failed later", [answer(401), renewed(ALIVE), quota()], AgentVerdict.FAILED),
        ("renewed, and nothing else", [answer(401), renewed(ALIVE)], AgentVerdict.FAILED),
        ("renewed because of it", [renewed(ALIVE), answer(401, renewed=True)], AgentVerdict.FAILED),
        ("refused again", [renewed(ALIVE), answer(401, renewed=True), answer(401)], AgentVerdict.FAILED),
        ("another error after it", [answer(401), renewed(ALIVE), answer(500)], AgentVerdict.FAILED),
        ("refused on another path", [answer(401, path="wham/usage")], AgentVerdict.FAILED),
        ("the model's answer counts", [answer(500), answer(401, path="wham/usage")], AgentVerdict.FAILED),
    ],
)
def test_a_login_is_dead_by_the_brokers_evidence(rule: str, lines: list[Any], verdict: AgentVerdict) -> None:
    """What the agent's container reports is not evidence."""
    assert outcome(*lines, verdict=AgentVerdict.FAILED).verdict is verdict, rule


@pytest.mark.parametrize(
    ("lines", "doubtful"),
    [
        ([answer(401)], True),
        ([answer(401, path="wham/usage")], True),
        ([answer(401), quota()], False),
        ([renewed(ALIVE), answer(401)], False),
        ([answer(500)], False),
    ],
)
def test_a_refusal_that_the_broker_has_not_examined_asks_for_a_check(lines: list[Any], *, doubtful: bool) -> None:
    """The broker pauses between renewals."""
    assert outcome(*lines).login_doubtful is doubtful
    assert not outcome(*lines, verdict=AgentVerdict.COMPLETED).login_doubtful


@pytest.mark.parametrize("claimed", [AgentVerdict.QUOTA, AgentVerdict.LOGIN_DEAD, AgentVerdict.PLAN_WITHOUT_CODEX])
def test_a_claim_of_the_agents_container_is_ignored(claimed: AgentVerdict) -> None:
    """A hostile agent could otherwise disable a login for long."""
    made_up = [QuotaWindow(100.0, 300, time(RESETS))]
    found = outcome(quota(3), verdict=claimed, quota=made_up, resets_at=time(RESETS), limit="made_up", advice="x")
    assert (found.verdict, found.resets_at, found.limit, found.advice) == (AgentVerdict.FAILED, None, None, "")
    assert found.quota[0].used_percent == 3


def test_other_verdicts_of_the_agents_container_stay() -> None:
    """They say nothing about the login."""
    for verdict in set(AgentVerdict) - {AgentVerdict.QUOTA, AgentVerdict.LOGIN_DEAD, AgentVerdict.PLAN_WITHOUT_CODEX}:
        assert outcome(quota(), verdict=verdict, message="words").verdict is verdict


def test_a_challenge_says_nothing_about_the_login() -> None:
    """The content network answered, not OpenAI."""
    found = outcome(answer(403, challenge=True), verdict=AgentVerdict.LOGIN_DEAD)
    assert found.verdict is AgentVerdict.CHALLENGED
    assert outcome(answer(403)).verdict is AgentVerdict.FAILED


def test_the_checks_are_those_of_a_shards_check() -> None:
    """Alive, dead, or unknown."""
    checks = reader(renewed(ALIVE), renewed(DEAD), renewed(UNKNOWN), renewed({})).checks(0)
    assert [(check.alive, check.refreshed) for check in checks] == [
        (True, True),
        (False, False),
        (None, False),
        (None, False),
    ]


# Hostile lines


VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    10**400,
    1e308,
    "",
    "x",
    "\x00\x1b[2J\ud800",
    [],
    {},
    [[]],
    {"a": {}},
    "9" * 5000,
]


def test_no_value_of_a_line_is_an_error() -> None:
    """Each position of each line with each value; what cannot be read has no effect."""
    lines = [limit(resets_at=1), quota(), renewed(ALIVE), answer(403, challenge=True), {"ready": True, "broker": {}}]
    tried = 0
    for line in lines:
        for name in line:
            for value in VALUES:
                broker = CodexBroker()
                broker.take(json.dumps(line | {name: value}).encode())
                found = broker.outcome(TurnOutcome(verdict=AgentVerdict.FAILED), 0)
                assert found.resets_at is None or time(0) < found.resets_at < time(2**33)
                tried += 1
    assert tried > 200


def test_a_line_of_random_bytes_is_ignored() -> None:
    """As is a line that is too long, or not an object."""
    chosen = random.Random(1)  # noqa: S311 - repeatable
    broker = CodexBroker()
    for size in (0, 1, 10, 1000):
        broker.take(chosen.randbytes(size))
    for line in (b"[]", b"null", b'{"broker": "answer"}', b"[" * 10_000, b'{"a": "' + b"x" * LONGEST_LINE + b'"}'):
        broker.take(line)
    assert (broker.position(), broker.login, broker.problem) == (0, None, "")


def test_only_the_last_events_are_kept() -> None:
    """An agent can cause as many answers as it wants."""
    broker = reader(*[answer(500) for _ in range(1000)])
    assert broker.position() == 1000
    assert len(broker._after(0)) == 256
    assert broker.outcome(TurnOutcome(verdict=AgentVerdict.FAILED), 0).verdict is AgentVerdict.FAILED


def test_a_reset_in_seconds_counts_from_the_answer() -> None:
    """The machine that reads the line may do so later."""
    found = outcome(limit(resets_in_seconds=0.5))
    assert found.resets_at == time(AT) + timedelta(seconds=0.5)
