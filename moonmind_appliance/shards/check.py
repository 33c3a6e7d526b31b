"""The check of a shard's login, which renews it without a model turn."""

import io

import msgspec

from moonmind_appliance.agents.egress import login_proxies
from moonmind_appliance.containers.volume_lock import CHECK, start_under_lock
from moonmind_appliance.models import ExecSpec, LoginState, Shard
from moonmind_appliance.resources import Resources
from moonmind_appliance.shards.evidence import SHOWN_BY_THE_FILE, login_checked
from moonmind_appliance.shards.health import renewal_is_due
from moonmind_appliance.shards.read_login import read_login, read_stored_login, record_login_file
from moonmind_appliance.shards.spec import ensure_login_volume, login_spec, put_extra_ca

_CHECK_LIMIT_SECONDS = 45


def check_shard(resources: Resources, shard: int, *, renew: bool = False) -> Shard:
    """Check the login and renew it if its token expires soon or `renew` is set; no model turn. May be repeated.

    Takes the shard's lock. After a crash the container ends by itself within a minute, so that a renewal in
    progress is finished and its new tokens are stored.

    Raises:
        NameTaken: a run, a sign-in or another check uses the shard.
        EngineError: also when the job image is missing.
    """
    engine, agent, name = resources.engine, resources.agent, resources.shards[shard]
    seen = record_login_file(resources, shard, read_stored_login(resources, shard))
    command = agent.check_command()
    if command is None or seen.by_api_key or seen.login in (LoginState.ABSENT, LoginState.UNKNOWN):
        return seen
    if seen.login_fault in SHOWN_BY_THE_FILE or not (renew or renewal_is_due(seen, resources.clock())):
        return seen
    ensure_login_volume(resources, name)
    spec = login_spec(resources, name, role=CHECK, name=name.lock, login_volume=name.volume)
    container = start_under_lock(engine, spec)
    printed = io.BytesIO()
    try:
        env = login_proxies(resources.settings) | put_extra_ca(resources, container)
        engine.execute(
            container,
            ExecSpec(command=command, env=env, time_limit=_CHECK_LIMIT_SECONDS, working_dir="/work"),
            stdout=printed,
            stderr=io.BytesIO(),
        )
        renewed = read_login(engine, agent, container)
    finally:
        engine.remove(container)
    record_login_file(resources, shard, renewed)
    result = agent.read_check(printed.getvalue())
    result = msgspec.structs.replace(result, words=resources.redactor.redact_text(result.words))
    return resources.store.shards.change(shard, lambda known: login_checked(known, result, now=resources.clock()))
