"""Decides what the login broker does with a request of the agent. Pure; every byte is hostile.

Only exact paths pass. Whatever two servers could read differently is refused (RFC 9112, section 11).
"""

import re
from collections.abc import Callable, Sequence
from enum import Enum
from http import HTTPStatus
from typing import NamedTuple

from moonmind_appliance.in_container.egress_request import Refused, printable

Headers = Sequence[tuple[bytes, bytes]]
"""Names as they were spelled, and values."""

CHATGPT, SIGN_IN = "chatgpt.com", "auth.openai.com"
HOSTS = (CHATGPT, SIGN_IN)
HEAD_LIMIT = 32 * 1024
MOST_HEADERS = 100
BODY_LIMIT = 64 * 1024 * 1024

RESPONSES, USAGE = "codex/responses", "wham/usage"
_BACKEND = b"/backend-api/"
_FORWARDED = {
    ("POST", RESPONSES),
    ("POST", "codex/responses/compact"),
    ("GET", "codex/models"),
    ("GET", "wham/accounts/check"),
    ("GET", "wham/settings/user"),
    ("GET", "wham/config/bundle"),
    ("GET", USAGE),
}
_QUERY = re.compile(rb"[0-9A-Za-z._~=&%+,:-]{0,1024}")
_LENGTH = re.compile(rb"[0-9]{1,10}")

# Meant for one connection (RFC 9110, section 7.6.1), not for OpenAI. Transfer-Encoding is checked and stays.
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer upgrade".split()
)
_ONCE = b"host authorization chatgpt-account-id content-length transfer-encoding connection upgrade expect".split()
# Some servers take the path or method from these.
_OVERRIDES = frozenset(
    (b"x-original-url", b"x-rewrite-url", b"x-http-method", b"x-http-method-override", b"x-method-override")
)
_CHECKED = _HOP_BY_HOP.union(_ONCE, _OVERRIDES)
_CONNECTION = frozenset((b"", b"close", b"keep-alive"))


class Action(Enum):
    """What to do with a request."""

    FORWARD = "forward"
    REFUSE_WEBSOCKET = "refuse websocket"
    REFRESH = "refresh"


class Request(NamedTuple):
    """A request that passed. `path` is the name of its path without what all have in common."""

    action: Action
    path: str


def check_request(
    host: str, method: bytes, target: bytes, headers: Headers, is_bearer: Callable[[bytes], bool]
) -> Request:
    """Check the head of a request that came in a tunnel to that host.

    Args:
        host: of the tunnel.
        method: the request's.
        target: the request's, as it was sent.
        headers: the request's.
        is_bearer: whether a value of Authorization is this run's.

    Raises:
        Refused: it must not pass.
    """
    path, _, query = target.partition(b"?")
    text = printable(path)
    shown = f"https://{host}{'' if text.startswith('/') else ' '}{text}"
    single = _single_headers(headers, shown)
    if single.get(b"host", b"").lower() not in {host.encode(), b"%s:443" % host.encode()}:
        raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "the Host header is not the tunnel's host", shown)
    _check_body(single, shown)
    if host == SIGN_IN:
        if (method, target) != (b"POST", b"/oauth/token"):
            raise Refused(HTTPStatus.FORBIDDEN, "not one of Codex's paths", shown)
        return Request(Action.REFRESH, "oauth/token")
    name = path[len(_BACKEND) :].decode("latin-1") if path.startswith(_BACKEND) else ""
    websocket = single.get(b"upgrade", b"").lower() == b"websocket"
    if websocket and method == b"GET" and name == RESPONSES:
        return Request(Action.REFUSE_WEBSOCKET, name)
    if (method.decode("latin-1"), name) not in _FORWARDED or not _QUERY.fullmatch(query):
        raise Refused(HTTPStatus.FORBIDDEN, "not one of Codex's paths", shown)
    if b"upgrade" in single or single.get(b"connection", b"").lower() not in _CONNECTION:
        raise Refused(HTTPStatus.BAD_REQUEST, "the connection must not change", shown)
    if method == b"GET" and (b"transfer-encoding" in single or single.get(b"content-length", b"0") != b"0"):
        raise Refused(HTTPStatus.BAD_REQUEST, "a GET request has no body", shown)
    if not is_bearer(single.get(b"authorization", b"")):
        raise Refused(HTTPStatus.FORBIDDEN, "not the login of this run", shown)
    return Request(Action.FORWARD, name)


def real_headers(headers: Headers, access_token: str, account_id: str) -> list[tuple[bytes, bytes]]:
    """The headers for OpenAI: in their order and spelling, with the real login where the dummy was."""
    real = {b"authorization": f"Bearer {access_token}".encode(), b"chatgpt-account-id": account_id.encode()}
    return [(name, real.get(name.lower(), value)) for name, value in end_to_end(headers)]


def end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers that are not for one connection only."""
    named = {
        each.strip().lower() for name, value in headers if name.lower() == b"connection" for each in value.split(b",")
    }
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP | named]


def _single_headers(headers: Headers, shown: str) -> dict[bytes, bytes]:
    """The headers by their names in lower case.

    Raises:
        Refused: there are too many, or one that must be alone is there twice.
    """
    if len(headers) > MOST_HEADERS:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers", shown)
    names = [name.lower() for name, _ in headers]
    if not _OVERRIDES.isdisjoint(names):
        raise Refused(HTTPStatus.BAD_REQUEST, "a header changes the path or method", shown)
    # Some servers take "_" for "-". Codex itself has sent names such as session_id.
    if any(b"_" in name and name.replace(b"_", b"-") in _CHECKED for name in names):
        raise Refused(HTTPStatus.BAD_REQUEST, "a header's name has _ in place of -", shown)
    for each in _ONCE:
        if names.count(each) > 1:
            raise Refused(HTTPStatus.BAD_REQUEST, f"{each.decode()} is there twice", shown)
    return {name.lower(): value for name, value in headers}


def _check_body(single: dict[bytes, bytes], shown: str) -> None:
    length = single.get(b"content-length")
    if b"expect" in single:
        raise Refused(HTTPStatus.EXPECTATION_FAILED, "Expect is not supported", shown)
    if length is not None and b"transfer-encoding" in single:
        raise Refused(HTTPStatus.BAD_REQUEST, "Content-Length with Transfer-Encoding", shown)
    if length is not None and not _LENGTH.fullmatch(length):
        raise Refused(HTTPStatus.BAD_REQUEST, "the Content-Length is malformed", shown)
    if length is not None and int(length) > BODY_LIMIT:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large", shown)
