"""Serve the appliance's API with uvicorn until a signal arrives."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Network, ip_network
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

_BITS_BEFORE_IPV4 = 96
_CONNECTIONS_GRACE = 3
# Not 0: then uvicorn logs an error, also without connections.
_CONNECTIONS_GRACE_AT_ONCE = 1
# Most bytes of an incomplete request line and headers. A Keycloak token has several kilobytes.
_MAX_HEAD_BYTES = 32 * 1024
# asyncio accepts this many before the first of them is counted; if no more files can be opened, it logs each of them.
_ACCEPTED_AT_ONCE = 64
# The loggers of messages that a client can cause without a request.
_REPEATING = (
    "asyncio",
    "uvicorn.error",
    "moonmind_appliance.api.failed_authentications",
    "moonmind_appliance.serving.connections",
    "moonmind_appliance.serving.protocol",
    "moonmind_appliance.store.tokens",
)

_log = logging.getLogger(__name__)


def as_peers(networks: Sequence[str]) -> list[str]:
    """The networks as a listening socket may name their addresses.

    An IPv6 socket names an IPv4 peer by an IPv4-mapped address, such as ::ffff:10.0.0.1.
    """
    ipv4 = [network for network in map(ip_network, networks) if isinstance(network, IPv4Network)]
    mapped = [f"::ffff:{each.network_address}/{each.prefixlen + _BITS_BEFORE_IPV4}" for each in ipv4]
    return [*networks, *mapped]


class ApiServer(uvicorn.Server):
    """uvicorn for the API, within limits. `run` needs a listening socket.

    `trusted_proxies` are addresses and networks: their header `X-Forwarded-For` gives the client's address. The limits
    on connections still use the connection's own address.
    """

    def __init__(self, api: Litestar, limits: Limits, *, trusted_proxies: Sequence[str] = ()) -> None:
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
            # uvicorn trusts this machine's addresses by default.
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=as_peers(trusted_proxies),
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
    """Lets the running phases end before the shutdown begins; until then the API answers. Reports to systemd."""

    def __init__(self, appliance: Appliance, supervision: Supervision) -> None:
        proxies = appliance.settings.trusted_proxies
        super().__init__(appliance.api, limits_of(raise_file_limit()), trusted_proxies=proxies)
        self._appliance = appliance
        self._supervision = supervision
        self._signals = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; then requests are accepted."""
        await super().startup(sockets)
        if self._appliance.start_failure is not None:
            return
        self._supervision.ready(self._appliance.threads, lambda: status_line(self._appliance.resources))

    async def on_tick(self, counter: int) -> bool:
        """Uvicorn calls this ten times a second."""
        self._supervision.loop_turned()
        return await super().on_tick(counter) or self._appliance.start_failure is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; uvicorn no longer calls `on_tick`."""
        self._supervision.stopping()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: stop when the running phases have ended, or STOP_GRACE is over. Second signal: stop at once.

        uvicorn's own method would skip the end of the lifespan at the second one, and leave containers.
        """
        del frame
        self._signals += 1
        what = {1: self._stop, 2: self._stop_at_once}.get(self._signals)
        if what is not None:
            # Not in the signal handler: the interrupted thread may have the locks that this needs.
            threading.Thread(target=what, args=(signal.Signals(sig),), name="stopping").start()

    def _stop(self, sig: signal.Signals) -> None:
        runs = self._appliance.begin_stopping()
        if runs:
            again = "Press Ctrl-C" if sig is signal.SIGINT else f"Send {sig.name}"
            _log.warning(
                "%s: stopping. No run starts. The running phases may end within STOP_GRACE (%d s); their runs resume "
                "after the restart: %s. %s again to stop at once.",
                sig.name,
                self._appliance.settings.stop_grace,
                ", ".join(runs),
                again,
            )
            self._appliance.wait_for_phases()
        else:
            _log.info("%s: stopping. No runs are running.", sig.name)
        self.should_exit = True

    def _stop_at_once(self, sig: signal.Signals) -> None:
        runs = self._appliance.interrupt()
        _log.warning(
            "%s again: stopping at once. %s",
            sig.name,
            f"Interrupted, to resume after the restart: {', '.join(runs)}." if runs else "No runs are running.",
        )
        self.config.timeout_graceful_shutdown = _CONNECTIONS_GRACE_AT_ONCE
        self.should_exit = True


def make_server(appliance: Appliance, supervision: Supervision | None = None) -> uvicorn.Server:
    """A server for the appliance's API; its `run` needs a listening socket. Raises the limit on open files."""
    return _Server(appliance, supervision or Supervision({}))


def serve(appliance: Appliance, listening: socket.socket, supervision: Supervision) -> bool:
    """Serve until SIGTERM or SIGINT, and report to systemd; returns whether the start succeeded.

    A signal that comes before uvicorn sets its handlers, or after it has removed them, is handled in the same way.
    """
    server = make_server(appliance, supervision)
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, server.handle_exit)
    # uvicorn ends the process after a start that failed, with an exit code that has another meaning here.
    with suppress(SystemExit):
        server.run(sockets=[listening])
    return server.started and appliance.start_failure is None
