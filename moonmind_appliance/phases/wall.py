"""The wall around a run's agent: the egress container, and the record of what the agent tried to reach.

The agent container has no network. The program `egress_proxy`, or `login_broker` with LOGIN_BROKER, in the egress
container accepts the connections to its listening socket, and connects only to allowed hosts (decisions 47 and 53).
"""

import logging
import secrets
from collections.abc import Iterable
from concurrent.futures import Future, wait

from moonmind_appliance.agents.egress import allowed_hosts, listen_command, proxy_exec, proxy_files
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.containers.volume_lock import start_under_lock
from moonmind_appliance.errors import EngineError, StoreError
from moonmind_appliance.in_container.egress_record import ALLOWED
from moonmind_appliance.models import (
    LABEL_APPLIANCE,
    LABEL_RUN,
    ContainerSpec,
    EndReason,
    ExecOutcome,
    ExecSpec,
    Failure,
    Limits,
    Mount,
    PhaseName,
    network_of,
)
from moonmind_appliance.models.container_paths import AGENT_HOME, EGRESS_FOLDER, LOGIN_FOLDER
from moonmind_appliance.phases.background import in_background, in_daemon
from moonmind_appliance.phases.commands import SLEEP, Tee, lost
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.egress_record import EgressLines, EgressTarget, add, keep_record, stored_record
from moonmind_appliance.phases.login_broker import RunBroker
from moonmind_appliance.phases.names import EGRESS

_MEMORY, _CPUS, _PIDS = 256 * 1024**2, 1.0, 64
# With Codex's app server, which renews the login.
_BROKER_MEMORY, _BROKER_PIDS = 512 * 1024**2, 256
_SCRATCH = "rw,exec,nosuid,nodev,size=64m,mode=1777"
_HOME = "rw,exec,nosuid,nodev,size=64m,mode=0700,uid=1000,gid=1000"
CHECK_SECONDS = 60.0
"""Longest wait for a login check that uses the shard."""
_SOCKET_NAME_BYTES = 8
_MOST_NAMED = 3

_log = logging.getLogger(__name__)


class Wall:
    """The wall of one attempt of a run. Thread-safe, except `keep`."""

    def __init__(self, ctx: PhaseContext) -> None:
        self._ctx = ctx
        self.broker = RunBroker(ctx) if ctx.settings.login_broker else None
        self._earlier = stored_record(ctx)
        self._socket = f"{secrets.token_hex(_SOCKET_NAME_BYTES)}.sock"
        self._lines = EgressLines(None if self.broker is None else self.broker.reader)
        self._stderr = Tee()
        self._kept: list[EgressTarget] | None = None
        self._started: Future[None] | None = None
        self._ended: Future[ExecOutcome] | None = None

    @property
    def agent_command(self) -> list[str]:
        """The main command of the agent container."""
        return listen_command(self._socket)

    def start(self) -> None:
        """Start the egress container and then its proxy, in the background.

        The volume must exist, and the git container must run.
        """
        self._started = in_background("egress", self._start)

    def wait_started(self) -> None:
        """Wait until the egress container has started or failed to start."""
        if self._started is not None:
            wait([self._started])

    def check_started(self) -> None:
        """Wait for the start of the egress container.

        Raises:
            NameTaken: it needs the shard's lock, which another container has.
            EngineError: it could not be started.
        """
        if self._started is not None:
            self._started.result()

    def end_with_proxy(self, agent: str) -> None:
        """End the agent container, by its id, when the proxy ends: without it Codex would retry for a minute.

        Raises:
            EngineError: the egress container could not be started.
        """
        self.check_started()
        if self._ended is not None:
            self._ended.add_done_callback(lambda _: _end_container(self._ctx.engine, agent))

    def wait_ready(self) -> Failure | None:
        """Wait until the proxy accepts connections; returns why the login broker cannot work.

        Gives the broker's login to the next turn.

        Raises:
            ContainerLost: the proxy ended.
            RunInterrupted: the run must end.
        """
        while not self._lines.ready.wait(0.02):
            self._ctx.cancel.check()
            if self._ended is None or self._ended.done():
                if (reason := self._broker_failure()) is not None:
                    return reason
                raise lost("the start", "egress")
        return None if self.broker is None else self.broker.give_login()

    def _broker_failure(self) -> Failure | None:
        """Why the login broker could not start; None if its container has ended, or there is no broker."""
        if self.broker is None or self._ended is None or self._ended.result().ended is not EndReason.EXITED:
            return None
        return self.broker.failure(self._stderr.tail)

    def check_network(self, doing: str) -> None:
        """Check that the git container, whose network the egress container uses, still runs.

        Raises:
            ContainerLost: it has ended, so the agent reached nothing.
        """
        names = self._ctx.names
        found = self._ctx.engine.containers({LABEL_APPLIANCE: names.appliance_id, LABEL_RUN: self._ctx.run.run_id})
        if not any(each.running for each in found if each.name == names.git):
            raise lost(doing, "git")

    def targets(self) -> list[EgressTarget]:
        """What the agent has tried to reach in this attempt."""
        return self._lines.targets()

    def keep(self, phase: PhaseName) -> None:
        """Store what the agent tried to reach, if that changed. Never raises, so that no run fails because of it."""
        targets = self._lines.targets()
        if targets == self._kept:
            return
        try:
            allowed = allowed_hosts(self._ctx.settings, self._ctx.agent.hosts())
            keep_record(self._ctx, add(self._earlier, allowed, targets), phase)
            self._kept = targets
        except StoreError as error:
            _log.warning("Run %s: egress.json could not be stored: %s", self._ctx.run.run_id, error)

    def _start(self) -> None:
        ctx = self._ctx
        if self.broker is None:
            container = ctx.engine.start(egress_spec(ctx))
        else:
            container = start_under_lock(ctx.engine, egress_spec(ctx), patience=CHECK_SECONDS, cancel=ctx.cancel)
        ctx.engine.put_files(container, proxy_files(ctx.settings, broker=self.broker is not None))
        spec = proxy_exec(
            ctx.settings, ctx.agent.hosts(), self._socket, None if self.broker is None else self.broker.job
        )
        self._ended = in_daemon("egress-proxy", lambda: self._run(container, spec))

    def _run(self, container: str, spec: ExecSpec) -> ExecOutcome:
        ended = self._ctx.engine.execute(container, spec, stdout=self._lines, stderr=self._stderr)
        if ended.ended is not EndReason.CONTAINER_GONE:
            shown = self._ctx.redactor.redact_text(self._stderr.tail.decode(errors="replace"))[-2000:]
            _log.warning("Run %s: the egress proxy ended: %s", self._ctx.run.run_id, shown)
        return ended


