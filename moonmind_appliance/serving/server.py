"""Serve the appliance's API with uvicorn until a signal arrives."""

import asyncio
import logging
import signal
import socket
import threading
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from litestar import Litestar

from moonmind_appliance.api_address import BACKLOG
from moonmind_appliance.appliance import Appliance
from moonmind_appliance.serving.connections import Connections
from moonmind_appliance.serving.limits import Limits, limits_of, raise_file_limit
from moonmind_appliance.serving.protocol import LimitedProtocol
from moonmind_appliance.serving.repeated_lines import repeated_lines_left_out
from moonmind_appliance.serving.status_line import status_line
from moonmind_appliance.serving.supervision import Supervision

_CONNECTIONS_GRACE = 3
# Most bytes of an incomplete request line and headers. A Keycloak token has several kilobytes.
_MAX_HEAD_BYTES = 32 * 1024
# asyncio accepts this many before the first of them is counted; if no more files can be opened, it logs each of them.
_ACCEPTED_AT_ONCE = 64
# The loggers of messages that a client can cause without a request.
_REPEATING = (
    "asyncio",
    "uvicorn.error",
    "moonmind_appliance.serving.connections",
    "moonmind_appliance.serving.protocol",
)

_log = logging.getLogger(__name__)


class ApiServer(uvicorn.Server):
    """uvicorn for the API, within limits. `run` needs a listening socket."""

    def __init__(self, api: Litestar, limits: Limits) -> None:
        self.connections = Connections(limits)
        protocol: Any = partial(LimitedProtocol, connections=self.connections, limits=limits)
        config = uvicorn.Config(
            api,
            # Only h11, on which this is based, has a limit on headers.
            http=protocol,
            ws="none",
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
            backlog=_ACCEPTED_AT_ONCE,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=_CONNECTIONS_GRACE,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; then give the kernel its queue back, which asyncio sets to the number of connections per turn."""
        await super().startup(sockets)
        for listening in sockets or []:
            listening.listen(BACKLOG)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; then close the connections whose clients did not finish in time, which uvicorn leaves open."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            cast("LimitedProtocol", connection).drop()
        # One turn of the event loop closes their sockets.
        await asyncio.sleep(0)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal. Repeated events do not fill the log."""
        with repeated_lines_left_out(*_REPEATING):
            super().run(sockets)


class _Server(ApiServer):
    """Announces what a stop means for the running runs before the shutdown begins, and reports to systemd."""

    def __init__(self, appliance: Appliance, supervision: Supervision) -> None:
        super().__init__(appliance.api, limits_of(raise_file_limit()))
        self._appliance = appliance
        self._supervision = supervision

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; then requests are accepted."""
        await super().startup(sockets)
        self._supervision.ready(self._appliance.threads, lambda: status_line(self._appliance.resources))

    async def on_tick(self, counter: int) -> bool:
        """Uvicorn calls this ten times a second."""
        self._supervision.loop_turned()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; the event loop no longer ticks."""
        self._supervision.stopping()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain and stop. Second signal: do not wait for connections."""
        if not self.should_exit:
            # Not in the signal handler: the interrupted thread may have the locks that this needs.
            threading.Thread(target=self._announce, args=(sig,), name="stopping").start()
        super().handle_exit(sig, frame)

    def _announce(self, sig: int) -> None:
        runs = self._appliance.begin_stopping()
        name = signal.Signals(sig).name
        if runs:
            _log.warning(
                "%s: stopping. %d running run(s) stop now and resume after the restart: %s",
                name,
                len(runs),
                ", ".join(runs),
            )
        else:
            _log.info("%s: stopping. No runs are running.", name)


def make_server(appliance: Appliance, supervision: Supervision | None = None) -> uvicorn.Server:
    """A server for the appliance's API; its `run` needs a listening socket. Raises the limit on open files."""
    return _Server(appliance, supervision or Supervision({}))


def serve(appliance: Appliance, listening: socket.socket, supervision: Supervision) -> bool:
    """Serve until SIGTERM or SIGINT, and report to systemd; returns whether the start succeeded.

    When uvicorn ends, it raises a caught signal again. Without a handler of the appliance the process would end by that
    signal, without running the code after the call and without its own exit code.
    """
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, _swallow)
    server = make_server(appliance, supervision)
    server.run(sockets=[listening])
    return server.started


def _swallow(_sig: int, _frame: FrameType | None) -> None:
    """Ignore the signal: uvicorn has already handled it."""
