"""The four facts about a login, and when a check is due."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from moonmind_appliance.models import LoginFault, LoginState, QuotaWindow, Shard, ShardNames
from moonmind_appliance.shards.health import (
    GradeName,
    health_of,
    nearly_used,
    renewal_is_due,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NAME = ShardNames(1, "codex_auth_")
P, D = LoginState.PRESENT, LoginState.DEAD
UNAUTHORIZED = LoginFault.UNAUTHORIZED


def shard(login: LoginState = P, **more: Any) -> Shard:
    return Shard(shard=1, login=login, **more)


@pytest.mark.parametrize(
    ("rule", "state", "expected"),
    [
        ("nothing is known", shard(LoginState.UNKNOWN), (None, None, None, None)),
        ("no file", shard(LoginState.ABSENT), (False, None, None, None)),
        ("a file, and nothing more", shard(), (True, None, None, None)),
        ("a token that is good", shard(access_expires_at=NOW + HOUR), (True, True, None, None)),
        ("a token that ended", shard(access_expires_at=NOW - HOUR), (True, False, None, None)),
        ("a renewal that worked", shard(last_refresh_at=NOW), (True, None, True, None)),
        ("a renewal nobody answered", shard(last_refresh_at=NOW, refresh_problem="?"), (True, None, None, None)),
        ("a turn that worked", shard(last_turn_at=NOW), (True, None, None, True)),
        (
            "dead, whatever worked before",
            shard(D, access_expires_at=NOW + HOUR, last_refresh_at=NOW, last_turn_at=NOW),
            (True, True, False, False),
        ),
        (
            "refused: renewed it can be, work it cannot",
            shard(LoginState.REFUSED, last_refresh_at=NOW, last_turn_at=NOW),
            (True, None, True, False),
        ),
    ],
)
def test_each_fact_is_reported_separately(rule: str, state: Shard, expected: tuple[bool | None, ...]) -> None:
    """One fact never replaces another; an unknown one is None."""
    health = health_of(state, now=NOW)
    assert tuple(grade.good for grade in health.grades) == expected, rule
    assert [grade.name for grade in health.grades] == list(GradeName)


@pytest.mark.parametrize("login", list(LoginState))
def test_every_state_has_a_next_step(login: LoginState) -> None:
    """Every state except the good one has a next step; only the good one accepts runs."""
    health = health_of(shard(login), now=NOW)
    assert (health.takes_runs, health.next_step == "") == (login is P, login is P)
    assert not health_of(shard(login, cooldown_until=NOW + HOUR), now=NOW).takes_runs


@pytest.mark.parametrize(
    ("rule", "state", "due"),
    [
        ("a token that lasts", shard(access_expires_at=NOW + HOUR), False),
        ("a token that ends soon", shard(access_expires_at=NOW + 20 * MINUTE), True),
        ("a token that ended", shard(access_expires_at=NOW - HOUR), True),
        ("something speaks against it", shard(access_expires_at=NOW + HOUR, check_wanted=True), True),
        ("an API key", shard(by_api_key=True, check_wanted=True), False),
        ("a dead login", shard(D, access_expires_at=NOW), False),
        ("a rest that a turn reported", shard(check_wanted=True, cooldown_until=NOW + HOUR), True),
        (
            "a rest, asked about a moment ago",
            shard(check_wanted=True, cooldown_until=NOW + HOUR, refresh_tried_at=NOW - MINUTE),
            False,
        ),
        (
            "a rest, asked about a while ago",
            shard(check_wanted=True, cooldown_until=NOW + HOUR, refresh_tried_at=NOW - 15 * MINUTE),
            True,
        ),
        ("a login that a turn called dead", shard(D, login_fault=UNAUTHORIZED, check_wanted=True), True),
        ("asked about a moment ago", shard(D, login_fault=UNAUTHORIZED, refresh_tried_at=NOW - MINUTE), False),
        ("asked about in the future", shard(D, login_fault=UNAUTHORIZED, refresh_tried_at=NOW + HOUR), True),
        ("asked about an hour ago", shard(D, login_fault=UNAUTHORIZED, refresh_tried_at=NOW - HOUR), True),
        (
            "asked about, and nobody answered",
            shard(D, login_fault=UNAUTHORIZED, check_wanted=True, refresh_problem="?", refresh_tried_at=NOW - MINUTE),
            False,
        ),
        ("tried a moment ago", shard(access_expires_at=NOW, refresh_problem="?", refresh_tried_at=NOW), False),
        (
            "tried before the clock was set back",
            shard(access_expires_at=NOW, refresh_problem="?", refresh_tried_at=NOW + HOUR),
            True,
        ),
        (
            "tried long ago",
            shard(access_expires_at=NOW, refresh_problem="?", refresh_tried_at=NOW - 6 * MINUTE),
            True,
        ),
    ],
)
def test_when_a_login_is_renewed(rule: str, state: Shard, due: bool) -> None:  # noqa: FBT001 - expected value
    """It is renewed before its token ends, or after evidence against it; not repeatedly."""
    assert renewal_is_due(state, NOW) is due, rule


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([], False),
        ([QuotaWindow(89.0, 300, NOW + HOUR)], False),
        ([QuotaWindow(91.0, 300, NOW + HOUR)], True),
        ([QuotaWindow(91.0, 300, NOW - HOUR)], False),
        ([QuotaWindow(5.0, 300, NOW + HOUR), QuotaWindow(97.0, 10_080, NOW + HOUR)], True),
    ],
)
def test_nearly_used_windows(windows: list[QuotaWindow], *, expected: bool) -> None:
    """Any window can be; one that was reset since is not."""
    assert nearly_used(shard(quota=windows), NOW) is expected
