"""The effect of each kind of evidence on a shard's state."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from moonmind_appliance.agents.adapter import LoginFacts
from moonmind_appliance.models import (
    AgentVerdict,
    LoginCheck,
    LoginFault,
    LoginState,
    QuotaWindow,
    Shard,
    TurnOutcome,
)
from moonmind_appliance.shards.evidence import (
    COOLDOWN_WITHOUT_TIME,
    LONGEST_COOLDOWN,
    admitted_again,
    cooldown_end,
    cooldown_jitter,
    cooldown_over,
    login_checked,
    login_file_observed,
    turn_ended,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FILE, NEWER = b"the login", b"the login, renewed"


def facts(made: datetime = NOW - HOUR, **more: Any) -> LoginFacts:
    known: dict[str, Any] = {"usable": True, "account": "a", "email": "a@example.org", "plan": "plus", "made_at": made}
    return LoginFacts(**(known | more))


def signed_in(**more: Any) -> Shard:
    shard = login_file_observed(Shard(shard=1), FILE, facts(), now=NOW - HOUR, signed_in=True).shard
    return msgspec.structs.replace(shard, **more)


def ended(verdict: AgentVerdict, **more: Any) -> TurnOutcome:
    return TurnOutcome(verdict=verdict, message="words", **more)


def after_turn(known: Shard, turn: TurnOutcome) -> Shard:
    return turn_ended(known, turn, now=NOW, jitter=timedelta(seconds=3)).shard


# The login file


def test_a_first_observation_has_account_plan_and_age() -> None:
    """An event reports the login."""
    change = login_file_observed(Shard(shard=1), FILE, facts(), now=NOW)
    state = change.shard
    assert (state.login, state.account_email, state.plan, state.login_at) == (
        LoginState.PRESENT,
        "a@example.org",
        "plus",
        NOW - HOUR,
    )
    assert (state.login_since, state.checked_at, state.last_refresh_at) == (NOW, NOW, None)
    assert [event.kind for event in change.events] == ["shard.login_present"]


def test_the_same_file_again_is_no_event() -> None:
    """Only the time of the observation changes."""
    change = login_file_observed(signed_in(), FILE, facts(), now=NOW)
    assert change.shard == msgspec.structs.replace(signed_in(), checked_at=NOW)
    assert change.events == ()


def test_a_changed_file_of_the_same_account_is_a_renewal() -> None:
    """The login keeps its age; the renewal has its own time and event."""
    change = login_file_observed(signed_in(), NEWER, facts(NOW), now=NOW)
    assert (change.shard.login_at, change.shard.last_refresh_at) == (NOW - HOUR, NOW)
    assert [event.kind for event in change.events] == ["shard.refreshed"]


def test_another_account_that_is_signed_in_is_a_new_login() -> None:
    """No data of the old account is kept for the new one."""
    old = signed_in(quota=[QuotaWindow(99.0)], cooldown_until=NOW + HOUR, last_turn_at=NOW, last_refresh_at=NOW)
    state = login_file_observed(
        old, NEWER, facts(NOW, account="b", email="b@example.org"), now=NOW, signed_in=True
    ).shard
    assert (state.login, state.account, state.account_email) == (LoginState.PRESENT, "b", "b@example.org")
    assert (state.quota, state.cooldown_until, state.last_turn_at, state.last_refresh_at) == ([], None, None, None)


@pytest.mark.parametrize(
    "swapped",
    [
        facts(NOW, account="b", email="b@example.org"),
        facts(NOW, account="b"),
        facts(NOW, account="b", by_api_key=True, email=None),
        facts(NOW, account=None, email=None),
        facts(NOW - 9 * HOUR, account="b"),
    ],
    ids=["another account", "the same address", "an API key", "without a name", "an older file"],
)
def test_an_account_without_a_sign_in_is_dead(swapped: LoginFacts) -> None:
    """The code and one event report it; the data of the account that was signed in stay."""
    old = signed_in(quota=[QuotaWindow(9.0)], last_turn_at=NOW - HOUR)
    change = login_file_observed(old, NEWER, swapped, now=NOW)
    state = change.shard
    assert (state.login, state.login_fault) == (LoginState.DEAD, LoginFault.ACCOUNT_CHANGED)
    assert (state.account, state.account_email, state.quota) == ("a", "a@example.org", old.quota)
    assert [(event.kind, event.data["fault"]) for event in change.events] == [
        ("shard.login_dead", LoginFault.ACCOUNT_CHANGED)
    ]
    assert login_file_observed(state, NEWER, swapped, now=NOW + HOUR).events == []


def test_a_swapped_login_is_refused_after_an_observation_in_between() -> None:
    """Neither after an observation without a file, nor after one with an unreadable file."""
    gone = login_file_observed(signed_in(), None, None, now=NOW).shard
    broken = login_file_observed(signed_in(), b"{", LoginFacts(usable=False), now=NOW).shard
    for known in (gone, broken):
        assert (
            login_file_observed(known, NEWER, facts(account="b"), now=NOW).shard.login_fault
            is LoginFault.ACCOUNT_CHANGED
        )
        assert login_file_observed(known, FILE, facts(), now=NOW).shard.login is LoginState.PRESENT


def test_after_a_sign_out_any_account_may_be_signed_in() -> None:
    """The operator's own sign-out clears the account; then a file that an operator added is accepted."""
    out = login_file_observed(signed_in(), None, None, now=NOW, signed_in=True).shard
    assert (out.login, out.account) == (LoginState.ABSENT, "")
    assert login_file_observed(out, NEWER, facts(account="b"), now=NOW).shard.login is LoginState.PRESENT


