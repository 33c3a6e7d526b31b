"""What each piece of evidence makes of a shard's state. Pure: the store applies these in one transaction."""

import hashlib
import random
from datetime import datetime, timedelta

import msgspec

from moonmind_appliance.agents.adapter import LoginFacts
from moonmind_appliance.models import (
    AgentVerdict,
    LoginCheck,
    LoginFault,
    LoginState,
    Shard,
    TurnOutcome,
)
from moonmind_appliance.store.shards import ShardChange, ShardEvent

# A limit whose end nobody told: tried again after this. A refused request spends nothing.
REST_UNTOLD = timedelta(minutes=15)

_STANDS_UNTIL_THE_FILE_CHANGES = frozenset({LoginState.DEAD, LoginState.REFUSED})
_LONGEST_WORDS = 300
_USED_UP = 100.0


def file_seen(
    known: Shard, login_file: bytes | None, facts: LoginFacts | None, *, now: datetime, signed_in: bool = False
) -> ShardChange:
    """A look at the login file.

    Args:
        known: what was known before.
        login_file: None where there is none.
        facts: what the file says about itself.
        now: the time of the look.
        signed_in: the file was made by a sign-in just now, and not by a renewal.
    """
    if login_file is None or facts is None:
        gone = Shard(shard=known.shard, last_turn_at=known.last_turn_at, checked_at=now, paused_at=known.paused_at)
        return _judged(known, gone, LoginState.ABSENT, LoginFault.NO_LOGIN, "there is no login in the volume", now)
    digest = hashlib.sha256(login_file).hexdigest()
    seen = msgspec.structs.replace(known, checked_at=now, login_digest=digest)
    if not facts.usable:
        words = "the login file cannot be read or holds no tokens"
        return _judged(known, seen, LoginState.DEAD, LoginFault.FILE_UNREADABLE, words, now)
    same_file = digest == known.login_digest and not signed_in
    same_account = bool(facts.email) and facts.email == known.account_email
    if same_file and known.login in _STANDS_UNTIL_THE_FILE_CHANGES:
        return ShardChange(seen)
    if same_file and known.login is LoginState.PRESENT:
        return ShardChange(seen)
    seen = msgspec.structs.replace(
        seen,
        account_email=facts.email,
        plan=facts.plan,
        by_api_key=facts.by_api_key,
        access_expires_at=facts.access_expires_at,
        refresh_problem="",
        check_wanted=False,
    )
    events = []
    if same_account and not signed_in and known.login_at is not None:
        if facts.made_at is not None and (known.last_refresh_at or known.login_at) < facts.made_at:
            seen = msgspec.structs.replace(seen, last_refresh_at=facts.made_at)
            events.append(ShardEvent("shard.refreshed", {"at": facts.made_at}))
        if known.login is LoginState.REFUSED:
            # A renewal does not bring back what the account was refused.
            return ShardChange(seen, events)
    else:
        seen = msgspec.structs.replace(seen, login_at=facts.made_at or now, last_refresh_at=None, last_turn_at=None)
        if not same_account:
            seen = msgspec.structs.replace(seen, quota=[], quota_at=None, rests_until=None)
    changed = _judged(known, seen, LoginState.PRESENT, None, "", now)
    return ShardChange(changed.shard, [*changed.events, *events])


def login_checked(known: Shard, check: LoginCheck, *, now: datetime) -> ShardChange:
    """A try to renew the login; the file was seen before."""
    seen = msgspec.structs.replace(known, check_wanted=False, refresh_tried_at=now)
    if check.quota is not None:
        ends = [w.resets_at for w in check.quota if w.used_percent >= _USED_UP and w.resets_at and w.resets_at > now]
        # A rest whose end the refused turn did not tell.
        until = max(ends) if ends and known.rests_until is not None else known.rests_until
        seen = msgspec.structs.replace(seen, quota=check.quota, quota_at=now, rests_until=until)
    if check.alive is False:
        words = f"OpenAI refuses to renew the login. {check.words}".strip()[:_LONGEST_WORDS]
        return _judged(known, seen, LoginState.DEAD, LoginFault.REFRESH_REFUSED, words, now)
    if not check.refreshed:
        words = check.words[:_LONGEST_WORDS] or "nobody answered"
        events = [] if known.refresh_problem else [ShardEvent("shard.refresh_failed", {"why": words})]
        return ShardChange(msgspec.structs.replace(seen, refresh_problem=words), events)
    return ShardChange(msgspec.structs.replace(seen, refresh_problem="", last_refresh_at=now))


