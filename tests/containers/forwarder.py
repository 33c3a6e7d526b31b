"""A proxy between the appliance and Docker that a test can slow down and disconnect."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

DOCKER_SOCKET = "/var/run/docker.sock"


class Forwarder:
    """Listens on a socket of its own and passes all bytes on to the Docker engine.

    Args:
        path: the socket to listen on; None for a free port of 127.0.0.1, see `port`.
        tls: if given, callers must use TLS.
        held_back: seconds for which an answer of the engine is collected before its first bytes are passed on.
        sent: called with each piece of bytes that a caller sent, in the order of its connection.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        tls: ssl.SSLContext | None = None,
        held_back: float = 0,
        sent: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self._tls, self._held_back, self._sent = tls, held_back, sent
        self._listening = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self._listening.bind(str(path) if path else ("127.0.0.1", 0))
        self.port = None if path else self._listening.getsockname()[1]
        self._listening.listen(50)
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._path = path
        self._flows = threading.Event()
        self._flows.set()
        self._spawn(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def freeze(self) -> None:
        """Pass nothing on until `thaw`, as an engine that hangs: connections are accepted, and never answered."""
        self._flows.clear()

    def thaw(self) -> None:
        """Pass everything on again."""
        self._flows.set()

    def cut(self) -> None:
        """Close everything, as an engine that is stopped does. Safe twice."""
        self._flows.set()
        for each in [self._listening, *self._open]:
            with suppress(OSError):  # closed before
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in [self._listening, *self._open]:
            each.close()
        if self._path:
            self._path.unlink(missing_ok=True)

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listening.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(DOCKER_SOCKET)
            if self._tls:
                try:
                    caller = self._tls.wrap_socket(caller, server_side=True)
                except OSError:  # a caller without the right certificate
                    engine.close()
                    continue
            self._open += [caller, engine]
            self._spawn(self._pass_on, caller, engine, 0.0, self._sent)
            self._spawn(self._pass_on, engine, caller, self._held_back, lambda _: None)

    def _pass_on(
        self, source: socket.socket, target: socket.socket, held_back: float, seen: Callable[[bytes], None]
    ) -> None:
        try:
            while data := source.recv(65536):
                seen(data)
                if held_back:
                    time.sleep(held_back)
                    source.settimeout(0)
                    with suppress(BlockingIOError):
                        data += source.recv(1 << 20)
                    source.settimeout(None)
                self._flows.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # cut
