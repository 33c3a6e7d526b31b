"""Start the run's two containers."""

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

from moonmind_appliance.agents.adapter import AGENT_CA_FILE, AGENT_HOME, LOGIN_FOLDER, WORKSPACES
from moonmind_appliance.containers.login_file import read_login_file
from moonmind_appliance.containers.volume_lock import start_under_lock
from moonmind_appliance.errors import ImageNotFound, NameTaken
from moonmind_appliance.in_container.login_volume import LOGIN_FILE_LIMIT
from moonmind_appliance.models import ContainerSpec, FailureCode, Mount, PhaseName, WaitingFor, WaitReason, failure
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.names import GIT_CA_FILE, GIT_FOLDER, LABEL_APPLIANCE, LABEL_ROLE, LABEL_RUN
from moonmind_appliance.phases.result import PhaseResult, failed
from moonmind_appliance.phases.turns import turn_of

# A Docker tmpfs is noexec by default.
_SCRATCH = "rw,exec,nosuid,nodev,size=1g,mode=1777"
_HOME = "rw,exec,nosuid,nodev,size=512m,mode=0700,uid=1000,gid=1000"
_SHORT_WORK_SECONDS = 60.0
_SLEEP = ["sleep", "infinity"]


def start_job_container(ctx: PhaseContext) -> PhaseResult:
    """Start both containers; check the shard's login. Every attempt does this, and removes this run's leftovers first.

    If a clone is due, it begins as soon as the git container runs, while the agent container is still starting: a start
    takes longer than most clones. `git_clone` waits for it and reports it.
    """
    names, engine = ctx.names, ctx.engine
    for container in engine.containers({LABEL_APPLIANCE: names.appliance_id, LABEL_RUN: ctx.run.run_id}):
        engine.remove(container.name)
    engine.ensure_network(ctx.settings.job_network, {LABEL_APPLIANCE: names.appliance_id})
    made = [
        engine.ensure_volume(names.workspace_volume, names.labels("workspace")),
        engine.ensure_volume(names.git_volume, names.labels("git")),
    ]
    pool = ThreadPoolExecutor(3, thread_name_prefix="start")
    try:
        git = pool.submit(_start_git, ctx)
        # In sequence: in parallel each start takes twice as long, and the clone needs only the first container.
        agent = pool.submit(_start_agent, ctx, git)
        if ctx.clone_ahead is not None and git.exception() is None:
            ctx.clone = pool.submit(ctx.clone_ahead, ctx)
        errors = [future.exception() for future in (git, agent)]
    finally:
        pool.shutdown(wait=False)
    for error in errors:
        if isinstance(error, NameTaken):
            return PhaseResult(waiting_for=WaitingFor(WaitReason.SHARD_BUSY, detail=_holder(error)))
        if isinstance(error, ImageNotFound):
            return failed(failure(FailureCode.IMAGE_MISSING, error.message))
        if error is not None:
            raise error
    if ctx.login_problem:
        return PhaseResult(waiting_for=WaitingFor(WaitReason.LOGIN, detail=ctx.login_problem))
    return PhaseResult(
        metadata={
            "agent_container": agent.result(),
            "git_container": git.result(),
            "workspace_volume": names.workspace_volume,
            "workspace_is_new": any(made),
            "shard_volume": names.shard.volume,
        }
    )


def read_login(ctx: PhaseContext) -> None:
    """Read the login file in the agent container, and record whether the run may use it."""
    path = f"{LOGIN_FOLDER}/{ctx.agent.login_files()[0]}"
    login = read_login_file(ctx.engine, ctx.names.agent, path, limit=LOGIN_FILE_LIMIT)
    ctx.login_digest = None if login is None else hashlib.sha256(login).hexdigest()
    problem = ctx.login_seen(login)
    ctx.login_problem = f"shard {ctx.names.shard.index}: {problem}" if problem else ""


def _start_git(ctx: PhaseContext) -> str:
    container = ctx.engine.start(git_spec(ctx))
    if ctx.settings.extra_ca_certs and ctx.settings.github_server_url.startswith("https:"):
        ctx.engine.put_file(ctx.names.git, GIT_CA_FILE, ctx.settings.extra_ca_certs.read_bytes())
    return container


def _start_agent(ctx: PhaseContext, git: Future[str]) -> str:
    if git.exception() is not None:
        return ""
    container = _start_when_free(ctx)
    files = {}
    if ctx.settings.extra_ca_certs:
        files[AGENT_CA_FILE] = ctx.settings.extra_ca_certs.read_bytes()
    if ctx.clone_ahead is not None:
        files |= turn_of(PhaseName.SPECKIT_SPECIFY, ctx).files
    ctx.engine.put_files(ctx.names.agent, files)
    ctx.files_there = set(files)
    read_login(ctx)
    return container


def _start_when_free(ctx: PhaseContext) -> str:
    """Start the agent container; waits for a short login operation, such as a check, to end."""
    return start_under_lock(ctx.engine, agent_spec(ctx), patience=_SHORT_WORK_SECONDS, cancel=ctx.cancel)


def _holder(error: NameTaken) -> str:
    """Who uses the shard, for display."""
    role, run = error.holder.get(LABEL_ROLE, "an unknown container"), error.holder.get(LABEL_RUN)
    return f"{error.name} is in use by {role}" + (f" of run {run}" if run else "")


def agent_spec(ctx: PhaseContext) -> ContainerSpec:
    """The agent container: the shard's login and the workspace, no GitHub token."""
    names = ctx.names
    return ContainerSpec(
        name=names.agent,
        image=ctx.settings.spec_automation_job_image,
        command=_SLEEP,
        labels=names.labels("agent"),
        limits=ctx.limits,
        network=ctx.settings.job_network,
        env=ctx.agent.environment(),
        mounts=[Mount(names.workspace_volume, WORKSPACES), Mount(names.shard.volume, LOGIN_FOLDER)],
        tmpfs={"/tmp": _SCRATCH, AGENT_HOME: _HOME},  # noqa: S108 - a path inside the container
        working_dir=WORKSPACES,
    )


def git_spec(ctx: PhaseContext) -> ContainerSpec:
    """The git container: its own folder and the workspace, never a login. Each exec gets the token if it needs it."""
    names = ctx.names
    return ContainerSpec(
        name=names.git,
        image=ctx.settings.spec_automation_job_image,
        command=_SLEEP,
        labels=names.labels("git"),
        limits=ctx.limits,
        network=ctx.settings.job_network,
        env={"HOME": GIT_FOLDER, "LANG": "C.UTF-8"},
        mounts=[Mount(names.workspace_volume, WORKSPACES), Mount(names.git_volume, GIT_FOLDER)],
        tmpfs={"/tmp": _SCRATCH},  # noqa: S108 - a path inside the container
        working_dir=GIT_FOLDER,
    )
