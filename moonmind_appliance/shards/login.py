"""Sign a shard in: the new login replaces the old one only after success.

An agent's sign-in may delete the stored login before it asks for a code, as Codex does: a login that fails, is refused
or is interrupted must not affect the one that works. So the new login is made in a staging volume. The shard's own
volume is mounted only for the move, under the shard's lock, and the file is replaced in one rename.
"""

import io
import itertools
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from moonmind_appliance.agents.adapter import LoginMethod
from moonmind_appliance.agents.egress import login_proxies
from moonmind_appliance.containers.engine import CancelToken, ContainerEngine
from moonmind_appliance.containers.volume_lock import MOVE, start_under_lock
from moonmind_appliance.errors import ApplianceError, EngineError, NameTaken
from moonmind_appliance.in_container.command import command
from moonmind_appliance.in_container.login_volume import LOGIN_FILE_LIMIT
from moonmind_appliance.models import EndReason, ExecOutcome, ExecSpec, ShardNames
from moonmind_appliance.models.container_paths import API_KEY_FILE, LOGIN_CA_FILE, LOGIN_FOLDER
from moonmind_appliance.resources import Resources
from moonmind_appliance.shards.callback import CallbackRelay
from moonmind_appliance.shards.spec import (
    LOGIN_SECONDS,
    SIGN_IN,
    STAGING,
    ensure_login_network,
    ensure_login_volume,
    login_labels,
    login_spec,
)
from moonmind_appliance.trust import extra_authorities

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ADDRESS = re.compile(r"https://\S+|http://(?!localhost|127\.)\S+")
_CODE = re.compile(r"\b[A-Z0-9]{4,6}-[A-Z0-9]{4,6}\b")
_LAST_WORDS = 500
_UNTOUCHED = "The old login, if any, is unchanged."

# A sign-in's container ends by itself this long after the sign-in's process has ended.
_ALIVE_FILE = f"{LOGIN_FOLDER}/alive"
_BEAT_SECONDS = 3.0
_SILENT_SECONDS = 20.0
_OTHER_SIGN_IN_SECONDS = 30.0
_SETTLE_SECONDS = 3.0


class LoginPrompt(msgspec.Struct, frozen=True):
    """What the person must do: open the address and type the code, if there is one, within `seconds`."""

    address: str
    code: str
    seconds: int


class LoginFailed(ApplianceError):
    """The sign-in did not succeed; the old login, if any, is unchanged."""


def _stopped() -> LoginFailed:
    return LoginFailed(f"The sign-in was stopped. {_UNTOUCHED}")


class _PromptReader:
    """Finds the address, and the code if there is one, in the agent's output."""

    def __init__(self, on_prompt: Callable[[LoginPrompt], None], *, with_code: bool) -> None:
        self._on_prompt = on_prompt
        self._with_code = with_code
        self._told = False
        self._lock = threading.Lock()
        self.text = ""

    def write(self, data: bytes) -> None:
        with self._lock:
            self.text = _ANSI.sub("", self.text + data.decode(errors="replace"))
            # Wait for the whole line: an address may arrive in pieces.
            *lines, _rest = self.text.splitlines(keepends=True) or [""]
            whole = "".join([*lines, _rest if _rest.endswith("\n") else ""])
            address, code = _ADDRESS.search(whole), _CODE.search(whole)
            if self._told or not address or (self._with_code and not code):
                return
            self._told = True
        self._on_prompt(LoginPrompt(address[0], code[0] if code and self._with_code else "", LOGIN_SECONDS))


def login_shard(
    resources: Resources,
    shard: int,
    *,
    on_prompt: Callable[[LoginPrompt], None],
    wait_for_shard: Callable[[NameTaken], None],
    cancel: CancelToken | None = None,
    method: LoginMethod = LoginMethod.DEVICE,
    api_key: str | None = None,
) -> bytes:
    """Sign in; returns the new login file after it is stored. May be called again after any failure.

    Args:
        resources: see `Resources`.
        shard: which one.
        on_prompt: shows the prompt to the user; not called for an API key.
        wait_for_shard: called once if a run uses the shard at the time of the move.
        cancel: stops the sign-in.
        method: by device code; by the browser on this machine, which calls back to port 1455 of the loopback
            interface; or with an API key.
        api_key: the key, for that method only.

    Raises:
        LoginFailed: refused, timed out, cancelled, or another sign-in of this shard is in progress.
        EngineError: the engine failed.
    """
    engine, ca_file, shard_name = resources.engine, resources.settings.extra_ca_certs, resources.shards[shard]
    name = shard_name.sign_in
    ensure_login_network(resources)
    with _staging_container(resources, shard_name, name=name, cancel=cancel):
        if ca_file:
            engine.put_file(name, LOGIN_CA_FILE, extra_authorities(ca_file))
        if api_key is not None:
            engine.put_file(name, API_KEY_FILE, api_key.strip().encode())
        login_file = _sign_in(resources, name, method=method, on_prompt=on_prompt, cancel=cancel)
    store_login(resources, shard, login_file, wait_for_shard=wait_for_shard, cancel=cancel)
    return login_file


