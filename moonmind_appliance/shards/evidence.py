"""How each piece of evidence changes a shard's state. Pure: the store applies a change in one transaction."""

import hashlib
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

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
from moonmind_appliance.store.shards import ShardChange, ShardEvent

# Cooldown of a limit whose end is unknown. A refused request uses no quota.
COOLDOWN_WITHOUT_TIME = timedelta(minutes=15)
# The longest usage window is a week; a later end is not genuine.
LONGEST_COOLDOWN = timedelta(days=8)
# A later end is credible only after a check confirmed it: any process in the agent's container can write one. The
# short usage window lasts five hours.
LONGEST_UNCONFIRMED_COOLDOWN = timedelta(hours=6)
# Shortest time between checks of a login that a turn reported dead.
ASK_AGAIN_AFTER = timedelta(hours=1)
_SHORTEST_COOLDOWN = timedelta(seconds=2)
# Threads read the clock at different moments.
_CLOCK_SLACK = timedelta(minutes=1)

_STANDS_UNTIL_THE_FILE_CHANGES = frozenset({LoginState.PRESENT, LoginState.DEAD, LoginState.REFUSED})
# Faults that the login file itself shows; no turn can disprove them.
SHOWN_BY_THE_FILE = frozenset({LoginFault.ACCOUNT_CHANGED, LoginFault.FILE_UNREADABLE, LoginFault.NO_LOGIN})
_LONGEST_WORDS = 300
_LONGEST_JITTER = timedelta(minutes=1)
_USED_UP = 100.0


def login_file_observed(
    known: Shard, login_file: bytes | None, facts: LoginFacts | None, *, now: datetime, signed_in: bool = False
) -> ShardChange:
    """The login file was read.

    Args:
        known: the state before.
        login_file: None if there is none.
        facts: what the file says about itself.
        now: when the file was read.
        signed_in: a sign-in, not a renewal, has just written the file; without a file: the operator signed the shard
            out.
    """
    if login_file is None or facts is None:
        # A login file that reappears without a sign-in must belong to the same account.
        gone = Shard(
            shard=known.shard,
            account="" if signed_in else known.account,
            last_turn_at=known.last_turn_at,
            checked_at=now,
            paused_at=known.paused_at,
        )
        return _judged(known, gone, LoginState.ABSENT, LoginFault.NO_LOGIN, "the volume contains no login", now)
    digest = hashlib.sha256(login_file).hexdigest()
    state = msgspec.structs.replace(known, checked_at=now, login_digest=digest)
    if not facts.usable:
        words = "the login file cannot be read or contains no tokens"
        return _judged(known, state, LoginState.DEAD, LoginFault.FILE_UNREADABLE, words, now)
    another = _is_another_account(known, facts)
    if another and not signed_in:
        words = "the login file belongs to another account, which no sign-in stored"
        return _judged(known, state, LoginState.DEAD, LoginFault.ACCOUNT_CHANGED, words, now)
    state = msgspec.structs.replace(state, account=facts.account or "")
    same_file = digest == known.login_digest and not signed_in
    if same_file and known.login in _STANDS_UNTIL_THE_FILE_CHANGES:
        return ShardChange(state)
    state = msgspec.structs.replace(
        state,
        account_email=facts.email,
        plan=facts.plan,
        by_api_key=facts.by_api_key,
        access_expires_at=facts.access_expires_at,
        refresh_problem="",
        check_wanted=False,
    )
    events = []
    if not signed_in and known.login_at is not None:
        made_at = None if facts.made_at is None else min(facts.made_at, now)
        if made_at is not None and (known.last_refresh_at or known.login_at) < made_at:
            state = msgspec.structs.replace(state, last_refresh_at=made_at)
            events.append(ShardEvent("shard.refreshed", {"at": made_at}))
        if known.login is LoginState.REFUSED:
            # A renewal does not lift a refusal of the account.
            return ShardChange(state, events)
    else:
        made_at = min(facts.made_at or now, now)
        state = msgspec.structs.replace(
            state,
            login_at=made_at,
            last_refresh_at=None,
            last_turn_at=None,
            quota=[],
            cooldown_until=None,
            refresh_tried_at=None,
        )
    changed = _judged(known, state, LoginState.PRESENT, None, "", now)
    return ShardChange(changed.shard, [*changed.events, *events])