def test_a_state_of_an_older_version_takes_the_account_with_the_same_address() -> None:
    """An older version stored only the address of an account."""
    old = signed_in(account="")
    assert login_file_observed(old, FILE, facts(), now=NOW).shard.account == "a"
    assert login_file_observed(old, NEWER, facts(NOW), now=NOW).shard.last_refresh_at == NOW
    other = login_file_observed(old, NEWER, facts(NOW, account="b", email="b@example.org"), now=NOW).shard
    assert other.login_fault is LoginFault.ACCOUNT_CHANGED


@pytest.mark.parametrize("verdict", list(AgentVerdict))
def test_turns_of_another_account_are_no_evidence(verdict: AgentVerdict) -> None:
    """Neither its success nor its usage windows count: they belong to another account."""
    swapped = login_file_observed(signed_in(), NEWER, facts(account="b"), now=NOW).shard
    assert after_turn(swapped, ended(verdict, quota=[QuotaWindow(100.0)], resets_at=NOW + HOUR)) == swapped


def test_a_sign_in_ends_a_cooldown() -> None:
    """The quota and the state of the account must be observed again."""
    old = signed_in(cooldown_until=NOW + HOUR, last_turn_at=NOW, quota=[QuotaWindow(100.0)])
    state = login_file_observed(old, NEWER, facts(NOW), now=NOW, signed_in=True).shard
    assert (state.cooldown_until, state.quota, state.last_turn_at, state.login_at) == (None, [], None, NOW)


@pytest.mark.parametrize(
    ("file", "about", "login", "fault"),
    [
        (None, None, LoginState.ABSENT, LoginFault.NO_LOGIN),
        (b"{", LoginFacts(usable=False), LoginState.DEAD, LoginFault.FILE_UNREADABLE),
    ],
)
def test_a_missing_and_an_unusable_login_have_different_codes(
    file: bytes | None, about: LoginFacts | None, login: LoginState, fault: LoginFault
) -> None:
    """Each has its code, its message and its time."""
    change = login_file_observed(signed_in(), file, about, now=NOW)
    assert (change.shard.login, change.shard.login_fault, change.shard.login_since) == (login, fault, NOW)
    assert change.shard.login_reason
    assert [event.kind for event in change.events] == [f"shard.login_{login.value}"]


@pytest.mark.parametrize("verdict", [AgentVerdict.LOGIN_DEAD, AgentVerdict.PLAN_WITHOUT_CODEX])
def test_an_observation_does_not_revive_a_dead_login(verdict: AgentVerdict) -> None:
    """The same file keeps its state and the time of that state."""
    bad = after_turn(signed_in(), ended(verdict))
    state = login_file_observed(bad, FILE, facts(), now=NOW + HOUR).shard
    assert (state.login, state.login_since) == (bad.login, NOW)
    assert login_file_observed(bad, NEWER, facts(NOW), now=NOW, signed_in=True).shard.login is LoginState.PRESENT


def test_a_renewal_revives_a_dead_login_but_not_a_refused_account() -> None:
    """A login that could renew is not dead; a refused account still has the same plan."""
    dead = after_turn(signed_in(), ended(AgentVerdict.LOGIN_DEAD))
    refused = after_turn(signed_in(), ended(AgentVerdict.PLAN_WITHOUT_CODEX))
    assert login_file_observed(dead, NEWER, facts(NOW), now=NOW).shard.login is LoginState.PRESENT
    assert login_file_observed(refused, NEWER, facts(NOW), now=NOW).shard.login is LoginState.REFUSED


# The check


