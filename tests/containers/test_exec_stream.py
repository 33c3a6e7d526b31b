"""Docker's stream of an exec's output, split at any byte."""

import io
import socket
import threading
from collections.abc import Iterator

import pytest

from moonmind_appliance.containers.exec_stream import (
    Demultiplexer,
    HijackedConnection,
    HijackRefused,
)
from moonmind_appliance.errors import EngineError


def _frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


STREAM = _frame(1, b"out") + _frame(2, b"err") + _frame(1, b"") + _frame(3, b"engine") + _frame(1, b"more")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 11, 1000])
def test_frames_are_separated_for_any_chunks(size: int) -> None:
    """Stream 1 is stdout, 2 stderr, 3 the engine's own error: stderr, too."""
    out, err = io.BytesIO(), io.BytesIO()
    both = Demultiplexer(out, err)
    for start in range(0, len(STREAM), size):
        both.feed(STREAM[start : start + size])
    assert (out.getvalue(), err.getvalue()) == (b"outmore", b"errengine")


def test_a_frame_is_handed_on_before_it_is_whole() -> None:
    """Of ten announced bytes, three have arrived: three are passed on."""
    out = io.BytesIO()
    Demultiplexer(out, io.BytesIO()).feed(_frame(1, b"0123456789")[:11])
    assert out.getvalue() == b"012"


@pytest.mark.parametrize("header", [b"\x09\0\0\0\0\0\0\x01", b"\x01abc\0\0\0\x01", b"HTTP/1.1"])
def test_another_format_is_an_error(header: bytes) -> None:
    """Data in another format is never treated as output."""
    with pytest.raises(EngineError, match="unknown format"):
        Demultiplexer(io.BytesIO(), io.BytesIO()).feed(header)


@pytest.fixture
def wire() -> Iterator[tuple[HijackedConnection, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    with theirs, HijackedConnection(ours) as connection:
        yield connection, theirs


def test_what_comes_with_the_head_is_not_lost(wire: tuple[HijackedConnection, socket.socket]) -> None:
    """Output in the same packet as the answer's head is read first."""
    connection, engine = wire
    engine.sendall(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nfirst")
    connection.post("/exec/1/start", b"{}")
    engine.sendall(b" second")
    engine.shutdown(socket.SHUT_WR)
    got = b""
    while piece := connection.read(10):
        got += piece
    assert got == b"first second"


def test_the_request_asks_for_an_upgrade(wire: tuple[HijackedConnection, socket.socket]) -> None:
    """Proxies recognise a stream by that header."""
    connection, engine = wire
    engine.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    connection.post("/exec/1/start", b"{}")
    assert engine.recv(4096) == (
        b"POST /exec/1/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n{}"
    )


def test_silence_is_not_the_end(wire: tuple[HijackedConnection, socket.socket]) -> None:
    """`read` returns None in silence, empty at the end, and empty after that."""
    connection, engine = wire
    engine.sendall(b"HTTP/1.1 101 UPGRADED\r\n\r\n")
    connection.post("/", b"")
    quiet = connection.read(0.01)
    engine.close()
    assert (quiet, connection.read(10), connection.read(10)) == (None, b"", b"")


def test_a_refusal_has_its_status_and_message(wire: tuple[HijackedConnection, socket.socket]) -> None:
    """The body is read to its end, also when it comes late."""
    connection, engine = wire
    engine.sendall(b"HTTP/1.1 409 Conflict\r\nContent-Length: 9\r\n\r\nnot ")
    late = threading.Timer(0.05, engine.sendall, [b"today"])
    late.start()
    with pytest.raises(HijackRefused) as refused:
        connection.post("/", b"")
    late.join()
    assert (refused.value.status, refused.value.message) == (409, "not today")


def test_an_engine_that_hangs_up_is_a_broken_connection(wire: tuple[HijackedConnection, socket.socket]) -> None:
    """No answer at all is an OSError, for the caller to translate."""
    connection, engine = wire
    engine.sendall(b"HTTP/1.1 101")
    engine.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        connection.post("/", b"")
