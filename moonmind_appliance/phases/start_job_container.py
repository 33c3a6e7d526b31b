"""Start the run's containers."""

from collections.abc import Callable
from concurrent.futures import wait

from moonmind_appliance.agents.adapter import SKILLS
from moonmind_appliance.containers.volume_lock import lock_holder, start_under_lock
from moonmind_appliance.errors import ImageNotFound, NameTaken
from moonmind_appliance.models import (
    LABEL_APPLIANCE,
    LABEL_RUN,
    ContainerSpec,
    FailureCode,
    Mount,
    StartedContainers,
    WaitingFor,
    WaitReason,
    failure,
)
from moonmind_appliance.models.container_paths import (
    AGENT_CA_FILE,
    AGENT_EGRESS_FOLDER,
    AGENT_HOME,
    CACHE_FOLDER,
    GIT_CA_FILE,
    GIT_FOLDER,
    LOGIN_FOLDER,
    WORKSPACES,
)
from moonmind_appliance.phases.agent_login import record_login
from moonmind_appliance.phases.background import in_background
from moonmind_appliance.phases.commands import SLEEP
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.names import AGENT, EGRESS, GIT
from moonmind_appliance.phases.renewals import wait_for_renewals
from moonmind_appliance.phases.result import PhaseResult, failed
from moonmind_appliance.phases.turns import turn_of
from moonmind_appliance.phases.wall import CHECK_SECONDS, Wall
from moonmind_appliance.trust import extra_authorities

# A Docker tmpfs is noexec by default.
_SCRATCH = "rw,exec,nosuid,nodev,size=1g,mode=1777"
_HOME = "rw,exec,nosuid,nodev,size=512m,mode=0700,uid=1000,gid=1000"


def start_job_container(ctx: PhaseContext, git_started: Callable[[], None]) -> PhaseResult:
    """Start the containers; check the shard's login. Every attempt does this, and removes this run's leftovers first.

    Args:
        ctx: the context.
        git_started: called when the git container runs; the others may still be starting.
    """
    ctx.wall = Wall(ctx) if ctx.settings.agent_wall else None
    try:
        return _start(ctx, git_started)
    finally:
        # Whatever happens, no container may appear after this phase.
        if ctx.wall is not None:
            ctx.wall.wait_started()


def _start(ctx: PhaseContext, git_started: Callable[[], None]) -> PhaseResult:
    names, engine = ctx.names, ctx.engine
    left = engine.containers({LABEL_APPLIANCE: names.appliance_id, LABEL_RUN: ctx.run.run_id})
    wait_for_renewals(engine, left)
    for container in left:
        engine.remove(container.name)
    engine.ensure_network(ctx.settings.job_network, {LABEL_APPLIANCE: names.appliance_id})
    made = [
        engine.ensure_volume(names.workspace_volume, names.labels("workspace")),
        engine.ensure_volume(names.git_volume, names.labels("git")),
    ]
    if ctx.cache_volume:
        # Not one of `made`: nothing is lost without it.
        engine.ensure_volume(ctx.cache_volume, names.cache_labels(ctx.run.repository))
    if ctx.wall is not None:
        engine.ensure_volume(names.egress_volume, names.labels(EGRESS))
    try:
        starting = in_background("agent", lambda: _start_agent(ctx))
        try:
            git = _start_git(ctx)
            if ctx.wall is not None:
                ctx.wall.start()
            git_started()
        finally:
            # Whatever happens, no container may appear after this phase.
            wait([starting])
        agent = starting.result()
        if ctx.wall is not None and ctx.wall.broker is not None:
            # This container has the login.
            ctx.wall.check_started()
            ctx.login = record_login(ctx)
    except NameTaken as error:
        detail = f"{error.name} is in use by {lock_holder(error)}"
        return PhaseResult(waiting_for=WaitingFor(WaitReason.SHARD_BUSY, detail=detail))
    except ImageNotFound as error:
        return failed(failure(FailureCode.IMAGE_MISSING, error.message))
    if ctx.settings.extra_ca_certs:
        ctx.agent_files[AGENT_CA_FILE] = extra_authorities(ctx.settings.extra_ca_certs)
    if (refused := _login_refusal(ctx)) is not None:
        return refused
    if ctx.wall is not None:
        ctx.wall.end_with_proxy(agent)
    return PhaseResult(
        output=StartedContainers(volumes_are_new=any(made)),
        metadata={
            "agent_container": agent,
            "git_container": git,
            "workspace_volume": names.workspace_volume,
            "shard_volume": names.shard.volume,
        },
    )


