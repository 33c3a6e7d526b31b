"""What each piece of evidence makes of a shard's state. Pure: the store applies these in one transaction."""

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

# A limit whose end is unknown: tried again after this. A refused request spends nothing.
REST_UNTOLD = timedelta(minutes=15)
# Codex's longest usage window is a week; a later end was made up.
LONGEST_REST = timedelta(days=8)
# A later end is believed only once OpenAI itself was asked: any process in the agent's container can write one. The
# short usage window has five hours.
LONGEST_UNCONFIRMED_REST = timedelta(hours=6)
# A login that a turn called dead is not asked about more often than this.
ASK_AGAIN_AFTER = timedelta(hours=1)

_STANDS_UNTIL_THE_FILE_CHANGES = frozenset({LoginState.PRESENT, LoginState.DEAD, LoginState.REFUSED})
# What the login file shows; no turn proves the opposite.
SHOWN_BY_THE_FILE = frozenset({LoginFault.ACCOUNT_CHANGED, LoginFault.FILE_UNREADABLE, LoginFault.NO_LOGIN})
_LONGEST_WORDS = 300
_LONGEST_JITTER = timedelta(minutes=1)
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
        signed_in: the file was made by a sign-in just now, and not by a renewal; without a file: the operator signed
            the shard out.
    """
    if login_file is None or facts is None:
        # A login that comes back without a sign-in must be the same account's.
        gone = Shard(
            shard=known.shard,
            account="" if signed_in else known.account,
            last_turn_at=known.last_turn_at,
            checked_at=now,
            paused_at=known.paused_at,
        )
        return _judged(known, gone, LoginState.ABSENT, LoginFault.NO_LOGIN, "the volume contains no login", now)
    digest = hashlib.sha256(login_file).hexdigest()
    seen = msgspec.structs.replace(known, checked_at=now, login_digest=digest)
    if not facts.usable:
        words = "the login file cannot be read or contains no tokens"
        return _judged(known, seen, LoginState.DEAD, LoginFault.FILE_UNREADABLE, words, now)
    another = _is_another_account(known, facts)
    if another and not signed_in:
        words = "the login file belongs to another account, which no sign-in stored"
        return _judged(known, seen, LoginState.DEAD, LoginFault.ACCOUNT_CHANGED, words, now)
    seen = msgspec.structs.replace(seen, account=facts.account or "")
    same_file = digest == known.login_digest and not signed_in
    if same_file and known.login in _STANDS_UNTIL_THE_FILE_CHANGES:
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
    if not signed_in and known.login_at is not None:
        made_at = None if facts.made_at is None else min(facts.made_at, now)
        if made_at is not None and (known.last_refresh_at or known.login_at) < made_at:
            seen = msgspec.structs.replace(seen, last_refresh_at=made_at)
            events.append(ShardEvent("shard.refreshed", {"at": made_at}))
        if known.login is LoginState.REFUSED:
            # A renewal does not bring back what the account was refused.
            return ShardChange(seen, events)
    else:
        made_at = min(facts.made_at or now, now)
        seen = msgspec.structs.replace(
            seen,
            login_at=made_at,
            last_refresh_at=None,
            last_turn_at=None,
            quota=[],
            quota_at=None,
            rests_until=None,
            refresh_tried_at=None,
        )
    changed = _judged(known, seen, LoginState.PRESENT, None, "", now)
    return ShardChange(changed.shard, [*changed.events, *events])


def login_checked(known: Shard, check: LoginCheck, *, now: datetime) -> ShardChange:
    """A try to renew the login; the file was seen before."""
    # A death that only the agent's container reported stays open until OpenAI answers.
    open_still = known.login is LoginState.DEAD and check.alive is None and known.check_wanted
    seen = msgspec.structs.replace(known, check_wanted=open_still, refresh_tried_at=now)
    events = []
    if check.quota is not None:
        until = _rest_by(check.quota, known.rests_until, now)
        seen = msgspec.structs.replace(seen, quota=check.quota, quota_at=now, rests_until=until)
        if known.rests_until is not None and until is None:
            events.append(ShardEvent("shard.rested", {"why": "OpenAI reports that no usage window is exhausted"}))
    if check.alive is False:
        words = f"OpenAI refused to renew the login. {check.words}".strip()[:_LONGEST_WORDS]
        return _judged(known, seen, LoginState.DEAD, LoginFault.REFRESH_REFUSED, words, now)
    if not check.refreshed:
        words = check.words[:_LONGEST_WORDS] or "no response"
        if not known.refresh_problem:
            events.append(ShardEvent("shard.refresh_failed", {"why": words}))
        return ShardChange(msgspec.structs.replace(seen, refresh_problem=words), events)
    return ShardChange(msgspec.structs.replace(seen, refresh_problem="", last_refresh_at=now), events)


def _rest_by(quota: Sequence[QuotaWindow], known_until: datetime | None, now: datetime) -> datetime | None:
    """Until when a shard that rests has to rest, by what OpenAI itself told; None where it need not."""
    if known_until is None:
        return None
    used_up = [w for w in quota if w.used_percent >= _USED_UP and (w.resets_at is None or w.resets_at > now)]
    if not used_up:
        return None
    ends = [window.resets_at for window in used_up if window.resets_at is not None]
    return min(max(ends), now + LONGEST_REST) if ends else min(known_until, now + REST_UNTOLD)


def turn_ended(known: Shard, turn: TurnOutcome, *, now: datetime, jitter: timedelta) -> ShardChange:
    """A model turn came to an end.

    All of it comes from the agent's container. What would take the login out of use for long is believed for a while,
    and OpenAI is asked (`check_wanted`).
    """
    if known.login_fault in SHOWN_BY_THE_FILE:
        # The turn was not the work of the account that was signed in.
        return ShardChange(known)
    seen = known
    if turn.quota:
        seen = msgspec.structs.replace(seen, quota=turn.quota, quota_at=now)
    match turn.verdict:
        case AgentVerdict.COMPLETED:
            seen = msgspec.structs.replace(seen, last_turn_at=now, check_wanted=False)
            return _judged(known, seen, LoginState.PRESENT, None, "", now)
        case AgentVerdict.LOGIN_DEAD:
            words = f"OpenAI rejected the login. {turn.message}".strip()[:_LONGEST_WORDS]
            tried = known.refresh_tried_at
            seen = msgspec.structs.replace(seen, check_wanted=tried is None or now - tried >= ASK_AGAIN_AFTER)
            return _judged(known, seen, LoginState.DEAD, LoginFault.UNAUTHORIZED, words, now)
        case AgentVerdict.PLAN_WITHOUT_CODEX:
            words = f"{who_must_act(turn.limit)} {turn.message}".strip()[:_LONGEST_WORDS]
            return _judged(known, seen, LoginState.REFUSED, LoginFault.ACCOUNT_REFUSED, words, now, limit=turn.limit)
        case AgentVerdict.QUOTA:
            until = rest_end(turn, now) + jitter
            seen = msgspec.structs.replace(seen, rests_until=until, check_wanted=True)
            told = {"until": until, "resets_at": turn.resets_at, "windows": turn.quota}
            return ShardChange(seen, [ShardEvent("shard.rests", told)])
        case _:
            return ShardChange(msgspec.structs.replace(seen, check_wanted=True))


def rest_end(turn: TurnOutcome, now: datetime) -> datetime:
    """Until when a shard rests by a turn's word alone: a far end is not believed yet, nor one that is over."""
    told = turn.resets_at
    believed = told is not None and now < told <= now + LONGEST_UNCONFIRMED_REST
    return told if told is not None and believed else now + REST_UNTOLD


