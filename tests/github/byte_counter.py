"""Counts the bytes that a server sends, as a TCP relay in front of it."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 256 * 1024


class ByteCounter:
    """A context manager: relays connections on a free port of `address` to the server of `url`.

    `sent` are the bytes that the server has sent; `url` is the relay's address. A connection ends without an answer if
    a request contains `refused`.
    """

    def __init__(self, address: str, url: str, *, refused: bytes | None = None) -> None:
        self._refused = refused
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 80)
        self._listening = socket.create_server((address, 0))
        self._accepting = threading.Thread(target=self._accept, name="byte-counter", daemon=True)
        self._lock = threading.Lock()
        self.sent = 0
        self.url = f"http://{address}:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A close alone does not end `accept` in the other thread.
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), name="byte-counter", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            requests = threading.Thread(
                target=_relay,
                args=(client, server),
                kwargs={"refused": self._refused},
                name="byte-counter",
                daemon=True,
            )
            requests.start()
            _relay(server, client, count=self._count)
            requests.join()

    def _count(self, number: int) -> None:
        with self._lock:
            self.sent += number


def _relay(
    source: socket.socket,
    target: socket.socket,
    *,
    count: Callable[[int], None] = lambda _: None,
    refused: bytes | None = None,
) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            count(len(data))
            if refused is not None and refused in data:
                source.shutdown(socket.SHUT_RDWR)
                break
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