def login_from_file(
    resources: Resources,
    shard: int,
    content: bytes,
    *,
    wait_for_shard: Callable[[NameTaken], None],
    cancel: CancelToken | None = None,
) -> bytes:
    """Store a login that was made elsewhere; returns it. See `login_shard` for the arguments.

    The original must not be used any more: the first of the two copies that is renewed invalidates the other's refresh
    token. The caller must warn the operator of this.

    Raises:
        LoginFailed: the content is not a login.
        EngineError: the engine failed.
    """
    agent = resources.agent
    if len(content) > LOGIN_FILE_LIMIT or not agent.login_facts(content).usable:
        raise LoginFailed(
            f"This {agent.login_files()[0]} contains no login. {_UNTOUCHED}",
            hint=agent.import_hint,
        )
    store_login(resources, shard, content, wait_for_shard=wait_for_shard, cancel=cancel)
    return content


def store_login(
    resources: Resources,
    shard: int,
    login_file: bytes,
    *,
    wait_for_shard: Callable[[NameTaken], None],
    cancel: CancelToken | None = None,
) -> None:
    """Replace the login file in one rename, under the shard's lock; waits for a run that uses the shard.

    Also removes all files that an agent left in the volume: they could block the write or change what the agent does.

    Raises:
        LoginFailed: cancelled while waiting, or the file could not be written to the volume.
    """
    engine, agent, name = resources.engine, resources.agent, resources.shards[shard]
    ensure_login_volume(resources, name)
    with lock_shard(resources, name, wait_for_shard=wait_for_shard, cancel=cancel):
        # The last point at which a cancel leaves the old login unchanged.
        if cancel is not None and cancel.reason is not None:
            raise _stopped()
        file = f"{LOGIN_FOLDER}/{agent.login_files()[0]}"
        # A random name: no agent could have created a folder of this name.
        new = f"{LOGIN_FOLDER}/.new-{secrets.token_hex(8)}"
        engine.put_file(name.lock, new, login_file)
        output = _PromptReader(lambda _prompt: None, with_code=False)
        spec = ExecSpec(command=command("store_login", {"new": new, "login": file}), time_limit=30)
        if not engine.execute(name.lock, spec, stdout=output, stderr=output).ok:
            raise LoginFailed(
                f"The new login could not be stored in {name.volume}: {output.text.strip()}",
                hint=f"User 1000 must own that volume: docker volume inspect {name.volume}; chown -R 1000",
            )


@contextmanager
def lock_shard(
    resources: Resources,
    shard: ShardNames,
    *,
    wait_for_shard: Callable[[NameTaken], None] | None,
    cancel: CancelToken | None,
) -> Iterator[None]:
    """A running container with the login, which is the shard's lock, for at most a minute.

    Args:
        resources: see `Resources`.
        shard: which one.
        wait_for_shard: called once if a run uses the shard, before waiting for it; None: do not wait.
        cancel: ends the wait.

    Raises:
        NameTaken: a run uses the shard, and `wait_for_shard` is None.
        LoginFailed: cancelled while waiting.
    """
    engine = resources.engine
    spec = login_spec(resources, shard, role=MOVE, name=shard.lock, login_volume=shard.volume)
    sleep, waiting_reported = cancel or CancelToken(), False
    while True:
        try:
            start_under_lock(engine, spec, cancel=cancel)
            break
        except NameTaken as error:
            if wait_for_shard is None:
                raise
            if not waiting_reported:
                wait_for_shard(error)
                waiting_reported = True
            if sleep.wait(1.0):
                raise _stopped() from error
    try:
        yield
    finally:
        engine.remove(shard.lock)


