"""The whole stand-in: a TLS server for both hosts, and an HTTPS proxy to it, in one background thread."""

import asyncio
import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import format_exception
from types import TracebackType
from typing import Any, NamedTuple, Self

import uvicorn
from litestar import Litestar, Request, Response
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from moonmind_appliance.api_address import listen
from moonmind_appliance.rehearsal.openai.accounts import Account, Accounts, sample_accounts
from moonmind_appliance.rehearsal.openai.backend import Refused, answer_refused, backend_routes
from moonmind_appliance.rehearsal.openai.certificates import Certificates, make_certificates
from moonmind_appliance.rehearsal.openai.login import DeviceLogins, LoginState, login_routes
from moonmind_appliance.rehearsal.openai.proxy import ConnectProxy
from moonmind_appliance.rehearsal.openai.response_script import NORMAL, ResponseScript, ScriptedResponse
from moonmind_appliance.rehearsal.openai.responses import ModelServer, response_routes
from moonmind_appliance.rehearsal.openai.turns import Turn

AUTH_HOST = "auth.openai.com"
CHATGPT_HOST = "chatgpt.com"
HOSTS = (CHATGPT_HOST, AUTH_HOST)
_BODY_LIMIT = 64 * 1024**2
_START_SECONDS = 30
_SERVER_ERROR = 500


class Exchange(NamedTuple):
    """One request and the status it was answered with."""

    method: str
    host: str
    path: str
    status: int