def _end_container(engine: ContainerEngine, container: str) -> None:
    """Kill a container that may have ended or may not exist any more."""
    try:
        engine.kill(container)
    except EngineError as error:
        _log.debug("%s could not be ended: %s", container, error)


def egress_spec(ctx: PhaseContext) -> ContainerSpec:
    """The egress container: it has a network, but nothing of the run. Its exec gets the operator's proxy.

    It uses the network of the git container: Docker needs 0.2 s to give a container a network of its own. With
    LOGIN_BROKER it has the shard's login, too, and so the shard's lock.
    """
    names = ctx.names
    memory, pids = (_BROKER_MEMORY, _BROKER_PIDS) if ctx.settings.login_broker else (_MEMORY, _PIDS)
    limits = Limits(min(memory, ctx.limits.memory_bytes), min(_CPUS, ctx.limits.cpus), pids)
    mounts, env, tmpfs = [Mount(names.egress_volume, EGRESS_FOLDER)], {"LANG": "C.UTF-8"}, dict[str, str]()
    if ctx.settings.login_broker:
        mounts.append(Mount(names.shard.volume, LOGIN_FOLDER))
        env = ctx.agent.environment()
        # The private keys of the broker are only here.
        tmpfs = {"/tmp": _SCRATCH, AGENT_HOME: _HOME}  # noqa: S108 - a path inside the container
    return ContainerSpec(
        name=names.egress,
        image=ctx.settings.spec_automation_job_image,
        command=SLEEP,
        labels=names.labels(EGRESS),
        limits=limits,
        network=network_of(names.git),
        env=env,
        mounts=mounts,
        tmpfs=tmpfs,
    )


def needed_targets(ctx: PhaseContext, before: Iterable[EgressTarget] = ()) -> dict[str, str]:
    """What the agent needs and did not reach, by outcome: up to three targets with their reasons.

    If the hosts of its service are unknown, any refused target may be one of them.

    Args:
        ctx: the run.
        before: the wall's targets at the start of the turn. Connections that they contain do not count.
    """
    if ctx.wall is None:
        return {}
    own = ctx.agent.hosts()
    known = {each.key: each.connections for each in before}
    found: dict[str, list[str]] = {}
    for each in ctx.wall.targets():
        host = each.target.rpartition(":")[0]
        is_new = each.connections > known.get(each.key, 0)
        if is_new and each.outcome != ALLOWED and (not own or host in own):
            found.setdefault(each.outcome, []).append(f"{each.target} ({each.reason})")
    return {outcome: ", ".join(named[:_MOST_NAMED]) for outcome, named in found.items()}
