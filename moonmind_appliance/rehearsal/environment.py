"""A rehearsal's environment: stand-ins, temporary data, volumes, network and port, and the real appliance on it.

It shares nothing with another rehearsal or the real appliance, and is removed completely afterwards.
"""

import os
import secrets
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from moonmind_appliance import settings as settings_of
from moonmind_appliance.api_address import open_socket
from moonmind_appliance.appliance import Appliance
from moonmind_appliance.attach import attach
from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.models import LABEL_REHEARSAL
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.rehearsal.leftovers import (
    KEPT,
    make_environment_folder,
    network_name,
    remove_abandoned_environments,
    remove_environment,
    volume_prefix,
)
from moonmind_appliance.rehearsal.openai import StandInOpenAI
from moonmind_appliance.resources import Resources
from moonmind_appliance.runs.sign_in import SignIn, SignInFailed, SignInPrompt
from moonmind_appliance.serving import make_server
from moonmind_appliance.settings import Settings
from moonmind_appliance.shards.read_login import read_stored_login

SLUG = "rehearsal/reading-list"
TOKEN_NAME = "rehearsal"  # noqa: S105 - a token's name
APP_ID = 4711
_KEY_BITS = 2048
_START_SECONDS = 60.0


class RehearsalEnvironment:
    """A context manager that sets everything up, and removes everything at the end, also after an error.

    Args:
        base: the operator's own settings: engine, image and limits are taken from them.
        overrides: environment variables for the appliance, instead of the default ones.
        think_seconds: how long the stand-in model waits before each answer.
        shards: the number of shards.
        folder: for the data folder and the stand-ins' files; None: a new temporary folder.
        github_app: the appliance uses a GitHub App instead of a token.
        login_broker: LOGIN_BROKER of the appliance.
    """

    def __init__(
        self,
        base: Settings,
        *,
        overrides: Mapping[str, str] | None = None,
        think_seconds: float = 0.0,
        shards: int = 1,
        folder: Path | None = None,
        github_app: bool = False,
        login_broker: bool = False,
    ) -> None:
        self.id = secrets.token_hex(4)
        self._base = base
        self._overrides = dict(overrides or {})
        self._think_seconds = think_seconds
        self._shards = shards
        self._folder = folder
        self._github_app = github_app
        self._login_broker = login_broker
        self._stack = ExitStack()
        self.keep = False
        self.folder: Path
        self.engine: ContainerEngine
        self.openai: StandInOpenAI
        self.github: StandInGitHub
        self.github_token = "ghp_" + secrets.token_hex(18)
        self.settings: Settings

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._set_up(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _set_up(self, stack: ExitStack) -> None:
        if self._folder is None:
            self.folder, lock = make_environment_folder(self.id)
            stack.callback(lock.release)
        else:
            self.folder = self._folder
        stack.callback(self._remove_folder)
        engine = DockerEngine(self._base.docker_host)
        self.engine = engine
        stack.callback(engine.close)
        remove_abandoned_environments(engine)
        gateway = engine.ensure_network(self.network, {LABEL_REHEARSAL: self.id})
        stack.callback(self._remove_leftovers)
        stack.enter_context(without_proxy(gateway))
        self.openai = stack.enter_context(StandInOpenAI(gateway, think_seconds=self._think_seconds))
        self.github = stack.enter_context(StandInGitHub((gateway, 0), self.folder / "github"))
        if self._github_app:
            self._make_app()
        else:
            self.github.add_token(self.github_token)
        (self.folder / "ca.pem").write_bytes(self.openai.ca_pem)
        self.settings = settings_of.load(self.variables()).settings

    def _make_app(self) -> None:
        """Create a GitHub App, install it for the repositories of the rehearsal, and write its key."""
        from joserfc.jwk import RSAKey  # noqa: PLC0415 - loads the cryptographic library

        key = RSAKey.generate_key(_KEY_BITS)
        self.github.add_app(APP_ID, key.as_pem(private=False))
        self.github.install_app(APP_ID, SLUG.partition("/")[0])
        self._app_key.touch(mode=0o600)
        self._app_key.write_bytes(key.as_pem(private=True))

    @property
    def _app_key(self) -> Path:
        return self.folder / "github-app.pem"

    def _credential(self) -> dict[str, str]:
        if not self._github_app:
            return {"GITHUB_TOKEN": self.github_token}
        return {"GITHUB_APP_ID": str(APP_ID), "GITHUB_APP_PRIVATE_KEY_FILE": str(self._app_key)}

    @property
    def network(self) -> str:
        """The job containers' network."""
        return network_name(self.id)

    @property
    def data_dir(self) -> Path:
        """The appliance's data folder."""
        return self.folder / "data"

    def variables(self) -> dict[str, str]:
        """The environment variables of an appliance in this environment; includes the credential for GitHub."""
        own = {
            "MOONMIND_DATA_DIR": str(self.data_dir),
            "MOONMIND_HOST": "127.0.0.1",
            "MOONMIND_PORT": "5000",
            **self._credential(),
            "GITHUB_API_URL": self.github.api_url,
            "GITHUB_SERVER_URL": self.github.server_url,
            "AGENT_HTTPS_PROXY": self.openai.proxy_url,
            "EXTRA_CA_CERTS": str(self.folder / "ca.pem"),
            "JOB_NETWORK": self.network,
            "CODEX_SHARDS": str(self._shards),
            "CODEX_VOLUME_PREFIX": volume_prefix(self.id),
            "SPEC_AUTOMATION_JOB_IMAGE": self._base.spec_automation_job_image,
            "CONTAINER_MEMORY": str(self._base.container_memory),
            "CONTAINER_CPUS": str(self._base.container_cpus),
            "CONTAINER_PIDS": str(self._base.container_pids),
            "MIN_FREE_DISK": "64m",
            "LOGIN_BROKER": str(self._login_broker).lower(),
        }
        if self._base.docker_host:
            own["DOCKER_HOST"] = self._base.docker_host
        return own | self._overrides

    def sign_in(self, appliance: "RunningAppliance", shard: int = 0) -> SignInPrompt:
        """Sign a shard in by the real device login; the stand-in approves it."""
        return _sign_in(appliance.appliance.resources, shard)

    def sign_in_by(self, environment: Mapping[str, str], shard: int = 0) -> SignInPrompt:
        """The same for an appliance that runs in another process with these variables."""
        with attach(settings_of.load(environment).settings) as resources:
            return _sign_in(resources, shard)

    def stored_login(self, appliance: "RunningAppliance", shard: int = 0) -> bytes:
        """The login file in a shard's volume, for tests that search for its tokens."""
        resources = appliance.appliance.resources
        found = read_stored_login(resources, shard)
        return found or b""

    def _remove_leftovers(self) -> None:
        if not self.keep:
            remove_environment(self.engine, self.id)

    def _remove_folder(self) -> None:
        if self.keep:
            (self.folder / KEPT).touch()
        elif self._folder is None:
            shutil.rmtree(self.folder, ignore_errors=True)


class RunningAppliance:
    """The appliance of an environment, in this process, on the loopback interface; a context manager.

    `listening` is the API's socket; None: on a free port.
    """

    def __init__(self, settings: Settings, listening: socket.socket | None = None) -> None:
        self._listening = listening or open_socket("127.0.0.1", 0)
        self.port: int = self._listening.getsockname()[1]
        self.appliance = Appliance(settings)
        self._server: uvicorn.Server = make_server(self.appliance)
        self._thread = threading.Thread(target=self._run, name="rehearsal-api", daemon=True)

    @property
    def url(self) -> str:
        """The URL of the API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the API still answers; False after it ended by itself."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(_START_SECONDS / 0.02)):
            if self._server.started or not self._thread.is_alive():
                break
            waited.wait(0.02)
        if not self._server.started:
            raise RuntimeError("The rehearsal's API did not start.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.appliance.interrupt()
        self._server.should_exit = True
        self._thread.join(_START_SECONDS)

    def _run(self) -> None:
        self._server.run(sockets=[self._listening])


@contextmanager
def without_proxy(address: str) -> Iterator[None]:
    """Exclude an address from the operator's proxy in this process, if one is set."""
    before = {name: os.environ.get(name) for name in ("NO_PROXY", "no_proxy")}
    for name, value in before.items():
        os.environ[name] = ",".join(filter(None, (value, address)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _sign_in(resources: Resources, shard: int) -> SignInPrompt:
    prompts: list[SignInPrompt] = []
    with SignIn(resources, shard) as steps:
        for step in steps:
            if isinstance(step, SignInPrompt):
                prompts.append(step)
            elif isinstance(step, SignInFailed):
                raise step.error
    return prompts[0]