def turn_ended(known: Shard, turn: TurnOutcome, *, now: datetime, jitter: timedelta) -> ShardChange:
    """A model turn came to an end."""
    seen = known
    if turn.quota:
        seen = msgspec.structs.replace(seen, quota=turn.quota, quota_at=now)
    match turn.verdict:
        case AgentVerdict.COMPLETED:
            seen = msgspec.structs.replace(seen, last_turn_at=now, check_wanted=False)
            return _judged(known, seen, LoginState.PRESENT, None, "", now)
        case AgentVerdict.LOGIN_DEAD:
            words = f"OpenAI refuses the login. {turn.message}".strip()[:_LONGEST_WORDS]
            return _judged(known, seen, LoginState.DEAD, LoginFault.UNAUTHORIZED, words, now)
        case AgentVerdict.PLAN_WITHOUT_CODEX:
            words = f"{who_must_act(turn.limit)} {turn.message}".strip()[:_LONGEST_WORDS]
            return _judged(known, seen, LoginState.REFUSED, LoginFault.ACCOUNT_REFUSED, words, now, limit=turn.limit)
        case AgentVerdict.QUOTA:
            until = (turn.resets_at or now + REST_UNTOLD) + jitter
            seen = msgspec.structs.replace(seen, rests_until=until, check_wanted=turn.resets_at is None)
            told = {"until": until, "resets_at": turn.resets_at, "windows": turn.quota}
            return ShardChange(seen, [ShardEvent("shard.rests", told)])
        case _:
            return ShardChange(msgspec.structs.replace(seen, check_wanted=True))


def rest_jitter(turn: TurnOutcome, now: datetime) -> timedelta:
    """How much longer than told a shard rests: clocks differ, and not all shards should begin in the same second."""
    rest = (turn.resets_at - now if turn.resets_at else REST_UNTOLD).total_seconds()
    return timedelta(seconds=1 + random.uniform(0, min(30.0, max(0.0, rest) / 20)))  # noqa: S311 - no secret


def rest_over(known: Shard, *, now: datetime) -> ShardChange:
    """The clock: a rest ends by itself."""
    if known.rests_until is None or known.rests_until > now:
        return ShardChange(known)
    return ShardChange(msgspec.structs.replace(known, rests_until=None), [ShardEvent("shard.rested")])


def admitted_again(known: Shard, *, now: datetime, why: str) -> ShardChange:
    """An account that was refused is given one more try; anything else stays."""
    if known.login is not LoginState.REFUSED:
        return ShardChange(known)
    changed = _judged(known, known, LoginState.PRESENT, None, "", now)
    return ShardChange(changed.shard, [ShardEvent("shard.admitted_again", {"why": why})])


def who_must_act(limit: str | None) -> str:
    """One sentence: which of the limits that waiting does not cure it is, and who can lift it."""
    return {
        "workspace_owner_credits_depleted": "The workspace has no credits left: its owner must buy some.",
        "workspace_member_credits_depleted": "The workspace has no credits left: its owner must buy some.",
        "workspace_owner_usage_limit_reached": "The workspace's own limit is reached: its owner must raise it.",
        "workspace_member_usage_limit_reached": "The limit set for this account is reached: its administrator must"
        " raise it.",
    }.get(limit or "", "The account's ChatGPT plan does not include Codex: its holder must change the plan.")


def _judged(  # noqa: PLR0917 - one row of a table
    known: Shard, seen: Shard, login: LoginState, fault: LoginFault | None, words: str, now: datetime, **more: object
) -> ShardChange:
    """The login's new state; since when only where it is another one, and the event with it."""
    changed = known.login is not login or known.login_fault is not fault
    since = now if changed or known.login_since is None else known.login_since
    judged = msgspec.structs.replace(seen, login=login, login_fault=fault, login_reason=words, login_since=since)
    event = ShardEvent(f"shard.login_{login.value}", {"fault": fault, "why": words, "was": known.login, **more})
    return ShardChange(judged, [event] if changed else [])
