"""Sign a shard in: in a staging volume first, moved over only on success.

`codex login` revokes and deletes the stored login before it asks for a code (seen on 0.169.0): a login that fails,
is refused or is cut off must not touch the one that works.
"""

import re
import time
from collections.abc import Callable

import msgspec

from moonmind_appliance.agents.adapter import LOGIN_FOLDER, AgentAdapter
from moonmind_appliance.containers.engine import CancelToken, ContainerEngine
from moonmind_appliance.errors import ApplianceError, EngineError, NameTaken
from moonmind_appliance.models import EndReason, ExecSpec, ShardName
from moonmind_appliance.settings import Settings
from moonmind_appliance.shards.look import LOGIN_FILE_LIMIT
from moonmind_appliance.shards.spec import LOGIN_SECONDS, STAGING_FOLDER, login_labels, login_spec, staging_volume

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ADDRESS = re.compile(r"https?://\S+")
_CODE = re.compile(r"\b[A-Z0-9]{4,6}-[A-Z0-9]{4,6}\b")
_LAST_WORDS = 500


class LoginPrompt(msgspec.Struct, frozen=True):
    """What the person has to do: open the address and type the code; `seconds` are left at first."""

    address: str
    code: str
    seconds: int


class LoginFailed(ApplianceError):
    """The sign-in did not succeed; the old login, if any, is untouched."""


class _PromptReader:
    """Finds address and code in what Codex prints."""

    def __init__(self, tell: Callable[[LoginPrompt], None]) -> None:
        self._tell = tell
        self._told = False
        self.text = ""

    def write(self, data: bytes) -> None:
        self.text = _ANSI.sub("", self.text + data.decode(errors="replace"))
        address, code = _ADDRESS.search(self.text), _CODE.search(self.text)
        if address and code and not self._told:
            self._told = True
            self._tell(LoginPrompt(address[0], code[0], LOGIN_SECONDS))


def login_shard(
    engine: ContainerEngine,
    settings: Settings,
    agent: AgentAdapter,
    shard: ShardName,
    *,
    appliance_id: str,
    tell: Callable[[LoginPrompt], None],
    wait_for_shard: Callable[[NameTaken], None],
    cancel: CancelToken | None = None,
) -> bytes:
    """Sign in by device code; returns the new login file. Safe to call again after any failure.

    Args:
        engine: where the shard's volume is.
        settings: image, network, limits.
        agent: whose login it is.
        shard: which one.
        appliance_id: for the labels.
        tell: shows the prompt to the person.
        wait_for_shard: called once when a run holds the shard at the moment of the move.
        cancel: gives up.

    Raises:
        LoginFailed: refused, timed out, cancelled, or another login of this shard is going on.
        EngineError: the engine failed.
    """
    name, staging = f"{shard.volume}-login", staging_volume(shard)
    engine.ensure_network(settings.job_network, {"moonmind.appliance": appliance_id})
    spec = login_spec(settings, agent, shard, appliance_id, role="login", name=name, login_volume=staging)
    _take_staging(engine, name, staging, login_labels(shard, appliance_id, "staging"))
    try:
        try:
            engine.start(spec)
        except NameTaken as error:
            raise LoginFailed(
                f"Another sign-in of shard {shard.index} is going on.", hint="Finish or stop it, then try again."
            ) from error
        _put_ca(engine, settings, name)
        login_file = _sign_in(engine, agent, name, tell, cancel)
        engine.remove(name)
        _move_over(engine, settings, agent, shard, appliance_id, wait_for_shard, cancel)
        return login_file
    finally:
        _give_staging_back(engine, name, staging)


def _take_staging(engine: ContainerEngine, name: str, staging: str, labels: dict[str, str]) -> None:
    """An empty staging volume. What a crashed sign-in left is removed; a living one keeps its volume."""
    for container in engine.containers(labels | {"moonmind.role": "login"}):
        if container.name == name and not container.running:
            engine.remove(name)
    try:
        engine.remove_volume(staging)
    except EngineError as error:
        raise LoginFailed(
            f"Another sign-in uses {staging}.", hint=f"Finish it, or remove the container {name}; then try again."
        ) from error
    engine.ensure_volume(staging, labels)


def _give_staging_back(engine: ContainerEngine, name: str, staging: str) -> None:
    engine.remove(name)
    engine.remove_volume(staging)


def _put_ca(engine: ContainerEngine, settings: Settings, container: str) -> None:
    if settings.extra_ca_certs:
        engine.put_file(container, f"{LOGIN_FOLDER}/extra-ca.pem", settings.extra_ca_certs.read_bytes())


def _sign_in(
    engine: ContainerEngine,
    agent: AgentAdapter,
    container: str,
    tell: Callable[[LoginPrompt], None],
    cancel: CancelToken | None,
) -> bytes:
    out, err = _PromptReader(tell), _PromptReader(lambda _prompt: None)
    spec = ExecSpec(command=agent.login_command(), time_limit=LOGIN_SECONDS + 30, working_dir="/work")
    ended = engine.execute(container, spec, stdout=out, stderr=err, cancel=cancel)
    if ended.ended is EndReason.CANCELLED:
        raise LoginFailed("The sign-in was stopped; the old login, if any, is untouched.")
    if not ended.ok:
        words = " ".join((err.text or out.text).split())[-_LAST_WORDS:]
        raise LoginFailed(
            f"The sign-in did not succeed; the old login, if any, is untouched. Codex said: {words}",
            hint="Is device code login enabled in the account's security settings?",
        )
    login_file = engine.read_file(container, f"{LOGIN_FOLDER}/{agent.login_files()[0]}", limit=LOGIN_FILE_LIMIT)
    if login_file is None or not agent.login_facts(login_file).usable:
        raise LoginFailed("Codex said that it signed in, but left no login file.", hint="Try again.")
    return login_file


def _move_over(  # noqa: PLR0917 - the same words as its caller
    engine: ContainerEngine,
    settings: Settings,
    agent: AgentAdapter,
    shard: ShardName,
    appliance_id: str,
    wait_for_shard: Callable[[NameTaken], None],
    cancel: CancelToken | None,
) -> None:
    """Replace the login file in one rename, under the shard's lock."""
    engine.ensure_volume(shard.volume, login_labels(shard, appliance_id, "login"))
    spec = login_spec(
        settings,
        agent,
        shard,
        appliance_id,
        role="login",
        name=shard.lock,
        login_volume=shard.volume,
        staging=staging_volume(shard),
    )
    told = False
    while True:
        try:
            engine.start(spec)
            break
        except NameTaken as error:
            if not told:
                wait_for_shard(error)
                told = True
            if cancel is not None and cancel.wait(1.0):
                raise LoginFailed("The sign-in was stopped; the old login, if any, is untouched.") from error
            if cancel is None:
                time.sleep(1.0)
    try:
        file = agent.login_files()[0]
        command = (
            f"cp {STAGING_FOLDER}/{file} {LOGIN_FOLDER}/{file}.new && chmod 600 {LOGIN_FOLDER}/{file}.new"
            f" && sync {LOGIN_FOLDER}/{file}.new && mv {LOGIN_FOLDER}/{file}.new {LOGIN_FOLDER}/{file}"
        )
        words = _PromptReader(lambda _prompt: None)
        ended = engine.execute(
            shard.lock, ExecSpec(command=["sh", "-c", command], time_limit=60), stdout=words, stderr=words
        )
        if not ended.ok:
            raise LoginFailed(f"The new login could not be stored in {shard.volume}: {words.text.strip()}")
    finally:
        engine.remove(shard.lock)
