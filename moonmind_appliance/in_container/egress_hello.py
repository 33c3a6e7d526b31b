"""Reads the server name in the first bytes of a TLS connection (RFC 8446, RFC 6066). Pure; every byte is hostile.

An address of a content delivery network serves all of its customers, selected by that name. Without this check, a
tunnel that was opened for one host could be used for any other.
"""

from moonmind_appliance.in_container.egress_request import printable

HELLO_LIMIT = 32 * 1024

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_LARGEST_RECORD = 1 << 14
_SERVER_NAME = 0
# Its real name is encrypted (draft-ietf-tls-esni).
_ENCRYPTED_HELLO = 0xFE0D


class NotThisHost(Exception):
    """The bytes are not the start of a TLS connection to the expected host; the text says why."""


def check_hello(data: bytes, host: str) -> bool:
    """Whether the ClientHello is complete and names that host; False if more bytes are needed.

    Raises:
        NotThisHost: more bytes cannot make it one.
    """
    hello = _hello(data)
    if hello is None:
        if len(data) >= HELLO_LIMIT:
            raise NotThisHost("the TLS ClientHello is too large")
        return False
    try:
        name = _server_name(hello)
    except IndexError:
        raise NotThisHost("the TLS ClientHello is malformed") from None
    if name.lower() != host.encode():
        # Shown as it was sent: redaction finds secrets by their exact bytes.
        raise NotThisHost(f"TLS for another host: {printable(name)}" if name else "TLS without a host name")
    return True


def _hello(data: bytes) -> bytes | None:
    """The body of the ClientHello, whose message may extend over several records; None: not complete."""
    message, at = b"", 0
    while True:
        if data[at : at + 1] and (data[at] != _HANDSHAKE or data[at + 1 : at + 2] not in {b"", b"\x03"}):
            raise NotThisHost("not TLS")
        if len(data) < at + 5:
            return None
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if not 0 < length <= _LARGEST_RECORD:
            raise NotThisHost("the TLS ClientHello is malformed")
        message += data[at + 5 : at + 5 + length]
        if message and message[0] != _CLIENT_HELLO:
            raise NotThisHost("the TLS ClientHello is malformed")
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):  # noqa: PLR2004 - its header
            return message[4 : 4 + int.from_bytes(message[1:4], "big")]
        at += 5 + length
        if len(data) < at:
            return None


class _Reader:
    """Takes parts from the beginning of some bytes; raises IndexError at their end."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        if size > len(self.data):
            raise IndexError
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> "_Reader":
        """A part whose length comes first, in that many bytes."""
        return _Reader(self.take(self.number(size)))


def _server_name(hello: bytes) -> bytes:
    """The name as it was sent; empty if there is none."""
    reader, name = _Reader(hello), b""
    reader.take(2 + 32)
    reader.vector(1)
    reader.vector(2)
    reader.vector(1)
    extensions = reader.vector(2) if reader.data else _Reader(b"")
    seen = set()
    while extensions.data:
        kind, body = extensions.number(2), extensions.vector(2)
        if kind == _ENCRYPTED_HELLO:
            raise NotThisHost("TLS with an encrypted host name")
        if kind in seen:
            raise NotThisHost("the TLS ClientHello is malformed")
        seen.add(kind)
        if kind == _SERVER_NAME:
            names = body.vector(2)
            if names.number(1) != 0:
                raise NotThisHost("the TLS ClientHello is malformed")
            name = names.vector(2).data
            if names.data or body.data:
                raise NotThisHost("the TLS ClientHello is malformed")
    if reader.data:
        raise NotThisHost("the TLS ClientHello is malformed")
    return name
