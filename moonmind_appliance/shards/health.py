"""The health of a shard's login: four separate grades, and when it is checked. Pure: nothing is called."""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from moonmind_appliance.models import LoginFault, LoginState, QuotaWindow, Shard
from moonmind_appliance.shards.evidence import ASK_AGAIN_AFTER, has_passed

# The check renews an access token this long before it expires; the agent itself may do so only minutes before.
RENEW_BEFORE = timedelta(minutes=30)
# Pause after a check that got no answer.
TRY_AGAIN_AFTER = timedelta(minutes=5)
# Time after a check before a cooldown that a turn reported since is checked again.
CHECK_COOLDOWN_AFTER = timedelta(minutes=15)
# From this percentage, a usage window counts as nearly used up.
NEARLY_USED_PERCENT = 90.0

# The states of a login, as every interface names them.
LOGIN_WORDS = {
    LoginState.PRESENT: "signed in",
    LoginState.ABSENT: "no login",
    LoginState.DEAD: "dead login",
    LoginState.REFUSED: "account refused",
    LoginState.UNKNOWN: "not checked",
}


class GradeName(StrEnum):
    """The four facts that can be known about a login, weakest evidence first."""

    LOGIN_FILE = "login_file"
    ACCESS_TOKEN = "access_token"  # noqa: S105 - a grade's name
    REFRESH = "refresh"
    MODEL_TURN = "model_turn"


class Grade(msgspec.Struct, frozen=True):
    """One fact. `good` is None if unknown; `at` is when it was last observed (for a token: when it expires)."""

    name: GradeName
    good: bool | None
    at: datetime | None
    words: str


class LoginHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A shard's login for display: its state and since when, the reason, what to do, and the four grades."""

    shard: int
    login: LoginState
    since: datetime | None
    why: str
    next_step: str
    takes_runs: bool
    grades: list[Grade]


def health_of(shard: Shard, *, now: datetime) -> LoginHealth:
    """Describe the stored state, without a check."""
    return LoginHealth(
        shard=shard.shard,
        login=shard.login,
        since=shard.login_since,
        why=shard.login_reason,
        next_step=next_step(shard),
        takes_runs=shard.login is LoginState.PRESENT and not is_cooling_down(shard, now) and shard.paused_at is None,
        grades=[_file(shard), _token(shard, now), _refresh(shard), _turn(shard)],
    )


def next_step(shard: Shard) -> str:
    """What the operator must do; "" if there is nothing to do."""
    sign_in = f"Run `moonmind-appliance login-shard {shard.shard}`."
    return {
        LoginState.ABSENT: sign_in,
        LoginState.DEAD: sign_in,
        LoginState.REFUSED: (
            f"Ask the account's owner to fix its plan or credits, or sign in another account. {sign_in}"
        ),
        LoginState.UNKNOWN: "It is checked within a minute while `serve` runs.",
        LoginState.PRESENT: "" if shard.paused_at is None else f"Run `moonmind-appliance resume-shard {shard.shard}`.",
    }[shard.login]


def is_cooling_down(shard: Shard, now: datetime) -> bool:
    """Whether the shard is cooling down."""
    return shard.cooldown_until is not None and shard.cooldown_until > now


def nearly_used(shard: Shard, now: datetime) -> bool:
    """Whether one of the login's usage windows is nearly used up."""
    return any(_is_nearly_used(window, now) for window in shard.quota)


def _is_nearly_used(window: QuotaWindow, now: datetime) -> bool:
    over = window.resets_at is not None and window.resets_at <= now
    return window.used_percent >= NEARLY_USED_PERCENT and not over


def renewal_is_due(shard: Shard, now: datetime) -> bool:
    """Whether a check should renew the login now: its token expires soon, or there is evidence against it.

    This includes a login that only a turn reported dead: any process in the agent's container can write such a report.
    """
    if shard.by_api_key:
        return False
    if shard.login is LoginState.DEAD and shard.login_fault is LoginFault.UNAUTHORIZED:
        again = TRY_AGAIN_AFTER if shard.check_wanted and shard.refresh_problem else ASK_AGAIN_AFTER
        due = has_passed(again, shard.refresh_tried_at, now)
        return due or (shard.check_wanted and not shard.refresh_problem)
    if shard.login is not LoginState.PRESENT:
        return False
    if is_cooling_down(shard, now) and not has_passed(CHECK_COOLDOWN_AFTER, shard.refresh_tried_at, now):
        # A run that reports a limit repeatedly must not cause a renewal each time.
        return False
    if shard.refresh_problem and not has_passed(TRY_AGAIN_AFTER, shard.refresh_tried_at, now):
        return False
    ends = shard.access_expires_at
    return shard.check_wanted or (ends is not None and ends - now <= RENEW_BEFORE)


def _file(shard: Shard) -> Grade:
    good = {LoginState.UNKNOWN: None, LoginState.ABSENT: False}.get(shard.login, True)
    words = {
        None: "to be checked again; last checked" if shard.checked_at else "not checked yet",
        False: "no login file; checked",
        True: "login file found; checked",
    }[good]
    return Grade(GradeName.LOGIN_FILE, good, shard.checked_at, words)


def _token(shard: Shard, now: datetime) -> Grade:
    ends = shard.access_expires_at
    if shard.by_api_key:
        return Grade(GradeName.ACCESS_TOKEN, None, None, "an API key does not expire")
    if ends is None:
        return Grade(GradeName.ACCESS_TOKEN, None, None, "unknown")
    good = ends > now
    return Grade(GradeName.ACCESS_TOKEN, good, ends, "valid; expires" if good else "must be renewed; expired")


def _refresh(shard: Shard) -> Grade:
    at = shard.last_refresh_at
    if shard.login is LoginState.DEAD:
        return Grade(GradeName.REFRESH, good=False, at=at, words="rejected" if at is None else "rejected; last worked")
    if shard.refresh_problem:
        return Grade(
            GradeName.REFRESH,
            good=None,
            at=at,
            words=f"the last attempt failed ({shard.refresh_problem})" + ("; last worked" if at else ""),
        )
    if at is None:
        return Grade(GradeName.REFRESH, good=None, at=None, words="not needed yet")
    return Grade(GradeName.REFRESH, good=True, at=at, words="last worked")


def _turn(shard: Shard) -> Grade:
    at = shard.last_turn_at
    if shard.login in (LoginState.DEAD, LoginState.REFUSED):
        return Grade(GradeName.MODEL_TURN, good=False, at=at, words="rejected; last worked" if at else "none yet")
    return Grade(GradeName.MODEL_TURN, None if at is None else True, at, "last worked" if at else "none yet")
