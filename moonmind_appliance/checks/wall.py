"""Checks the wall around agents: the proxy refuses a host to a container behind it, which has no other connection."""

import io
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from moonmind_appliance.agents.adapter import AgentAdapter
from moonmind_appliance.agents.choose import agent_of
from moonmind_appliance.agents.egress import allowed_hosts, listen_command, proxy_exec, proxy_files
from moonmind_appliance.checks.finding import Finding, note, ok, wrong
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.in_container.command import limited
from moonmind_appliance.models import LABEL_ROLE, ContainerSpec, ExecSpec, Limits, Mount
from moonmind_appliance.models.container_paths import AGENT_EGRESS_FOLDER, EGRESS_FOLDER
from moonmind_appliance.phases.background import in_daemon
from moonmind_appliance.phases.egress_record import EgressLines
from moonmind_appliance.settings import Settings

WALL = "agent wall"
_LABELS = {LABEL_ROLE: "doctor"}
_MEMORY = 128 * 1024**2
# The containers end by themselves if this process is killed.
_LONGEST = 60
_READY_SECONDS = 30.0
_SECONDS = 10
# https://curl.se/libcurl/c/libcurl-errors.html: the name cannot be resolved, the connection failed.
_NO_WAY = frozenset({6, 7})
_REFUSED = "403"
# Reserved by RFC 2606; no entry can allow it.
_NEVER_ALLOWED = "https://wall-check.invalid/"


def wall(engine: ContainerEngine, settings: Settings) -> Finding:
    """Check it with two containers and a volume, which are removed afterwards. The job network must exist.

    Raises:
        EngineError: a container could not be created.
    """
    agent = agent_of(settings)
    if not settings.agent_wall:
        observed = "off: agents can connect to everything that JOB_NETWORK reaches."
        return note(WALL, observed, "Set AGENT_WALL=true.")
    hosts = ", ".join(allowed_hosts(settings, agent.hosts()))
    if not hosts:
        observed = f"on, and the hosts of {agent.name} are unknown: the agent cannot reach its service."
        return wrong(WALL, observed, "List the hosts of its service in AGENT_EGRESS_ALLOW.")
    with _behind_the_wall(engine, settings, agent) as container:
        if container is None:
            return wrong(WALL, "The egress proxy did not start.", "See the log of the Docker engine.")
        asked = _curl(engine, container, ["-w", "%{http_connect}", _NEVER_ALLOWED], agent.proxies())
        direct = _curl(engine, container, ["--noproxy", "*", "https://example.com/"], {})
    if direct[0] not in _NO_WAY:
        observed = "on, but a container behind it can connect to other hosts without the proxy."
        return wrong(WALL, observed, "Update the Docker engine.")
    if asked[1] != _REFUSED:
        return wrong(
            WALL, f"on, but its proxy does not answer (curl: {asked[0]}).", "See the log of the Docker engine."
        )
    return ok(WALL, f"on: the agent can reach {hosts}, and no other host.")


@contextmanager
def _behind_the_wall(engine: ContainerEngine, settings: Settings, agent: AgentAdapter) -> Iterator[str | None]:
    """A container behind the wall; None if its proxy does not start."""
    name = f"moonmind-doctor-{secrets.token_hex(4)}"
    lines = EgressLines()
    with ExitStack() as made:
        engine.ensure_volume(name, _LABELS)
        made.callback(engine.remove_volume, name)
        mount = Mount(name, EGRESS_FOLDER)
        engine.start(_spec(name, settings, ["sleep", str(_LONGEST)], settings.job_network, mount))
        made.callback(engine.remove, name)
        mount = Mount(name, AGENT_EGRESS_FOLDER, read_only=True)
        behind = f"{name}-agent"
        engine.start(_spec(behind, settings, limited(listen_command("x.sock"), _LONGEST), None, mount))
        made.callback(engine.remove, behind)
        engine.put_files(name, proxy_files(settings))
        proxy = proxy_exec(settings, agent.hosts(), "x.sock")
        serving = in_daemon("egress-check", lambda: engine.execute(name, proxy, stdout=lines, stderr=io.BytesIO()))
        # Do not wait for a proxy that has ended.
        serving.add_done_callback(lambda _: lines.ready.set())
        ready = lines.ready.wait(_READY_SECONDS) and not serving.done()
        yield behind if ready else None


def _spec(name: str, settings: Settings, command: list[str], network: str | None, mount: Mount) -> ContainerSpec:
    return ContainerSpec(
        name=name,
        image=settings.spec_automation_job_image,
        command=command,
        labels=_LABELS,
        limits=Limits(_MEMORY, 1.0, 64),
        network=network,
        env={"LANG": "C.UTF-8"},
        mounts=[mount],
        tmpfs={"/tmp": "rw,nosuid,nodev,size=16m,mode=1777"},  # noqa: S108 - a path inside the container
    )


def _curl(engine: ContainerEngine, container: str, arguments: list[str], env: dict[str, str]) -> tuple[int | None, str]:
    """Curl's exit code and output."""
    curl = ["curl", "-sS", "-o", "/dev/null", "--max-time", str(_SECONDS), *arguments]
    out = io.BytesIO()
    spec = ExecSpec(command=curl, env=env, time_limit=_SECONDS + 5)
    ended = engine.execute(container, spec, stdout=out, stderr=io.BytesIO())
    return ended.exit_code, out.getvalue().decode(errors="replace")