def rest_jitter(turn: TurnOutcome, now: datetime) -> timedelta:
    """How much longer than told a shard rests: clocks differ, and not all shards should begin in the same second."""
    rest = (rest_end(turn, now) - now).total_seconds()
    return timedelta(seconds=1 + random.uniform(0, min(30.0, max(0.0, rest) / 20)))  # noqa: S311 - no secret


def rest_over(known: Shard, *, now: datetime) -> ShardChange:
    """The clock: a rest ends by itself. One that is longer than any usage window is no rest."""
    if known.rests_until is None or now < known.rests_until <= now + LONGEST_REST + _LONGEST_JITTER:
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
        "workspace_owner_credits_depleted": "The workspace has no credits left: its owner must buy credits.",
        "workspace_member_credits_depleted": "The workspace has no credits left: its owner must buy credits.",
        "workspace_owner_usage_limit_reached": "The workspace's spending limit is reached: its owner must raise it.",
        "workspace_member_usage_limit_reached": "This account's spending limit is reached: its administrator must "
        "raise it.",
    }.get(limit or "", "The account's ChatGPT plan does not include Codex: its owner must change the plan.")


def _is_another_account(known: Shard, facts: LoginFacts) -> bool:
    """Whether the file is not the account's that was signed in, as far as one is known."""
    if known.account:
        return facts.account != known.account
    # A state of an older version knows the e-mail address alone.
    return known.account_email is not None and facts.email != known.account_email


def _judged(  # noqa: PLR0917 - one row of a table
    known: Shard, seen: Shard, login: LoginState, fault: LoginFault | None, words: str, now: datetime, **more: object
) -> ShardChange:
    """The login's new state; since when only where it is another one, and the event with it."""
    changed = known.login is not login or known.login_fault is not fault
    since = now if changed or known.login_since is None else known.login_since
    judged = msgspec.structs.replace(seen, login=login, login_fault=fault, login_reason=words, login_since=since)
    event = ShardEvent(f"shard.login_{login.value}", {"fault": fault, "why": words, "was": known.login, **more})
    return ShardChange(judged, [event] if changed else [])
