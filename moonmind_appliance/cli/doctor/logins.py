"""The shards' logins, as the appliance last saw them; those that nobody looked at yet are looked at now."""

from moonmind_appliance.appliance import attach
from moonmind_appliance.cli.command import PROGRAM
from moonmind_appliance.cli.doctor.finding import Finding, note, ok, wrong
from moonmind_appliance.cli.terminal import clean
from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.models import LoginState, Shard
from moonmind_appliance.runs.readiness import refresh_login
from moonmind_appliance.settings import Settings


def login_findings(settings: Settings, *, look: bool) -> list[Finding]:
    """A finding a shard. One login is enough to work: only when there is none is something wrong."""
    if not settings.moonmind_data_dir.exists():
        return [wrong("logins", "Nobody is signed in yet.", f"{PROGRAM} login-shard 0")]
    try:
        with attach(settings) as tools:
            shards = tools.store.shards.all(settings.codex_shards)
            if look:
                shards = [
                    refresh_login(tools, shard, tools.clock()) if shard.login is LoginState.UNKNOWN else shard
                    for shard in shards
                ]
    except ApplianceError as error:
        return [wrong("logins", error.message, error.hint)]
    alone = not any(shard.login is LoginState.PRESENT for shard in shards)
    return [_finding(shard, needed=alone and shard.shard == 0) for shard in shards]


def _finding(shard: Shard, *, needed: bool) -> Finding:
    check, sign_in = f"login of shard {shard.shard}", f"{PROGRAM} login-shard {shard.shard}"
    if shard.login is LoginState.PRESENT:
        who = clean(shard.account_email or "signed in")
        return ok(check, f"{who}, plan {clean(shard.plan)}" if shard.plan else who)
    seen = {
        LoginState.ABSENT: "Nobody is signed in.",
        LoginState.DEAD: f"The login is dead: {clean(shard.login_reason)}.",
        LoginState.UNKNOWN: "Nobody could look at it yet.",
    }.get(shard.login, clean(shard.login_reason))
    return (wrong if needed or shard.login is LoginState.DEAD else note)(check, seen, sign_in)
