"""Sign a shard out: revoke the login and remove its file."""

import io

from moonmind_appliance.agents.egress import login_proxies
from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.containers.volume_lock import lock_holder
from moonmind_appliance.errors import ApplianceError, NameTaken
from moonmind_appliance.in_container.command import command, limited
from moonmind_appliance.models import ExecSpec
from moonmind_appliance.models.container_paths import LOGIN_FOLDER
from moonmind_appliance.resources import Resources
from moonmind_appliance.shards.login import lock_shard
from moonmind_appliance.shards.read_login import read_login
from moonmind_appliance.shards.spec import ensure_login_volume, put_extra_ca

_LOGOUT_SECONDS = 40


class LogoutRefused(ApplianceError):
    """A run or another sign-in uses the shard; nothing was changed."""


def logout_shard(resources: Resources, shard: int, *, cancel: CancelToken | None = None) -> bool:
    """Sign out; True if there was a login. Idempotent. Removes the file even if the agent's service cannot be reached.

    Raises:
        LogoutRefused: a run or another sign-in uses the shard; the message names it.
        EngineError: the engine failed.
    """
    engine, agent, name = resources.engine, resources.agent, resources.shards[shard]
    ensure_login_volume(resources, name)
    try:
        with lock_shard(resources, name, wait_for_shard=None, cancel=cancel):
            if read_login(engine, agent, name.lock) is None:
                return False
            env = login_proxies(resources.settings) | put_extra_ca(resources, name.lock)
            # `timeout` limits this command: an exec's limit would end the container, which the next command needs.
            sign_out = limited(agent.logout_command(), _LOGOUT_SECONDS)
            remove = command("remove_login", {"folder": LOGIN_FOLDER, "name": agent.login_files()[0]})
            for argv in (sign_out, remove):
                spec = ExecSpec(command=argv, env=env, time_limit=_LOGOUT_SECONDS + 20, working_dir="/work")
                engine.execute(name.lock, spec, stdout=io.BytesIO(), stderr=io.BytesIO())
            return True
    except NameTaken as error:
        raise LogoutRefused(
            f"Shard {shard} is in use by {lock_holder(error)}; nothing was changed.",
            hint="Wait until it ends, or cancel the run; then try again.",
        ) from error
