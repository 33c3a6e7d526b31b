"""The connection to a Docker engine: docker-py's low-level client, with the errors of `errors`."""

import os
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

import docker
import docker.errors
import requests

from moonmind_appliance.containers.connection import EngineAdapter, EngineAddress
from moonmind_appliance.errors import ContainerNotFound, DiskFull, EngineError, EngineUnreachable, ImageNotFound

_T = TypeVar("_T")

_BASE_URL = "http://docker:2375"
"""Host and port are placeholders: `EngineAdapter` connects to the engine's address."""

CALL_TIMEOUT = 120
"""Seconds for one call; removing a large volume is slow."""

_CONNECT_TIMEOUT = 15.0

ANSWER_TIMEOUT = 30.0
"""Seconds for a call that needs no work of the engine: one that takes longer hangs."""

_OLDEST_API = (1, 41)
_NEWEST_API = (1, 51)
"""Newest API version that the appliance was tested with; engines support older ones, too."""


_NO_ADDRESSES = (
    "The Docker engine has no free address range for a network: remove unused networks (docker network prune), or add "
    "ranges to default-address-pools in its daemon.json."
)


class Conflict(EngineError):
    """The current state of the object does not allow the call (HTTP 409)."""


class Missing(EngineError):
    """Something other than a container or an image does not exist (HTTP 404)."""


class EngineClient:
    """Calls one engine; one object serves all threads. It connects at the first call, and again after a broken one.

    Raises:
        EngineUnreachable: `docker_host` has no valid form.
    """

    def __init__(self, docker_host: str | None, environment: Mapping[str, str] | None) -> None:
        self.address = EngineAddress.parse(docker_host, os.environ if environment is None else environment)
        self._connected: docker.APIClient | None = None
        self._connecting = threading.Lock()

    def close(self) -> None:
        """Close the idle connections. Safe twice; the next call connects again."""
        with self._connecting:
            client, self._connected = self._connected, None
        if client is not None:
            client.close()

    @property
    def api_version(self) -> str:
        """The API version in use."""
        return str(self._client().api_version)

    def ask(self, call: Callable[[docker.APIClient], _T]) -> _T:
        """Make one call; its errors become those of `errors`."""
        try:
            return call(self._client())
        except docker.errors.APIError as error:
            raise _translated(error) from error
        except requests.RequestException as error:
            raise self.unreachable(error) from error
        except docker.errors.DockerException as error:
            raise EngineError(f"The Docker engine cannot be used: {error}") from error

    def ask_for(self, call: Callable[[docker.APIClient], _T]) -> _T | None:
        """As `ask`; None if the object does not exist."""
        try:
            return self.ask(call)
        except (ContainerNotFound, ImageNotFound, Missing):
            return None

    def did(self, call: Callable[[docker.APIClient], object]) -> bool:
        """As `ask`; False if the object does not exist."""
        try:
            self.ask(call)
        except (ContainerNotFound, ImageNotFound, Missing):
            return False
        return True

    def unreachable(self, error: Exception) -> EngineUnreachable:
        """The error to raise for a broken connection; the next call connects again."""
        with self._connecting:
            self._connected = None  # the next engine may have another version
        if isinstance(error, (requests.Timeout, TimeoutError)):
            return EngineUnreachable(
                f"The Docker engine at {self.address.shown} did not respond in time.",
                hint="Check its load and its log.",
            )
        cause = _system_error(error)
        reason = (cause.strerror if cause else None) or "the connection broke"
        return EngineUnreachable(
            f"No Docker engine responds at {self.address.shown}: {reason}.", hint=self.address.hint(cause)
        )

    def _client(self) -> docker.APIClient:
        client = self._connected
        if client is not None:
            return client
        # Without the lock: while the engine hangs, callers must not wait for each other's attempts.
        made = self._connect()
        with self._connecting:
            if self._connected is None:
                self._connected = made
            client = self._connected
        if client is not made:
            made.close()
        return client

    def _connect(self) -> docker.APIClient:
        with requests.Session() as session:
            session.trust_env = False
            session.mount(_BASE_URL, self._adapter())
            answer = session.get(f"{_BASE_URL}/_ping", timeout=ANSWER_TIMEOUT)
            spoken = answer.headers.get("Api-Version", "")
        try:
            newest = tuple(int(part) for part in spoken.split("."))
        except ValueError:
            newest = ()
        if newest < _OLDEST_API:
            raise EngineError(
                f"{self.address.shown} is not a Docker engine of version 20.10 or newer"
                f" (API {spoken or 'unknown'}, {answer.status_code}).",
                hint="Install a newer Docker engine, or set DOCKER_HOST.",
            )
        version = ".".join(str(part) for part in min(newest, _NEWEST_API))
        client = docker.APIClient(base_url=_BASE_URL.replace("http:", "tcp:"), version=version, timeout=CALL_TIMEOUT)
        client.trust_env = False  # no proxy, and no password from netrc, for the engine
        client.mount(_BASE_URL, self._adapter())
        return client

    def _adapter(self) -> EngineAdapter:
        return EngineAdapter(self.address, connect_timeout=_CONNECT_TIMEOUT)


def get(client: docker.APIClient, url: str, *, timeout: float = CALL_TIMEOUT, **query: str) -> requests.Response:
    """A GET whose body has not been read yet; `timeout` is in seconds."""
    response = client.get(
        f"{client.base_url}/v{client.api_version}{url}",
        params=query,
        headers={"Accept-Encoding": "identity"},
        stream=True,
        timeout=timeout,
    )
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)
    return response


def _translated(error: docker.errors.APIError) -> EngineError:
    """The engine's error as one of `errors`, with the engine's own message."""
    message = str(error.explanation or error).strip()
    lower = message.lower()
    if "no space left on device" in lower:
        return DiskFull(
            f"The Docker engine's disk is full: {message}", hint="Free space on the disk of its data folder."
        )
    hint = _NO_ADDRESSES if "address pool" in lower else ""
    # Engines of 20.10 answer 404 if no address pool is free.
    if error.status_code == requests.codes.not_found and not hint:
        if "no such container" in lower:
            return ContainerNotFound(message)
        if isinstance(error, docker.errors.ImageNotFound):
            return ImageNotFound(message, hint="Build or pull the image on that engine.")
        return Missing(message)
    if error.status_code == requests.codes.conflict:
        return Conflict(message)
    return EngineError(message, hint=hint)


def _system_error(error: BaseException) -> OSError | None:
    """The operating system's error inside the errors of requests and urllib3."""
    seen: list[BaseException] = [error]
    for each in seen:
        if isinstance(each, OSError) and not isinstance(each, requests.RequestException) and each.errno:
            return each
        inner = [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
        seen += [one for one in inner if isinstance(one, BaseException) and one not in seen]
    return None
