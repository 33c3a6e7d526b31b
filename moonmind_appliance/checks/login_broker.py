"""Compares what OpenAI answers with the shard's login directly, and through a login broker. No model turn.

LOGIN_BROKER is off by default, because only a real login shows whether OpenAI accepts the broker's requests. This check
shows it with two requests that use no quota.
"""

import io
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta

import msgspec

from moonmind_appliance.agents.adapter import AgentAdapter, BrokeredLogin, BrokerReader, ServiceAnswers
from moonmind_appliance.agents.choose import agent_of
from moonmind_appliance.agents.egress import listen_command, login_proxies, proxy_exec, proxy_files
from moonmind_appliance.checks.finding import Finding, note, ok, wrong
from moonmind_appliance.containers.volume_lock import CHECK, lock_holder, start_under_lock
from moonmind_appliance.errors import NameTaken
from moonmind_appliance.in_container.ca_bundle import EXTRA_CA_VARIABLE
from moonmind_appliance.in_container.command import limited
from moonmind_appliance.models import LABEL_ROLE, ContainerSpec, ExecSpec, LoginState, Mount, QuotaWindow, Shard
from moonmind_appliance.models.container_paths import (
    AGENT_CA_FILE,
    AGENT_EGRESS_FOLDER,
    BROKERED_LOGIN_FILE,
    EGRESS_CA_FILE,
    EGRESS_FOLDER,
    WORKSPACES,
)
from moonmind_appliance.phases.background import in_daemon
from moonmind_appliance.phases.egress_record import EgressLines
from moonmind_appliance.resources import Resources
from moonmind_appliance.shards.read_login import read_login, record_login_file
from moonmind_appliance.shards.spec import SHORT_WORK_SECONDS, ensure_login_volume, login_spec

BROKER = "login broker"
USAGE, MODELS = f"{BROKER}: wham/usage", f"{BROKER}: codex/models"
_LABELS = {LABEL_ROLE: "doctor"}
_READY_SECONDS = 20.0
_ANSWER_SECONDS = 40
# The account may be used elsewhere between the two answers: percent, and the time of a reset.
_USED_DIFFERENCE, _RESET_DIFFERENCE = 5.0, timedelta(minutes=2)
_KEEP_OFF = "Keep LOGIN_BROKER=false, or set it to false."


def login_broker(resources: Resources) -> Iterator[Finding]:
    """A finding for each answer, and one with the conclusion. Uses the first shard that is signed in to an account.

    The containers and volumes are removed afterwards.

    Raises:
        EngineError: a container could not be created.
    """
    settings = msgspec.structs.replace(resources.settings, agent_wall=True, login_broker=True)
    agent = agent_of(settings)
    if agent.broker_job() is None:
        yield wrong(BROKER, f"There is none for {agent.name}.", _KEEP_OFF)
        return
    shard = _signed_in(resources.store.shards.all(len(resources.shards)))
    if shard is None:
        yield wrong(BROKER, "No shard is signed in with a ChatGPT account.", "moonmind-appliance login-shard 0")
        return
    try:
        direct, brokered, refusals = _Comparison(resources, agent, shard.shard).answers()
    except NameTaken as error:
        observed = f"Shard {shard.shard} is in use by {lock_holder(error)}."
        yield wrong(BROKER, observed, "Run it again when no run uses the shard; pause-shard keeps new ones away.")
        return
    except _NotStarted as problem:
        yield wrong(BROKER, f"The broker did not start: {problem}", _KEEP_OFF)
        return
    found = [_usage(direct, brokered), _models(direct, brokered)]
    yield from found
    yield _conclusion(resources, found, refusals)


def _signed_in(shards: Sequence[Shard]) -> Shard | None:
    return next((each for each in shards if each.login is LoginState.PRESENT and not each.by_api_key), None)


def _conclusion(resources: Resources, found: Sequence[Finding], refusals: Sequence[str]) -> Finding:
    if refusals:
        return wrong(BROKER, f"OpenAI refused requests of the broker: {', '.join(refusals)}.", _KEEP_OFF)
    if any(each.to_do for each in found):
        return wrong(BROKER, "OpenAI's answers differ.", _KEEP_OFF)
    if resources.settings.login_broker:
        return ok(BROKER, "on, and OpenAI answers the same through it.")
    return note(BROKER, "off, and OpenAI answers the same through it.", "Set LOGIN_BROKER=true and restart.")


def _usage(direct: ServiceAnswers, brokered: ServiceAnswers) -> Finding:
    if direct.quota is None:
        return wrong(USAGE, f"No answer even without the broker: {direct.quota_problem}", "Check the shard's login.")
    if brokered.quota is None:
        return wrong(USAGE, f"No answer through the broker: {brokered.quota_problem}", _KEEP_OFF)
    if not _are_alike(direct.quota, brokered.quota):
        return wrong(USAGE, f"Direct: {_shown(direct.quota)}; brokered: {_shown(brokered.quota)}.", _KEEP_OFF)
    return ok(USAGE, f"the same, directly and through the broker: {_shown(brokered.quota)}")


def _are_alike(one: Sequence[QuotaWindow], other: Sequence[QuotaWindow]) -> bool:
    """Whether they can be the same windows, although some time has passed."""
    if [each.window_minutes for each in one] != [each.window_minutes for each in other]:
        return False
    for first, second in zip(one, other, strict=True):
        if abs(first.used_percent - second.used_percent) > _USED_DIFFERENCE:
            return False
        if (first.resets_at is None) is not (second.resets_at is None):
            return False
        if first.resets_at and second.resets_at and abs(first.resets_at - second.resets_at) > _RESET_DIFFERENCE:
            return False
    return True