class StandInOpenAI:
    """OpenAI's servers, as far as Codex needs them, with a proxy and a certificate authority of their own.

    Give Codex `HTTPS_PROXY` = `proxy_url` and `CODEX_CA_CERTIFICATE` = a file with `ca_pem`; nothing else changes.
    `start` and `stop` are idempotent; a stopped stand-in does not start again.

    Args:
        address: where the proxy listens, such as a Docker network's gateway.
        port: the proxy's port; 0 selects a free one.
        think_seconds: how long the model waits before each answer.
        response: the response until a call of `respond_with`.
        accounts: the accounts that can sign in; three sample accounts by default.
        approve_after_polls: a device login is approved automatically at the poll after so many; None: not by polls.
        approve_after_seconds: the same by time.
        poll_interval: seconds between polls in the answer to clients.
    """

    def __init__(
        self,
        address: str,
        port: int = 0,
        *,
        think_seconds: float = 0.0,
        response: ScriptedResponse = NORMAL,
        accounts: tuple[Account, ...] | None = None,
        approve_after_polls: int | None = 0,
        approve_after_seconds: float | None = None,
        poll_interval: int = 1,
    ) -> None:
        self._address, self._port = address, port
        self._certificates: Certificates = make_certificates(HOSTS)
        self.accounts = Accounts(accounts or sample_accounts(3))
        self._logins = DeviceLogins(
            self.accounts,
            approve_after_polls=approve_after_polls,
            approve_after_seconds=approve_after_seconds,
            interval=poll_interval,
        )
        self._script = ResponseScript(response)
        self._model = ModelServer(self.accounts, self._script, think_seconds)
        self._proxy: ConnectProxy | None = None
        self._requests: list[Exchange] = []
        self._internal_errors: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    @property
    def ca_pem(self) -> bytes:
        """The certificate authority that clients must trust."""
        return self._certificates.ca

    @property
    def proxy_url(self) -> str:
        """The proxy's address, after the start."""
        return f"http://{self._address}:{self._port}"

    @property
    def turns(self) -> list[Turn]:
        """Turns that Codex asked for, in order of their first request."""
        return self._model.turns

    @property
    def requests(self) -> list[Exchange]:
        """Requests that arrived, in order of their answers."""
        return list(self._requests)

    @property
    def internal_errors(self) -> list[str]:
        """Tracebacks of errors in the stand-in itself, which clients get as 500; none is expected."""
        return list(self._internal_errors)

    @property
    def refused_hosts(self) -> list[str]:
        """Targets that the proxy refused: `host:port`, or the start of a request line other than CONNECT."""
        return list(self._proxy.refused) if self._proxy else []

    @property
    def pending_codes(self) -> list[str]:
        """User codes of device logins that wait for `approve` or `deny`."""
        return self._logins.pending_codes

    def approve(self, user_code: str, account: Account | None = None) -> None:
        """Approve a device login for that account, or for the next one in turn.

        Raises:
            KeyError: no pending login has that code.
        """
        self._logins.decide(user_code, LoginState.APPROVED, account)

    def deny(self, user_code: str) -> None:
        """Decline a device login. Raises KeyError if no pending login has that code."""
        self._logins.decide(user_code, LoginState.DENIED)

    @contextmanager
    def manual_approval(self) -> Iterator[None]:
        """In the `with` block no device login is approved automatically, only by `approve`."""
        with self._logins.manual_approval():
            yield

    def respond_with(
        self,
        response: ScriptedResponse,
        *,
        phase: str | None = None,
        times: int | None = None,
        account: Account | None = None,
    ) -> None:
        """Change the response for turns that begin from now on; see `ResponseScript.add`."""
        self._script.add(response, phase=phase, times=times, account=account)

    def start(self) -> Self:
        """Listen. Returns itself when requests are answered.

        Raises:
            OSError: the address or port cannot be bound.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="stand-in-openai", daemon=True)
            self._thread.start()
            if not self._ready.wait(_START_SECONDS):
                raise TimeoutError("The stand-in for OpenAI did not start.")
            if self._failure is not None:
                self._thread.join()
                raise self._failure
        return self

    def stop(self) -> None:
        """End all connections and stop listening."""
        if self._thread is not None and self._thread.is_alive():
            if self._loop is not None and self._stopping is not None:
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - passed to the thread that waits in start()
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        with listen("127.0.0.1", 0) as listener:
            server = uvicorn.Server(self._configuration())
            server.force_exit = True  # open streams do not delay the end
            self._proxy = ConnectProxy(HOSTS, listener.getsockname()[:2])
            self._port = await self._proxy.start(self._address, self._port)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.005)
                self._ready.set()
                await self._stopping.wait()
            finally:
                await self._proxy.stop()
                server.should_exit = True
                await serving

    def _app(self, routes: list[BaseRouteHandler]) -> ASGIApp:
        def answer_internal_error(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
            status = getattr(error, "status_code", 500)
            if status >= _SERVER_ERROR:
                self._internal_errors.append("".join(format_exception(error)))
            return Response({"detail": str(error)}, status_code=status)

        return Litestar(
            route_handlers=routes,
            exception_handlers={Refused: answer_refused, Exception: answer_internal_error},
            openapi_config=None,
            logging_config=None,
            request_max_body_size=_BODY_LIMIT,
        )

    def _configuration(self) -> uvicorn.Config:
        by_host: dict[str, ASGIApp] = {
            AUTH_HOST: self._app(login_routes(self._logins, self.accounts)),
            CHATGPT_HOST: self._app([*backend_routes(self.accounts), *response_routes(self._model)]),
        }

        async def app(scope: HTTPScope, receive: Receive, send: Send) -> None:
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").partition(":")[0]

            async def watched_send(message: Any) -> None:  # noqa: ANN401 - ASGI's messages
                if message["type"] == "http.response.start":
                    self._requests.append(Exchange(scope["method"], host, scope["path"], message["status"]))
                await send(message)

            await by_host.get(host, _unknown_host)(scope, receive, watched_send)

        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Path(folder, "server.pem"), Path(folder, "server.key")
            certificate.write_bytes(self._certificates.server)
            key.touch(mode=0o600)
            key.write_bytes(self._certificates.server_key)
            configuration = uvicorn.Config(
                app,
                ssl_certfile=certificate,
                ssl_keyfile=key,
                lifespan="off",
                http=_QuietProtocol,
                ws="none",  # a WebSocket attempt arrives as a plain GET, and is answered 426
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=60,
            )
            configuration.load()
        return configuration


_DISCARDED = logging.getLogger(f"{__name__}.discarded")
_DISCARDED.addHandler(logging.NullHandler())
_DISCARDED.propagate = False


class _QuietProtocol(H11Protocol):
    """uvicorn's own with a discarded log: refused WebSockets and dropped streams are part of the scenarios.

    uvicorn's loggers belong to the whole process, and the appliance's server may run beside this one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **kwargs)
        self.logger = _DISCARDED


async def _unknown_host(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's shape
    """Answer for a host that is not simulated. The proxy refuses those hosts, but a wrong Host header leads here."""
    send_any: Any = send
    await send_any({"type": "http.response.start", "status": 421, "headers": []})
    await send_any({"type": "http.response.body", "body": b""})