def login_checked(known: Shard, check: LoginCheck, *, now: datetime) -> ShardChange:
    """The agent tried to renew the login; `login_file_observed` was applied before."""
    # If only the agent's container reported the login dead, only a successful check decides.
    open_still = known.login is LoginState.DEAD and check.alive is None and known.check_wanted
    state = msgspec.structs.replace(known, check_wanted=open_still, refresh_tried_at=now)
    events = []
    if check.quota is not None:
        until = _cooldown_by(check.quota, known.cooldown_until, now)
        state = msgspec.structs.replace(state, quota=check.quota, cooldown_until=until)
        if known.cooldown_until is not None and until is None:
            events.append(ShardEvent("shard.rested", {"why": "no usage window is exhausted any more"}))
    if check.alive is False:
        words = f"The renewal of the login was refused. {check.words}".strip()[:_LONGEST_WORDS]
        return _judged(known, state, LoginState.DEAD, LoginFault.REFRESH_REFUSED, words, now)
    if not check.refreshed:
        words = check.words[:_LONGEST_WORDS] or "no response"
        if not known.refresh_problem:
            events.append(ShardEvent("shard.refresh_failed", {"why": words}))
        return ShardChange(msgspec.structs.replace(state, refresh_problem=words), events)
    return ShardChange(msgspec.structs.replace(state, refresh_problem="", last_refresh_at=now), events)


def _cooldown_by(quota: Sequence[QuotaWindow], known_until: datetime | None, now: datetime) -> datetime | None:
    """The end of a shard's cooldown by the usage windows that a check returned; None if it needs none."""
    if known_until is None:
        return None
    used_up = [window for window in quota if window.used_percent >= _USED_UP]
    ends = [window.resets_at for window in used_up if window.resets_at is not None]
    if ends and max(ends) <= known_until <= max(ends) + _LONGEST_JITTER:
        # The check confirms the cooldown: waiting runs already report its end, so its jitter stays.
        return known_until
    if ends and max(ends) > now:
        return min(max(ends), now + LONGEST_COOLDOWN)
    return min(known_until, now + COOLDOWN_WITHOUT_TIME) if len(ends) < len(used_up) else None


def turn_ended(known: Shard, turn: TurnOutcome, *, now: datetime, jitter: timedelta) -> ShardChange:
    """A model turn ended. `jitter` is added to the end of a cooldown that only the agent's container reported."""
    if known.login_fault in SHOWN_BY_THE_FILE:
        # The turn did not use the account that was signed in.
        return ShardChange(known)
    state = known
    if turn.quota:
        state = msgspec.structs.replace(state, quota=turn.quota)
    if turn.confirmed:
        return _turn_confirmed(known, state, turn, now)
    return _turn_reported(known, state, turn, now, jitter)


def _turn_reported(known: Shard, state: Shard, turn: TurnOutcome, now: datetime, jitter: timedelta) -> ShardChange:
    """All evidence of the turn comes from the agent's container.

    A report that would disable the login for long counts only for a limited time, and a check is requested
    (`check_wanted`).
    """
    match turn.verdict:
        case AgentVerdict.COMPLETED:
            state = msgspec.structs.replace(state, last_turn_at=now, check_wanted=False)
            return _judged(known, state, LoginState.PRESENT, None, "", now)
        case AgentVerdict.LOGIN_DEAD:
            words = f"The login was rejected. {turn.message}".strip()[:_LONGEST_WORDS]
            wanted = has_passed(ASK_AGAIN_AFTER, known.refresh_tried_at, now)
            state = msgspec.structs.replace(state, check_wanted=wanted)
            return _judged(known, state, LoginState.DEAD, LoginFault.UNAUTHORIZED, words, now)
        case AgentVerdict.PLAN_WITHOUT_CODEX:
            words = f"{turn.advice} {turn.message}".strip()[:_LONGEST_WORDS]
            return _judged(known, state, LoginState.REFUSED, LoginFault.ACCOUNT_REFUSED, words, now, limit=turn.limit)
        case AgentVerdict.QUOTA:
            until = cooldown_end(turn, now) + jitter
            state = msgspec.structs.replace(state, cooldown_until=until, check_wanted=True)
            data = {"until": until, "resets_at": turn.resets_at, "windows": turn.quota}
            return ShardChange(state, [ShardEvent("shard.rests", data)])
        case _:
            return ShardChange(msgspec.structs.replace(state, check_wanted=True))


