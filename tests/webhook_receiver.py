"""A real HTTP receiver on loopback that verifies each message with the library's own verifier."""

import json
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@dataclass
class Received:
    """A message whose signature was verified."""

    id: str
    timestamp: int
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def type(self) -> str:
        return str(self.body["type"])


Behaviour = Callable[[BaseHTTPRequestHandler, threading.Event], None]


def hang(_: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """Accept the request, and never answer."""
    closing.wait(60)


def drip(handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """Send the head of an answer that never ends, a byte at a time."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not closing.wait(0.05):
        handler.wfile.write(b"x")


def reset(handler: BaseHTTPRequestHandler, _: threading.Event) -> None:
    """Reset the connection without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def pour(handler: BaseHTTPRequestHandler, closing: threading.Event) -> None:
    """Answer with 200 and a body that never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not closing.is_set():
        handler.wfile.write(b"x" * 65536)


def answer(status: int, **headers: str) -> Behaviour:
    """Answer with that status and these headers."""

    def send(handler: BaseHTTPRequestHandler, _: threading.Event) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return send


@dataclass
class Receiver:
    """`messages` are those received, in order; `behaviours` are used up one per request, then the answer is 204."""

    url: str
    messages: list[Received] = field(default_factory=list)
    behaviours: deque[Behaviour] = field(default_factory=deque)

    def wait(self, count: int, seconds: float = 30) -> list[Received]:
        """The messages, when there are that many."""
        deadline = time.monotonic() + seconds
        while len(self.messages) < count:
            assert time.monotonic() < deadline, self.messages
            time.sleep(0.01)
        return self.messages


@contextmanager
def receiving(*behaviours: Behaviour, certificate: Path | None = None, port: int = 0) -> Iterator[Receiver]:
    """A receiver. With `certificate` (PEM, with its key) it speaks TLS. A bad signature fails the test."""
    closing = threading.Event()
    verifier = Webhook(SECRET)
    receiver = Receiver("", behaviours=deque(behaviours))
    bad: list[Exception] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                verified = verifier.verify(body, headers)
                assert json.loads(body) == verified
            except Exception as error:
                bad.append(error)
                raise
            message = Received(headers["webhook-id"], int(headers["webhook-timestamp"]), verified, headers)
            behave = receiver.behaviours.popleft() if receiver.behaviours else answer(204)
            receiver.messages.append(message)
            self.close_connection = True
            with suppress(OSError):
                behave(self, closing)

        def log_message(self, *_: object) -> None:
            """Write no log."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Write no traceback: a client that hangs up is a part of some tests."""

    server = Server(("127.0.0.1", port), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme, host = ("http", "127.0.0.1") if certificate is None else ("https", "localhost")
    receiver.url = f"{scheme}://{host}:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield receiver
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
    assert bad == []