def _shown(quota: Sequence[QuotaWindow]) -> str:
    return (
        ", ".join(f"{each.used_percent:g} % of {each.window_minutes or '?'} minutes" for each in quota) or "no window"
    )


def _models(direct: ServiceAnswers, brokered: ServiceAnswers) -> Finding:
    if direct.models is None:
        return wrong(MODELS, f"No answer even without the broker: {direct.models_problem}", "Check the shard's login.")
    if brokered.models is None:
        return wrong(MODELS, f"No answer through the broker: {brokered.models_problem}", _KEEP_OFF)
    if direct.models_digest != brokered.models_digest:
        return wrong(MODELS, f"Direct: {direct.models} models; brokered: {brokered.models}, or other ones.", _KEEP_OFF)
    own = " (the list that Codex contains)" if brokered.models_contained else ""
    return ok(MODELS, f"the same, directly and through the broker: {brokered.models} models{own}")


class _NotStarted(Exception):
    """Why the broker did not start."""


class _Comparison:
    """The two containers. `agent` is the adapter with a login broker."""

    def __init__(self, resources: Resources, agent: AgentAdapter, shard: int) -> None:
        self._resources = resources
        self._engine = resources.engine
        self._agent = agent
        self._shard = resources.shards[shard]
        self._name = f"moonmind-doctor-{secrets.token_hex(4)}"

    def answers(self) -> tuple[ServiceAnswers, ServiceAnswers, list[str]]:
        """What OpenAI answered directly and through the broker, and which requests of the broker it refused."""
        broker, socket = self._agent.broker_reader(), f"{self._name}.sock"
        with ExitStack() as made:
            for volume in (self._name, f"{self._name}-files"):
                self._engine.ensure_volume(volume, _LABELS)
                made.callback(self._engine.remove_volume, volume)
            ensure_login_volume(self._resources, self._shard)
            with_login = start_under_lock(self._engine, self._spec_with_login())
            made.callback(self._engine.remove, with_login)
            self._engine.put_files(with_login, proxy_files(self._resources.settings, broker=True))
            direct = self._ask(with_login, None, self._environment())
            # Codex may have renewed it.
            renewed = read_login(self._engine, self._resources.agent, with_login)
            record_login_file(self._resources, self._shard.index, renewed)
            without_login = self._engine.start(self._spec_without_login(socket))
            made.callback(self._engine.remove, without_login)
            login = self._serve(with_login, socket, broker)
            files = {BROKERED_LOGIN_FILE: login.login_file, AGENT_CA_FILE: login.authority}
            self._engine.put_files(without_login, files)
            brokered = self._ask(without_login, BROKERED_LOGIN_FILE, self._agent.proxies())
            return direct, brokered, broker.refusals()

    def _environment(self) -> dict[str, str]:
        settings = self._resources.settings
        own = {EXTRA_CA_VARIABLE: EGRESS_CA_FILE} if settings.extra_ca_certs else {}
        return login_proxies(settings) | own

    def _serve(self, container: str, socket: str, broker: BrokerReader) -> BrokeredLogin:
        """Start the broker, and wait until it is ready; returns its login.

        Raises:
            _NotStarted: it ended, or is not ready in time.
        """
        lines, stderr = EgressLines(broker), io.BytesIO()
        spec = proxy_exec(self._resources.settings, self._agent.hosts(), socket, self._agent.broker_job())
        serving = in_daemon("broker-check", lambda: self._engine.execute(container, spec, stdout=lines, stderr=stderr))
        serving.add_done_callback(lambda _: lines.ready.set())
        lines.ready.wait(_READY_SECONDS)
        if broker.login is None:
            last = stderr.getvalue().decode(errors="replace").strip().rpartition("\n")[2]
            raise _NotStarted(broker.problem or last or "it made no login")
        return broker.login

    def _ask(self, container: str, login: str | None, env: dict[str, str]) -> ServiceAnswers:
        printed = io.BytesIO()
        spec = ExecSpec(
            command=self._agent.answers_command(login), env=env, time_limit=_ANSWER_SECONDS, working_dir="/work"
        )
        self._engine.execute(container, spec, stdout=printed, stderr=io.BytesIO())
        return self._agent.read_answers(printed.getvalue())

    def _spec_with_login(self) -> ContainerSpec:
        spec = login_spec(
            self._resources,
            self._shard,
            role=CHECK,
            name=self._shard.lock,
            login_volume=self._shard.volume,
            command=["sleep", str(2 * SHORT_WORK_SECONDS)],
        )
        return msgspec.structs.replace(spec, mounts=[*spec.mounts, Mount(self._name, EGRESS_FOLDER)])

    def _spec_without_login(self, socket: str) -> ContainerSpec:
        """A container like the agent's: without a network and without the login."""
        spec = self._spec_with_login()
        agent = self._agent
        return msgspec.structs.replace(
            spec,
            name=f"{self._name}-agent",
            labels=_LABELS,
            command=limited(listen_command(socket), 2 * SHORT_WORK_SECONDS),
            network=None,
            env=agent.environment() | agent.brokered_environment() | agent.proxies(),
            mounts=[
                Mount(self._name, AGENT_EGRESS_FOLDER, read_only=True),
                Mount(f"{self._name}-files", WORKSPACES),
            ],
        )