def _turn_confirmed(known: Shard, state: Shard, turn: TurnOutcome, now: datetime) -> ShardChange:
    """A turn of a run with a login broker ended. What only the agent's container reported does not count.

    The times are exact, so a cooldown ends when the window resets. The broker has already tried to renew a login that
    was refused, except one that is `login_doubtful`.
    """
    if turn.verdict is AgentVerdict.COMPLETED and turn.quota:
        state = msgspec.structs.replace(state, last_turn_at=now)
    if turn.limit_reached and turn.verdict in {AgentVerdict.COMPLETED, AgentVerdict.QUOTA}:
        until = confirmed_cooldown_end(turn, now)
        data = {"until": until, "resets_at": turn.resets_at, "windows": turn.quota}
        state = msgspec.structs.replace(state, cooldown_until=until)
        return ShardChange(state, [ShardEvent("shard.rests", data)])
    if turn.verdict is AgentVerdict.LOGIN_DEAD and known.login is not LoginState.DEAD:
        words = f"The login was rejected. {turn.message}".strip()[:_LONGEST_WORDS]
        state = msgspec.structs.replace(state, check_wanted=has_passed(ASK_AGAIN_AFTER, known.refresh_tried_at, now))
        return _judged(known, state, LoginState.DEAD, LoginFault.UNAUTHORIZED, words, now)
    if turn.verdict is AgentVerdict.PLAN_WITHOUT_CODEX:
        words = f"{turn.advice} {turn.message}".strip()[:_LONGEST_WORDS]
        return _judged(known, state, LoginState.REFUSED, LoginFault.ACCOUNT_REFUSED, words, now, limit=turn.limit)
    return ShardChange(msgspec.structs.replace(state, check_wanted=state.check_wanted or turn.login_doubtful))


def confirmed_cooldown_end(turn: TurnOutcome, now: datetime) -> datetime:
    """The end of a cooldown that a login broker reported, to the second. An end in the past is not genuine."""
    if turn.resets_at is None or turn.resets_at < now - _CLOCK_SLACK:
        return now + COOLDOWN_WITHOUT_TIME
    # Clocks differ: a run must not repeat its turn at once.
    return min(max(turn.resets_at, now + _SHORTEST_COOLDOWN), now + LONGEST_COOLDOWN)


def has_passed(span: timedelta, since: datetime | None, now: datetime) -> bool:
    """Whether that much time has passed; True if `since` is None, or in the future because the clock was set back."""
    return since is None or now - since >= span or is_in_future(since, now)


def is_in_future(at: datetime, now: datetime) -> bool:
    """Whether a stored time of something that happened is in the future: the clock was set back since."""
    return at - now > _CLOCK_SLACK


def cooldown_end(turn: TurnOutcome, now: datetime) -> datetime:
    """The end of a cooldown that only a turn reported: an end far in the future, or in the past, is not accepted."""
    reported = turn.resets_at
    credible = reported is not None and now < reported <= now + LONGEST_UNCONFIRMED_COOLDOWN
    return reported if reported is not None and credible else now + COOLDOWN_WITHOUT_TIME


def cooldown_jitter(turn: TurnOutcome, now: datetime) -> timedelta:
    """Extra cooldown on top of the reported one: clocks differ, and shards should not all start in the same second."""
    rest = (cooldown_end(turn, now) - now).total_seconds()
    return timedelta(seconds=1 + random.uniform(0, min(30.0, max(0.0, rest) / 20)))  # noqa: S311 - no secret


def cooldown_over(known: Shard, *, now: datetime) -> ShardChange:
    """End a cooldown whose time has passed, or that is longer than any usage window and therefore not genuine."""
    if known.cooldown_until is None or now < known.cooldown_until <= now + LONGEST_COOLDOWN + _LONGEST_JITTER:
        return ShardChange(known)
    return ShardChange(msgspec.structs.replace(known, cooldown_until=None), [ShardEvent("shard.rested")])


def admitted_again(known: Shard, *, now: datetime, why: str) -> ShardChange:
    """Allow a refused account one more try; any other state is unchanged."""
    if known.login is not LoginState.REFUSED:
        return ShardChange(known)
    changed = _judged(known, known, LoginState.PRESENT, None, "", now)
    return ShardChange(changed.shard, [ShardEvent("shard.admitted_again", {"why": why})])


def _is_another_account(known: Shard, facts: LoginFacts) -> bool:
    """Whether the file belongs to another account than the one signed in; False if none is known."""
    if known.account:
        return facts.account != known.account
    # A state written by an older version contains only the e-mail address.
    return known.account_email is not None and facts.email != known.account_email


def _judged(  # noqa: PLR0917 - one row of a table
    known: Shard, state: Shard, login: LoginState, fault: LoginFault | None, words: str, now: datetime, **more: object
) -> ShardChange:
    """The login's new state. Its start time and an event are set only if the state differs."""
    changed = known.login is not login or known.login_fault is not fault
    since = now if changed or known.login_since is None else known.login_since
    judged = msgspec.structs.replace(state, login=login, login_fault=fault, login_reason=words, login_since=since)
    event = ShardEvent(f"shard.login_{login.value}", {"fault": fault, "why": words, "was": known.login, **more})
    return ShardChange(judged, [event] if changed else [])
