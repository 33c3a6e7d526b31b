"""The output of one exec: the engine's multiplexed stream, from a hijacked connection to two sinks.

Source of the format: Engine API, "Attach to a container", stream format.
"""

import re
import select
import socket
import ssl
from typing import Self

from moonmind_appliance.containers.engine import ByteSink
from moonmind_appliance.errors import EngineError

_HEADER = 8
_STDOUT = 1
_STDERR = (2, 3)  # 3 is an error of the engine itself
_CHUNK = 256 * 1024
_HEAD_LIMIT = 64 * 1024


class HijackRefused(EngineError):
    """The engine answered with an error instead of the stream; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class HijackedConnection:
    """A connection whose answer is a stream of bytes of unknown length."""

    def __init__(self, connected: socket.socket) -> None:
        """Takes the socket over; its timeout applies until the stream begins."""
        self._socket = connected
        self._rest = b""
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the exec continues. Idempotent."""
        self._socket.close()

    def post(self, path: str, body: bytes) -> None:
        """Send the request and read the answer's head.

        Raises:
            HijackRefused: it is an error; `message` is the answer's body.
            OSError: the connection broke, or nothing came in the socket's timeout.
        """
        head = (
            f"POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        )
        self._socket.sendall(head.encode("ascii") + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = self._socket.recv(_CHUNK)
            if not piece or len(answer) > _HEAD_LIMIT:
                raise ConnectionResetError("the engine closed the connection before it responded")
            answer += piece
        answer_head, _, self._rest = answer.partition(b"\r\n\r\n")
        status = int(answer_head.split(None, 2)[1])
        if status not in {101, 200}:
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", answer_head)
            while len(self._rest) < min(int(length[1]) if length else 0, _HEAD_LIMIT):
                piece = self._socket.recv(_CHUNK)
                if not piece:
                    break
                self._rest += piece
            raise HijackRefused(status, self._rest.decode("utf-8", "replace"))
        self._socket.settimeout(0)

    def send(self, data: bytes, timeout: float) -> None:
        """Write to the command's stdin.

        Raises:
            OSError: the connection broke, or the command did not read all of it in `timeout` seconds.
        """
        self._socket.settimeout(timeout)
        try:
            self._socket.sendall(data)
        finally:
            self._socket.settimeout(0)

    def read(self, timeout: float) -> bytes | None:
        """Some bytes; None when nothing came in that many seconds; empty at the end, also when the connection broke."""
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        if self._ended:
            return b""
        try:
            piece = self._receive(max(timeout, 0.0))
        except OSError:
            piece = b""
        self._ended = piece == b""
        return piece

    def _receive(self, timeout: float) -> bytes | None:
        try:  # first without waiting: TLS may have bytes that `poll` does not see
            return self._socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        if not waiting.poll(timeout * 1000):
            return None
        try:
            return self._socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None


class Demultiplexer:
    """Splits the stream into its two outputs. Passes bytes on at once, also those of an incomplete frame."""

    def __init__(self, stdout: ByteSink, stderr: ByteSink) -> None:
        self._sinks = {_STDOUT: stdout, **dict.fromkeys(_STDERR, stderr)}
        self._header = b""
        self._sink = stdout
        self._due = 0

    def feed(self, data: bytes) -> None:
        """Pass on the output in these bytes.

        Raises:
            EngineError: the bytes are not in the engine's format.
        """
        view = memoryview(data)
        while view:
            if self._due:
                piece = view[: self._due]
                self._due -= len(piece)
                view = view[len(piece) :]
                self._sink.write(bytes(piece))
                continue
            missing = _HEADER - len(self._header)
            self._header += view[:missing]
            view = view[missing:]
            if len(self._header) == _HEADER:
                sink = self._sinks.get(self._header[0])
                if sink is None or self._header[1:4] != b"\0\0\0":
                    raise EngineError("The engine sent the output of an exec in an unknown format.")
                self._sink = sink
                self._due = int.from_bytes(self._header[4:], "big")
                self._header = b""