@pytest.mark.parametrize(
    ("check", "login", "refreshed", "problem"),
    [
        (LoginCheck(alive=True, refreshed=True), LoginState.PRESENT, NOW, ""),
        (LoginCheck(alive=False, words="used already"), LoginState.DEAD, None, ""),
        (LoginCheck(alive=None, words="no route"), LoginState.PRESENT, None, "no route"),
        (LoginCheck(alive=True, refreshed=False, words="500"), LoginState.PRESENT, None, "500"),
        (LoginCheck(alive=None), LoginState.PRESENT, None, "no response"),
    ],
)
def test_a_check_distinguishes_alive_dead_and_unknown(
    check: LoginCheck, login: LoginState, refreshed: datetime | None, problem: str
) -> None:
    """Only OpenAI's refusal makes a login dead; a check without an answer is a problem with a code."""
    state = login_checked(signed_in(check_wanted=True), check, now=NOW).shard
    assert (state.login, state.last_refresh_at, state.refresh_problem) == (login, refreshed, problem)
    assert (state.check_wanted, state.refresh_tried_at) == (False, NOW)


def test_a_check_sets_the_end_of_a_cooldown_without_a_time() -> None:
    """If the refused turn named no time, the usage windows do."""
    cooling = after_turn(signed_in(), ended(AgentVerdict.QUOTA))
    assert (cooling.cooldown_until, cooling.check_wanted) == (NOW + COOLDOWN_WITHOUT_TIME + timedelta(seconds=3), True)
    reported = LoginCheck(alive=True, refreshed=True, quota=[QuotaWindow(100.0, 300, NOW + HOUR), QuotaWindow(20.0)])
    assert login_checked(cooling, reported, now=NOW).shard.cooldown_until == NOW + HOUR


# Turns


def test_a_turn_that_worked_is_the_best_evidence() -> None:
    """After it the login is present, whatever its state was."""
    dead = after_turn(signed_in(), ended(AgentVerdict.LOGIN_DEAD))
    state = after_turn(dead, ended(AgentVerdict.COMPLETED, quota=[QuotaWindow(5.0, 300, NOW + HOUR)]))
    assert (state.login, state.login_fault, state.last_turn_at) == (LoginState.PRESENT, None, NOW)


@pytest.mark.parametrize(
    ("reported", "rest"),
    [
        (timedelta(hours=5), timedelta(hours=5)),
        (timedelta(hours=6), timedelta(hours=6)),
        (timedelta(hours=6, seconds=1), COOLDOWN_WITHOUT_TIME),
        (timedelta(days=6), COOLDOWN_WITHOUT_TIME),
        (timedelta(days=355_000), COOLDOWN_WITHOUT_TIME),
        (timedelta(0), COOLDOWN_WITHOUT_TIME),
        (timedelta(days=-3000), COOLDOWN_WITHOUT_TIME),
    ],
)
def test_a_turn_alone_starts_a_cooldown_of_at_most_the_short_window(reported: timedelta, rest: timedelta) -> None:
    """This applies to any end that it reports; a check asks OpenAI in any case."""
    state = after_turn(signed_in(), ended(AgentVerdict.QUOTA, resets_at=NOW + reported))
    assert (state.cooldown_until, state.check_wanted) == (NOW + rest + timedelta(seconds=3), True)


@pytest.mark.parametrize(
    ("rule", "quota", "until"),
    [
        ("nothing is used up", [QuotaWindow(40.0, 300, NOW + HOUR)], None),
        ("no window at all", [], None),
        ("the week is used up", [QuotaWindow(100.0, 10_080, NOW + 100 * HOUR)], NOW + 100 * HOUR),
        ("an end that no window has", [QuotaWindow(100.0, 10_080, NOW + 9000 * HOUR)], NOW + LONGEST_COOLDOWN),
        ("used up, no end named", [QuotaWindow(100.0)], NOW + COOLDOWN_WITHOUT_TIME),
        ("used up, over since", [QuotaWindow(100.0, 300, NOW - HOUR)], None),
        ("OpenAI reported no windows", None, NOW + HOUR),
        ("the end without the jitter", [QuotaWindow(100.0, 300, NOW + HOUR - timedelta(seconds=2))], NOW + HOUR),
        ("an end before the jitter", [QuotaWindow(100.0, 300, NOW + HOUR - MINUTE * 2)], NOW + HOUR - MINUTE * 2),
    ],
)
def test_a_check_overrides_a_cooldown(rule: str, quota: list[QuotaWindow] | None, until: datetime | None) -> None:
    """It ends a cooldown that has no reason, with an event, and extends one that has."""
    change = login_checked(
        signed_in(cooldown_until=NOW + HOUR), LoginCheck(alive=True, refreshed=True, quota=quota), now=NOW
    )
    assert change.shard.cooldown_until == until, rule
    assert [event.kind for event in change.events] == ([] if until else ["shard.rested"])


