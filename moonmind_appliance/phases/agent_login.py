"""Records the login that the run uses."""

import hashlib

from moonmind_appliance.containers.login_file import read_login_file
from moonmind_appliance.in_container.login_volume import LOGIN_FILE_LIMIT
from moonmind_appliance.models.container_paths import LOGIN_FOLDER
from moonmind_appliance.phases.context import PhaseContext, RecordedLogin


def record_login(ctx: PhaseContext, *, lost: bool = False) -> RecordedLogin:
    """Read the login file in the container that has it, and record it in the shard's state. May be repeated.

    With `lost`, the container has ended: if it is being removed, its volumes look empty, so that a missing file is not
    recorded.
    """
    path = f"{LOGIN_FOLDER}/{ctx.agent.login_files()[0]}"
    login_file = read_login_file(ctx.engine, ctx.names.login, path, limit=LOGIN_FILE_LIMIT)
    if login_file is None and lost:
        return RecordedLogin(digest=None, problem="")
    problem = ctx.login_recorder.record(login_file)
    return RecordedLogin(
        digest=None if login_file is None else hashlib.sha256(login_file).hexdigest(),
        problem=f"shard {ctx.names.shard.index}: {problem}" if problem else "",
        by_api_key=login_file is not None and ctx.agent.login_facts(login_file).by_api_key,
    )
