"""Checks of the shards' logins as last observed; logins that were never observed are checked now."""

from collections.abc import Iterable, Iterator, Sequence

from moonmind_appliance.checks.finding import Finding, Level, note, ok, wrong
from moonmind_appliance.models import LoginState, Shard
from moonmind_appliance.resources import Resources
from moonmind_appliance.shards.upkeep import refresh_login

_PROGRAM = "moonmind-appliance"


def logins(resources: Resources, *, check_unknown: bool = False) -> Iterator[Finding]:
    """A finding for each shard, see `shard_logins`.

    Args:
        resources: what verbs work with.
        check_unknown: check the logins that were never observed, which starts a container for each.
    """
    shards = resources.store.shards.all(len(resources.shards))
    if check_unknown:
        shards = [refresh_login(resources, each) if each.login is LoginState.UNKNOWN else each for each in shards]
    yield from shard_logins(shards, login_broker=resources.settings.login_broker)


def shard_logins(shards: Sequence[Shard], *, login_broker: bool = False) -> list[Finding]:
    """A finding for each shard. One login is enough: a missing one is wrong only if there is no other.

    `login_broker`: LOGIN_BROKER, with which runs on a shard with an API key fail.
    """
    alone = not any(shard.login is LoginState.PRESENT for shard in shards)
    return [
        _unusable_key(shard)
        if login_broker and shard.by_api_key and shard.login is LoginState.PRESENT
        else _shard_login(shard, needed=alone and shard.shard == 0)
        for shard in shards
    ]


def _unusable_key(shard: Shard) -> Finding:
    return wrong(
        f"login of shard {shard.shard}",
        "An API key, which LOGIN_BROKER does not support: runs on this shard fail.",
        f"{_PROGRAM} login-shard {shard.shard} with an account, or LOGIN_BROKER=false.",
    )


def no_login_yet() -> Finding:
    """The finding if no data folder exists."""
    return wrong("login of shard 0", "Not signed in.", f"{_PROGRAM} login-shard 0")


def any_login(findings: Iterable[Finding]) -> Finding:
    """The finding whether any shard can run: the first good one, else the first that is wrong."""
    found = list(findings)
    order = (Level.OK, Level.WRONG, Level.NOTE)
    return min(found, key=lambda finding: order.index(finding.level))


def _shard_login(shard: Shard, *, needed: bool) -> Finding:
    check, sign_in = f"login of shard {shard.shard}", f"{_PROGRAM} login-shard {shard.shard}"
    if shard.login is LoginState.PRESENT:
        who = shard.account_email or "signed in"
        return ok(check, f"{who}, plan {shard.plan}" if shard.plan else who)
    observed = {
        LoginState.ABSENT: "Not signed in.",
        LoginState.DEAD: f"The login no longer works: {shard.login_reason}.",
        LoginState.UNKNOWN: "Not checked yet.",
    }.get(shard.login, shard.login_reason)
    return (wrong if needed or shard.login is LoginState.DEAD else note)(check, observed, sign_in)
