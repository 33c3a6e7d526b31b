"""Signs shards in with the real Codex CLI, and reads and changes their login files."""

from datetime import UTC, datetime

from moonmind_appliance.models import ExecSpec
from moonmind_appliance.models.container_paths import LOGIN_FOLDER
from moonmind_appliance.runs.sign_in import SignIn, SignInFailed
from moonmind_appliance.shards.check import check_shard
from moonmind_appliance.shards.health import health_of
from moonmind_appliance.shards.read_login import read_stored_login
from moonmind_appliance.shards.spec import login_spec


def login_file(resources, shard):
    return read_stored_login(resources, shard)


def sign_in(resources, shard, **more):
    """Sign in; returns the shard's state and the steps before it."""
    with SignIn(resources, shard, **more) as steps:
        return to_the_end(steps)


def to_the_end(steps):
    *before, last = steps
    if isinstance(last, SignInFailed):
        raise last.error
    return last.shard, before


def check(resources, shard, **more):
    return check_shard(resources, shard, **more)


class Nowhere:
    def write(self, data):
        pass


def put_login(resources, shard, content):
    """Change the stored file without the appliance."""
    name = resources.shards[shard]
    spec = login_spec(
        resources,
        name,
        role="login",
        name=name.lock,
        login_volume=name.volume,
    )
    resources.engine.start(spec)
    try:
        if content is None:
            nowhere = Nowhere()
            command = ExecSpec(command=["rm", "-f", f"{LOGIN_FOLDER}/auth.json"])
            resources.engine.execute(name.lock, command, stdout=nowhere, stderr=nowhere)
        else:
            resources.engine.put_file(name.lock, f"{LOGIN_FOLDER}/auth.json", content)
    finally:
        resources.engine.remove(name.lock)


def grades(state):
    return {grade.name: grade.good for grade in health_of(state, now=datetime.now(UTC)).grades}