def _login_refusal(ctx: PhaseContext) -> PhaseResult | None:
    """Why the run cannot use the recorded login."""
    if ctx.login is not None and ctx.login.problem:
        return PhaseResult(waiting_for=WaitingFor(WaitReason.LOGIN, detail=ctx.login.problem))
    if ctx.settings.login_broker and ctx.login is not None and ctx.login.by_api_key:
        message = (
            f"The login of shard {ctx.names.shard.index} is an API key; LOGIN_BROKER needs a ChatGPT account. "
            "Sign the shard in with an account, or set LOGIN_BROKER=false: then agents can read the key."
        )
        return failed(failure(FailureCode.LOGIN_BROKER_FAILED, message))
    return None


def _start_agent(ctx: PhaseContext) -> str:
    """Start the agent container and the program of its first turn; returns its id. Records the login that it has."""
    if ctx.settings.login_broker:
        agent = ctx.engine.start(agent_spec(ctx))
    else:
        agent = start_under_lock(ctx.engine, agent_spec(ctx), patience=CHECK_SECONDS, cancel=ctx.cancel)
    if turns := [phase for phase in ctx.to_do if phase in SKILLS]:
        ctx.prepared.prepare(ctx.names.agent, turn_of(turns[0], ctx).command.command)
    if not ctx.settings.login_broker:
        ctx.login = record_login(ctx)
    return agent


def _start_git(ctx: PhaseContext) -> str:
    container = ctx.engine.start(git_spec(ctx))
    if ctx.settings.extra_ca_certs and ctx.settings.github_server_url.startswith("https:"):
        ctx.engine.put_file(ctx.names.git, GIT_CA_FILE, extra_authorities(ctx.settings.extra_ca_certs))
    return container


def agent_spec(ctx: PhaseContext) -> ContainerSpec:
    """The agent container: the shard's login and the workspace, no GitHub token, and with AGENT_WALL no network.

    With LOGIN_BROKER it has no login.
    """
    names, settings = ctx.names, ctx.settings
    login = [] if settings.login_broker else [Mount(names.shard.volume, LOGIN_FOLDER)]
    egress = [Mount(names.egress_volume, AGENT_EGRESS_FOLDER, read_only=True)] if settings.agent_wall else []
    return ContainerSpec(
        name=names.agent,
        image=settings.spec_automation_job_image,
        command=SLEEP if ctx.wall is None else ctx.wall.agent_command,
        labels=names.labels(AGENT),
        limits=ctx.limits,
        network=None if settings.agent_wall else settings.job_network,
        env=ctx.agent.environment() | ctx.agent.brokered_environment() | ctx.agent.proxies(),
        mounts=[Mount(names.workspace_volume, WORKSPACES), *login, *egress],
        tmpfs={"/tmp": _SCRATCH, AGENT_HOME: _HOME},  # noqa: S108 - a path inside the container
        working_dir=WORKSPACES,
    )


def git_spec(ctx: PhaseContext) -> ContainerSpec:
    """The git container: its own folder, the workspace and the repository's cache, never a login.

    Each exec gets the token if it needs it.
    """
    names = ctx.names
    cache = [Mount(ctx.cache_volume, CACHE_FOLDER)] if ctx.cache_volume else []
    return ContainerSpec(
        name=names.git,
        image=ctx.settings.spec_automation_job_image,
        command=SLEEP,
        labels=names.labels(GIT),
        limits=ctx.limits,
        network=ctx.settings.job_network,
        env={"HOME": GIT_FOLDER, "LANG": "C.UTF-8"},
        mounts=[Mount(names.workspace_volume, WORKSPACES), Mount(names.git_volume, GIT_FOLDER), *cache],
        tmpfs={"/tmp": _SCRATCH},  # noqa: S108 - a path inside the container
        working_dir=GIT_FOLDER,
    )
