"""Parses what an agent sends to the egress proxy: the head of a CONNECT request. Pure; every byte is hostile.

Stricter than RFC 9112: whatever two programs could read differently is refused. Nothing of the head is forwarded.
"""

import ipaddress
import re
from http import HTTPStatus

HEAD_LIMIT = 8 * 1024
MOST_HEADERS = 64
LONGEST_SHOWN = 120

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\x20-\x7e\t]*)")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# The WHATWG URL standard and inet_aton(3) read a host as an IPv4 address if its last label is a number.
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LONGEST_NAME, _HIGHEST_PORT = 253, 65535


class Refused(Exception):
    """A request is refused: the status of the answer, the reason, and the target as printable text."""

    def __init__(self, status: HTTPStatus, reason: str, shown: str = "") -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.shown = shown


def printable(raw: bytes) -> str:
    """Hostile bytes as printable ASCII; only their number if the text would be longer than LONGEST_SHOWN.

    No part of a longer text is shown: redaction does not find a secret of which the end is missing.
    """
    if len(raw) <= LONGEST_SHOWN:
        shown = "".join(c if " " <= c <= "~" else f"\\x{ord(c):02x}" for c in raw.decode("latin-1"))
        if len(shown) <= LONGEST_SHOWN:
            return shown
    return f"({len(raw)} characters)"


def parse_head(head: bytes) -> tuple[str, int]:
    """Host (lower case; an IP address in its canonical form) and port of a head, without the final empty line.

    Raises:
        Refused: it is not exactly one CONNECT request without a body.
    """
    line, *headers = head.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "the request line is malformed", printable(line))
    if match[1] != b"CONNECT":
        raise Refused(HTTPStatus.FORBIDDEN, "only CONNECT is allowed", printable(line.rpartition(b" ")[0]))
    shown = printable(match[2])
    host, port = parse_target(match[2].decode("ascii"), shown)
    _check_headers(headers, match[2].decode("ascii").lower(), host, shown)
    return host, port


def parse_target(target: str, shown: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[address]:port`.

    Raises:
        Refused: it has another form.
    """
    name, colon, port = target.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > _HIGHEST_PORT:
        raise Refused(HTTPStatus.BAD_REQUEST, "the target is not host:port", shown)
    host = canonical_host(name)
    if host is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "the target's host is malformed", shown)
    return host, int(port)


def canonical_host(name: str) -> str | None:
    """The host in lower case, or the canonical form of an IP address (IPv6: in brackets); None if it is malformed."""
    if name.startswith("[") and name.endswith("]") and "%" not in name:
        try:
            return f"[{ipaddress.IPv6Address(name[1:-1]).compressed}]"
        except ValueError:
            return None
    name = name.lower()
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        return None
    if not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return name
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        return None


def _check_headers(headers: list[bytes], target: str, host: str, shown: str) -> None:
    if len(headers) > MOST_HEADERS:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers", shown)
    hosts = 0
    for line in headers:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "a header is malformed", shown)
        name, value = match[1].lower(), match[2].strip(b" \t")
        if name == b"host":
            hosts += 1
            if hosts > 1 or value.decode("ascii").lower() not in {target, host}:
                raise Refused(HTTPStatus.BAD_REQUEST, "the Host header does not match the target", shown)
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            raise Refused(HTTPStatus.BAD_REQUEST, "a CONNECT request has no body", shown)
