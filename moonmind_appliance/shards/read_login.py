"""Find out whether a shard has a login, without running a command or a model turn."""

import msgspec

from moonmind_appliance.agents.adapter import AgentAdapter
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.containers.login_file import read_login_file
from moonmind_appliance.containers.volume_lock import LOOK, start_under_lock
from moonmind_appliance.in_container.login_volume import LOGIN_FILE_LIMIT
from moonmind_appliance.models import Shard
from moonmind_appliance.models.container_paths import LOGIN_FOLDER
from moonmind_appliance.resources import Resources
from moonmind_appliance.shards.evidence import login_file_observed
from moonmind_appliance.shards.spec import ensure_login_volume, login_spec


def read_login(engine: ContainerEngine, agent: AgentAdapter, container: str) -> bytes | None:
    """The login file in a container that has the shard's lock; see `read_login_file`."""
    return read_login_file(engine, container, f"{LOGIN_FOLDER}/{agent.login_files()[0]}", limit=LOGIN_FILE_LIMIT)


def read_stored_login(resources: Resources, shard: int) -> bytes | None:
    """The stored login file, see `read_login_file`. Takes the shard's lock.

    Raises:
        NameTaken: a run, a sign-in or a check uses the shard.
        EngineError: also when the job image is missing.
    """
    name = resources.shards[shard]
    ensure_login_volume(resources, name)
    spec = login_spec(resources, name, role=LOOK, name=name.lock, login_volume=name.volume)
    container = start_under_lock(resources.engine, spec, run=False)
    try:
        return read_login(resources.engine, resources.agent, container)
    finally:
        resources.engine.remove(container)


def record_login_file(resources: Resources, shard: int, login_file: bytes | None, *, signed_in: bool = False) -> Shard:
    """Store what the login file says, and add its secrets to redaction.

    A dead login stays dead until its file changes, or `signed_in` says that it is a new one. Only with `signed_in` may
    the login belong to another account; without a file, `signed_in` means that the shard was signed out.
    """
    agent, redactor, shards = resources.agent, resources.redactor, resources.store.shards
    now, facts = resources.clock(), None
    if login_file is not None:
        facts = agent.login_facts(login_file)
        same = facts.account_is_content and facts.account == shards.get(shard).account
        redactor.learn(f"shard {shard}", agent.secrets_of(login_file), signed_in=signed_in or same)
        # These are unverified claims of the file's tokens, which the agent could have written.
        email, plan = (redactor.redact_text(value) if value else None for value in (facts.email, facts.plan))
        facts = msgspec.structs.replace(facts, email=email, plan=plan)
    return shards.change(
        shard, lambda known: login_file_observed(known, login_file, facts, now=now, signed_in=signed_in)
    )