def test_a_check_during_the_jitter_leaves_the_end_that_runs_wait_for() -> None:
    """The window ended and the jitter did not: waiting runs start at the time that they reported."""
    cooling = signed_in(cooldown_until=NOW + timedelta(seconds=2))
    full = [QuotaWindow(100.0, 300, NOW - timedelta(seconds=1))]
    change = login_checked(cooling, LoginCheck(alive=True, refreshed=True, quota=full), now=NOW)
    assert change.shard.cooldown_until == NOW + timedelta(seconds=2)


def test_a_cooldown_until_the_year_3000_is_over() -> None:
    """An older version may have stored it."""
    change = cooldown_over(signed_in(cooldown_until=NOW + timedelta(days=355_000)), now=NOW)
    assert change.shard.cooldown_until is None
    assert cooldown_over(signed_in(cooldown_until=NOW + LONGEST_COOLDOWN), now=NOW).events == ()


def test_a_dead_login_reported_by_a_turn_is_checked() -> None:
    """OpenAI is asked at once, then once an hour: any process in the agent's container can report it."""
    dead = after_turn(signed_in(), ended(AgentVerdict.LOGIN_DEAD))
    assert (dead.login, dead.check_wanted) == (LoginState.DEAD, True)
    alive = login_checked(dead, LoginCheck(alive=True, refreshed=True), now=NOW).shard
    again = turn_ended(alive, ended(AgentVerdict.LOGIN_DEAD), now=NOW + MINUTE, jitter=MINUTE).shard
    assert again.check_wanted is False
    assert turn_ended(alive, ended(AgentVerdict.LOGIN_DEAD), now=NOW + HOUR, jitter=MINUTE).shard.check_wanted is True
    silent = login_checked(dead, LoginCheck(alive=None), now=NOW).shard
    assert (silent.login, silent.check_wanted, silent.refresh_problem != "") == (LoginState.DEAD, True, True)
    refused = login_checked(dead, LoginCheck(alive=False), now=NOW).shard
    assert (refused.login_fault, refused.check_wanted) == (LoginFault.REFRESH_REFUSED, False)


def test_a_cooldown_is_a_little_longer_than_the_window() -> None:
    """The login stays good, and the event says until when."""
    change = turn_ended(
        signed_in(), ended(AgentVerdict.QUOTA, resets_at=NOW + HOUR), now=NOW, jitter=timedelta(seconds=3)
    )
    assert (change.shard.login, change.shard.cooldown_until) == (LoginState.PRESENT, NOW + HOUR + timedelta(seconds=3))
    (event,) = change.events
    assert (event.kind, event.data["resets_at"]) == ("shard.rests", NOW + HOUR)


@pytest.mark.parametrize("rest", [timedelta(0), MINUTE, 5 * HOUR, -HOUR])
def test_the_jitter_is_small(rest: timedelta) -> None:
    """It is at least a second, at most half a minute plus a twentieth of the cooldown."""
    turn = ended(AgentVerdict.QUOTA, resets_at=NOW + rest)
    assert (
        1
        <= cooldown_jitter(turn, NOW).total_seconds()
        <= 1 + min(30, (cooldown_end(turn, NOW) - NOW).total_seconds() / 20)
    )


def test_a_refused_account_has_the_agents_advice_as_its_reason() -> None:
    """Only the agent knows who can lift its limits."""
    advice = "The owner must buy credits."
    turn = ended(AgentVerdict.PLAN_WITHOUT_CODEX, limit="workspace_member_credits_depleted", advice=advice)
    state = after_turn(signed_in(), turn)
    assert (state.login, state.login_fault) == (LoginState.REFUSED, LoginFault.ACCOUNT_REFUSED)
    assert state.login_reason.startswith(advice)


@pytest.mark.parametrize("verdict", [AgentVerdict.FAILED, AgentVerdict.UNREACHABLE])
def test_a_failure_that_a_dead_login_could_explain_asks_for_a_check(verdict: AgentVerdict) -> None:
    """The failure alone is no evidence about the login."""
    state = after_turn(signed_in(), ended(verdict))
    assert state == signed_in(check_wanted=True)


# The clock


def test_a_cooldown_ends_automatically() -> None:
    """It ends at its time, once, with an event."""
    cooling = signed_in(cooldown_until=NOW)
    assert cooldown_over(cooling, now=NOW - MINUTE).shard == cooling
    change = cooldown_over(cooling, now=NOW)
    assert change.shard.cooldown_until is None
    assert [event.kind for event in change.events] == ["shard.rested"]
    assert cooldown_over(change.shard, now=NOW).events == ()