@contextmanager
def _staging_container(
    resources: Resources,
    shard: ShardNames,
    *,
    name: str,
    cancel: CancelToken | None,
) -> Iterator[None]:
    """A running container with an empty login folder. One left by a crash ends by itself, and is replaced."""
    engine, staging = resources.engine, shard.staging_volume
    spec = login_spec(
        resources,
        shard,
        role=SIGN_IN,
        name=name,
        login_volume=staging,
        command=command("end_after_silence", {"file": _ALIVE_FILE, "seconds": _SILENT_SECONDS}),
    )
    labels = login_labels(shard, resources.appliance_id, STAGING)
    began = time.monotonic()
    sleep = cancel or CancelToken()
    while True:
        try:
            engine.ensure_volume(staging, labels)
            engine.start(spec)
            break
        except NameTaken as error:
            if not error.running and error.holder and time.monotonic() > began + _SETTLE_SECONDS:
                # It has ended but was not removed.
                engine.remove(name)
                _remove_volume(engine, staging)
            if sleep.reason is not None:
                raise _stopped() from error
            if time.monotonic() > began + _OTHER_SIGN_IN_SECONDS:
                raise LoginFailed(
                    f"Another sign-in of shard {shard.index} is in progress.", hint="Finish or stop it, then try again."
                ) from error
            sleep.wait(1.0)
    over = threading.Event()
    beat = threading.Thread(target=_beat, args=(engine, name, over), name=f"sign-in-{shard.index}", daemon=True)
    try:
        # A crashed sign-in's files must not be mistaken for this one's.
        engine.execute(
            name,
            ExecSpec(command=command("clean_login", {"folder": LOGIN_FOLDER, "keep": []}), time_limit=30),
            stdout=io.BytesIO(),
            stderr=io.BytesIO(),
        )
        beat.start()
        yield
    finally:
        over.set()
        if beat.ident:
            beat.join()
        engine.remove(name)
        _remove_volume(engine, staging)


def _beat(engine: ContainerEngine, container: str, over: threading.Event) -> None:
    with suppress(EngineError):
        for count in itertools.count():
            engine.put_file(container, _ALIVE_FILE, str(count).encode())
            if over.wait(_BEAT_SECONDS):
                return


def _remove_volume(engine: ContainerEngine, volume: str) -> None:
    with suppress(EngineError):  # the next sign-in may already use it
        engine.remove_volume(volume)


def _sign_in(
    resources: Resources,
    container: str,
    *,
    method: LoginMethod,
    on_prompt: Callable[[LoginPrompt], None],
    cancel: CancelToken | None,
) -> bytes:
    engine, agent = resources.engine, resources.agent
    reader = _PromptReader(on_prompt, with_code=method is LoginMethod.DEVICE)
    spec = ExecSpec(
        command=agent.login_command(method),
        env=login_proxies(resources.settings),
        time_limit=LOGIN_SECONDS + 30,
        working_dir="/work",
    )

    def execute() -> ExecOutcome:
        return engine.execute(container, spec, stdout=reader, stderr=reader, cancel=cancel)

    if method is LoginMethod.BROWSER and agent.browser_callback is not None:
        with CallbackRelay(engine, container, agent.browser_callback):
            ended = execute()
    else:
        ended = execute()
    if ended.ended is EndReason.CANCELLED:
        raise _stopped()
    if ended.ended is EndReason.CONTAINER_GONE:
        raise LoginFailed(
            f"The sign-in's container ended too early. {_UNTOUCHED}",
            hint=f"It ends when it hears nothing from this command for {_SILENT_SECONDS:.0f} s, for example because "
            "the Docker engine responds slowly. Check the engine, then sign in again.",
        )
    if not ended.ok:
        words = " ".join(reader.text.split())[-_LAST_WORDS:]
        hint = (
            "Is device code login enabled in the account's security settings?" if method is LoginMethod.DEVICE else ""
        )
        raise LoginFailed(f"The sign-in failed. {_UNTOUCHED} {agent.name} reported: {words}", hint=hint)
    login_file = engine.read_file(container, f"{LOGIN_FOLDER}/{agent.login_files()[0]}", limit=LOGIN_FILE_LIMIT)
    if login_file is None or not agent.login_facts(login_file).usable:
        raise LoginFailed(f"{agent.name} reported success but wrote no login file. {_UNTOUCHED}", hint="Try again.")
    return login_file
