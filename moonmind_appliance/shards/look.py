"""Look whether a shard has a login, without running anything and without a model turn."""

from datetime import datetime

import msgspec

from moonmind_appliance.agents.adapter import LOGIN_FOLDER, AgentAdapter
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.models import LoginState, Shard, ShardName
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Settings
from moonmind_appliance.shards.spec import login_labels, login_spec
from moonmind_appliance.store import Store

LOGIN_FILE_LIMIT = 256 * 1024


def look_at_shard(
    engine: ContainerEngine,
    settings: Settings,
    agent: AgentAdapter,
    shard: ShardName,
    *,
    appliance_id: str,
) -> bytes | None:
    """The stored login file, or None where there is none. Holds the shard's lock for the time of the look.

    Raises:
        NameTaken: a run or a login uses the shard.
        EngineError: also when the job image is missing.
    """
    engine.ensure_network(settings.job_network, {"moonmind.appliance": appliance_id})
    engine.ensure_volume(shard.volume, login_labels(shard, appliance_id, "login"))
    spec = login_spec(settings, agent, shard, appliance_id, role="look", name=shard.lock, login_volume=shard.volume)
    container = engine.start(spec, run=False)
    try:
        return engine.read_file(container, f"{LOGIN_FOLDER}/{agent.login_files()[0]}", limit=LOGIN_FILE_LIMIT)
    finally:
        engine.remove(container)


def note_login(
    store: Store, redactor: Redactor, agent: AgentAdapter, shard: int, login_file: bytes | None, *, now: datetime
) -> Shard:
    """Keep what a look at the login file told. A login that is known to be dead stays dead until its file changes."""
    known = store.shards.get(shard)
    if login_file is None:
        seen = msgspec.structs.replace(
            known, login=LoginState.ABSENT, login_reason="no login in the volume", login_at=None, checked_at=now
        )
    else:
        for kind, value in agent.secrets_of(login_file).items():
            redactor.add(f"shard {shard} {kind}", value)
        facts = agent.login_facts(login_file)
        if not facts.usable:
            seen = msgspec.structs.replace(
                known, login=LoginState.DEAD, login_reason="the login file cannot be read", checked_at=now
            )
        elif known.login is LoginState.DEAD and known.login_at == facts.made_at:
            seen = msgspec.structs.replace(known, checked_at=now)
        else:
            seen = msgspec.structs.replace(
                known,
                login=LoginState.PRESENT,
                login_reason="",
                account_email=facts.email,
                plan=facts.plan,
                login_at=facts.made_at,
                access_expires_at=facts.access_expires_at,
                checked_at=now,
            )
    changed = seen.login is not known.login
    store.shards.save(seen, event=f"shard.login_{seen.login.value}" if changed else None)
    return seen