def test_only_a_refused_account_is_admitted_again() -> None:
    """A dead login is not: it needs a new login."""
    refused = after_turn(signed_in(), ended(AgentVerdict.PLAN_WITHOUT_CODEX))
    dead = after_turn(signed_in(), ended(AgentVerdict.LOGIN_DEAD))
    assert admitted_again(refused, now=NOW, why="").shard.login is LoginState.PRESENT
    assert admitted_again(dead, now=NOW, why="").shard == dead


# A turn with a login broker


def confirmed(verdict: AgentVerdict, **more: Any) -> Shard:
    return after_turn(signed_in(), ended(verdict, confirmed=True, **more))


def test_a_confirmed_limit_ends_to_the_second() -> None:
    """Without jitter and without a check, also if it is days away: OpenAI itself reported the time."""
    resets = NOW + timedelta(days=3, seconds=17)
    state = confirmed(AgentVerdict.QUOTA, resets_at=resets, limit_reached=True)
    assert (state.cooldown_until, state.check_wanted, state.login) == (resets, False, LoginState.PRESENT)


@pytest.mark.parametrize(
    ("resets_at", "until"),
    [
        (None, NOW + COOLDOWN_WITHOUT_TIME),
        (NOW - HOUR, NOW + COOLDOWN_WITHOUT_TIME),
        (NOW - timedelta(seconds=20), NOW + timedelta(seconds=2)),
        (NOW + timedelta(days=300), NOW + LONGEST_COOLDOWN),
    ],
)
def test_a_confirmed_limit_has_bounds(resets_at: datetime | None, until: datetime) -> None:
    """The container that reported it parses what others send."""
    assert confirmed(AgentVerdict.QUOTA, resets_at=resets_at, limit_reached=True).cooldown_until == until


def test_a_limit_is_recorded_although_the_agent_reports_success() -> None:
    """The next turn would reach it, too."""
    window = QuotaWindow(100.0, 300, NOW + HOUR)
    state = confirmed(AgentVerdict.COMPLETED, quota=[window], resets_at=NOW + HOUR, limit_reached=True)
    assert (state.cooldown_until, state.quota, state.last_turn_at) == (NOW + HOUR, [window], NOW)


def test_a_turn_without_an_answer_of_openai_is_no_proof_of_the_login() -> None:
    """Only the agent's container said that it completed."""
    assert confirmed(AgentVerdict.COMPLETED).last_turn_at is None
    assert confirmed(AgentVerdict.COMPLETED, quota=[QuotaWindow(1.0)]).last_turn_at == NOW


def test_a_claim_of_the_agent_makes_no_dead_login_usable() -> None:
    """A check or a sign-in does."""
    dead = signed_in(login=LoginState.DEAD, login_fault=LoginFault.REFRESH_REFUSED)
    turn = ended(AgentVerdict.COMPLETED, confirmed=True, quota=[QuotaWindow(1.0)])
    assert after_turn(dead, turn).login is LoginState.DEAD


def test_a_confirmed_dead_login_keeps_the_fault_that_the_check_found() -> None:
    """Without one, the login was rejected although it could be renewed."""
    dead = signed_in(login=LoginState.DEAD, login_fault=LoginFault.REFRESH_REFUSED)
    assert after_turn(dead, ended(AgentVerdict.LOGIN_DEAD, confirmed=True)).login_fault is LoginFault.REFRESH_REFUSED
    state = confirmed(AgentVerdict.LOGIN_DEAD)
    assert (state.login, state.login_fault) == (LoginState.DEAD, LoginFault.UNAUTHORIZED)


def test_a_confirmed_refusal_of_the_account_makes_the_login_refused() -> None:
    """With the advice."""
    state = confirmed(AgentVerdict.PLAN_WITHOUT_CODEX, advice="Buy credits.", limit="x")
    assert (state.login, state.login_fault) == (LoginState.REFUSED, LoginFault.ACCOUNT_REFUSED)
    assert state.login_reason.startswith("Buy credits.")


@pytest.mark.parametrize("verdict", [AgentVerdict.FAILED, AgentVerdict.UNREACHABLE, AgentVerdict.CHALLENGED])
def test_a_failed_turn_asks_for_no_check_of_a_brokered_login(verdict: AgentVerdict) -> None:
    """The broker would have reported it. It does for a refusal that the broker has not examined."""
    assert confirmed(verdict) == signed_in()
    assert confirmed(verdict, login_doubtful=True) == signed_in(check_wanted=True)
