"""Serve the appliance's API with uvicorn until a signal arrives."""

import logging
import signal
import socket
import threading
from types import FrameType

import uvicorn

from moonmind_appliance.appliance import Appliance

_CONNECTIONS_GRACE = 3
# Most bytes of an incomplete request line and headers. A Keycloak token has several kilobytes.
_MAX_HEAD_BYTES = 32 * 1024

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Announces what a stop means for the running runs before the shutdown begins."""

    def __init__(self, config: uvicorn.Config, appliance: Appliance) -> None:
        super().__init__(config)
        self._appliance = appliance

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


def make_server(appliance: Appliance) -> uvicorn.Server:
    """A server for the appliance's API at its host and port."""
    config = uvicorn.Config(
        appliance.api,
        host=appliance.settings.moonmind_host,
        port=appliance.settings.moonmind_port,
        # Set explicitly, so that uvicorn does not choose another installed parser: only this one has a limit.
        http="h11",
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=_CONNECTIONS_GRACE,
    )
    return _Server(config, appliance)


def serve(appliance: Appliance, listening: socket.socket) -> bool:
    """Serve until SIGTERM or SIGINT; returns whether the start succeeded.

    When uvicorn ends, it raises a caught signal again. Without a handler of the appliance the process would end by that
    signal, without running the code after the call and without its own exit code.
    """
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, _swallow)
    server = make_server(appliance)
    server.run(sockets=[listening])
    return server.started


def _swallow(_sig: int, _frame: FrameType | None) -> None:
    """Ignore the signal: uvicorn has already handled it."""
