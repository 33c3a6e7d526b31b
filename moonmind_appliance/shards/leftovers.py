"""What agents left in a shard's login volume beside the login: sessions, logs, certificates. Measures or removes it."""

import io

import msgspec

from moonmind_appliance.errors import EngineError
from moonmind_appliance.in_container.command import command
from moonmind_appliance.models import ExecSpec
from moonmind_appliance.models.container_paths import LOGIN_FOLDER
from moonmind_appliance.resources import Resources
from moonmind_appliance.shards.login import lock_shard
from moonmind_appliance.shards.spec import ensure_login_network
from moonmind_appliance.untrusted_json import decode

_TIME_LIMIT = 50


class Leftovers(msgspec.Struct, frozen=True):
    """Bytes and number of the files and folders beside the login."""

    bytes: int
    files: int


def login_leftovers(resources: Resources, shard: int, *, remove: bool) -> Leftovers:
    """Measure the leftovers, and remove them if `remove`. Takes the shard's lock for about a second. May be repeated.

    Never changes a login file. The shard's volume must exist.

    Raises:
        NameTaken: a run, a sign-in or a check uses the shard.
        EngineError: also when the job image is missing.
    """
    name = resources.shards[shard]
    printed = io.BytesIO()
    job = {"folder": LOGIN_FOLDER, "remove": remove}
    ensure_login_network(resources)
    with lock_shard(resources, name, wait_for_shard=None, cancel=None):
        spec = ExecSpec(command=command("login_leftovers", job), time_limit=_TIME_LIMIT)
        resources.engine.execute(name.lock, spec, stdout=printed, stderr=io.BytesIO())
    try:
        return decode(printed.getvalue(), Leftovers)
    except msgspec.MsgspecError as error:
        raise EngineError(f"The contents of the volume {name.volume} could not be measured.") from error
