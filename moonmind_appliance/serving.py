"""Answer HTTP until told to stop: uvicorn around the appliance's API."""

import logging
import signal
import socket
import threading
from types import FrameType

import uvicorn

from moonmind_appliance.appliance import Appliance

_CONNECTIONS_GRACE = 3
# Of a request's line and headers together, while they are incomplete. A Keycloak token has some kilobytes.
_MAX_HEAD_BYTES = 32 * 1024

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Says what a stop means for the runs in hand before anything is torn down."""

    def __init__(self, config: uvicorn.Config, appliance: Appliance) -> None:
        super().__init__(config)
        self._appliance = appliance

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: drain and stop; a second one: do not wait for connections."""
        if not self.should_exit:
            # Not in the signal's own frame: the tokens' locks may be held by the thread that it interrupts.
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
        # Named, so that another parser that happens to be installed does not take its place: only this one has a limit.
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

    uvicorn raises a signal that it caught once more when it ends: with no handler of ours behind it nothing after the
    call would run, and the process would end by signal instead of with its own exit code.
    """
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, _swallow)
    server = make_server(appliance)
    server.run(sockets=[listening])
    return server.started


def _swallow(_sig: int, _frame: FrameType | None) -> None:
    """The signal has done its work already."""
