"""Forwards the browser's callback to the sign-in that waits for it in a container.

The agent listens on the loopback interface of its container, and the redirect address is fixed. No port of the
container is published: the relay listens on the same port of this machine's loopback interface, and repeats each
request inside the container with curl.
"""

import io
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from moonmind_appliance.agents.adapter import BrowserCallback
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import ApplianceError, EngineError
from moonmind_appliance.models import ExecSpec
from moonmind_appliance.models.container_paths import LOGIN_FOLDER

_LONGEST_PATH = 16 * 1024


class CallbackPortTaken(ApplianceError):
    """The callback port is not free on this machine."""


class CallbackRelay:
    """Listens during a `with` block.

    Raises:
        CallbackPortTaken: on entry.
    """

    def __init__(self, engine: ContainerEngine, container: str, callback: BrowserCallback) -> None:
        try:
            self._server = _Server(engine, container, callback)
        except OSError as error:
            raise CallbackPortTaken(
                f"Port {callback.port} on this machine is already in use: {error.strerror}.",
                hint=(
                    "The browser must be redirected to this port: stop the process that listens there, or sign in "
                    "by device code."
                ),
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="callback", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, engine: ContainerEngine, container: str, callback: BrowserCallback) -> None:
        super().__init__(("127.0.0.1", callback.port), _Repeat)
        self.callback = callback
        self.engine = engine
        self.container = container


class _Repeat(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Repeat the request in the container and return the response unchanged."""
        wanted = self.path.partition("?")[0]
        if (
            wanted not in self.server.callback.paths
            or len(self.path) > _LONGEST_PATH
            or any(c in self.path for c in '"\\\r\n')
        ):
            self.send_error(404)
            return
        answer = self._repeat()
        if answer is None:
            self.send_error(502, "The sign-in no longer accepts this browser redirect.")
            return
        self.wfile.write(answer)
        self.close_connection = True

    def _repeat(self) -> bytes | None:
        # The URL contains a code, which is secret: pass it in a file of the staging volume, not as an argument.
        config = f"{LOGIN_FOLDER}/callback-{secrets.token_hex(8)}"
        content = f'url = "http://127.0.0.1:{self.server.callback.port}{self.path}"\n'
        command = f"curl --silent --show-error --include --http1.0 --max-time 60 --config {config}; rm -f {config}"
        answer = io.BytesIO()
        try:
            self.server.engine.put_file(self.server.container, config, content.encode())
            spec = ExecSpec(command=["sh", "-c", f"NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 {command}"], time_limit=90)
            self.server.engine.execute(self.server.container, spec, stdout=answer, stderr=io.BytesIO())
        except EngineError:
            return None
        return answer.getvalue() or None

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Log nothing: the path contains a secret code."""
