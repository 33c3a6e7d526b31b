"""Connects the egress proxy to an allowed target: directly, or through the operator's proxy."""

import asyncio
import base64
import os
import re
import socket
import ssl
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from moonmind_appliance.in_container.egress_request import Refused
from moonmind_appliance.in_container.egress_rules import Rule, literal_of, permitted
from moonmind_appliance.in_container.no_proxy import is_excluded

CONNECT_SECONDS, RESOLVE_SECONDS, ANSWER_SECONDS = 15, 10, 30
_MOST_ADDRESSES = 6
_STREAM_LIMIT = 64 * 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Failed(Exception):
    """An allowed target cannot be reached; the text says why."""


class OperatorProxy(NamedTuple):
    """The operator's proxy; `login` is the value of the header Proxy-Authorization, or "". It is never printed."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    login: str
    no_proxy: str

    @classmethod
    def of(cls, url: str, no_proxy: str, ca_file: str | None) -> "OperatorProxy":
        """From a URL such as http://USER:PASSWORD@proxy:3128; `ca_file` has additional certificate authorities."""
        parts = urlsplit(url)
        tls = None
        if parts.scheme == "https":
            tls = ssl.create_default_context()
            if ca_file:
                tls.load_verify_locations(ca_file)
        login = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            login = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return cls(parts.hostname or "", parts.port or (443 if tls else 80), tls, login, no_proxy)

    def serves(self, host: str, port: int) -> bool:
        """Whether the target is reached through it."""
        return not is_excluded(host, port, self.no_proxy)


async def connect(rule: Rule, host: str, port: int, proxy: OperatorProxy | None) -> Streams:
    """Connect to a target that the rule allows.

    Raises:
        Refused: its name resolves only to addresses that it must not have.
        Failed: it cannot be reached.
    """
    if proxy is not None and proxy.serves(host, port):
        return await _through(proxy, host, port)
    addresses = await _addresses(rule, host, port)
    failure = "no address"
    for address in addresses[:_MOST_ADDRESSES]:
        try:
            async with asyncio.timeout(CONNECT_SECONDS / min(len(addresses), _MOST_ADDRESSES)):
                # The address that was checked, not the name: a second resolution could differ.
                return await asyncio.open_connection(address, port, limit=_STREAM_LIMIT)
        except TimeoutError:
            failure = "the connection timed out"
        except OSError as error:
            failure = os.strerror(error.errno) if error.errno else "the connection failed"
    raise Failed(failure)


async def _addresses(rule: Rule, host: str, port: int) -> list[str]:
    literal = literal_of(host)
    if literal is None:
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (TimeoutError, OSError, UnicodeError):
            raise Failed("the name cannot be resolved") from None
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    else:
        addresses = [literal]
    allowed = permitted(rule, addresses)
    if not allowed:
        raise Refused(HTTPStatus.FORBIDDEN, "its address is not on the internet", f"{host}:{port}")
    return allowed


async def _through(proxy: OperatorProxy, host: str, port: int) -> Streams:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port, ssl=proxy.tls, limit=_STREAM_LIMIT)
    except (OSError, UnicodeError) as error:
        why = "its certificate is not trusted" if isinstance(error, ssl.SSLCertVerificationError) else "no connection"
        raise Failed(f"the proxy of AGENT_HTTPS_PROXY: {why}") from None
    try:
        login = f"Proxy-Authorization: {proxy.login}\r\n" if proxy.login else ""
        writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n".encode())
        async with asyncio.timeout(ANSWER_SECONDS):
            refusal = _refusal(await reader.readuntil(b"\r\n\r\n"))
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        refusal = "no answer"
    except BaseException:
        writer.transport.abort()
        raise
    if refusal:
        writer.transport.abort()
        raise Failed(f"the proxy of AGENT_HTTPS_PROXY: {refusal}")
    return reader, writer


def _refusal(head: bytes) -> str:
    """Why the proxy's answer does not open a tunnel; "" if it does."""
    status = head.split(b" ", 2)[1:2]
    if not head.startswith(b"HTTP/1.") or not status or not re.fullmatch(rb"[1-5][0-9][0-9]", status[0]):
        return "not an HTTP answer"
    return "" if status[0].startswith(b"2") else f"HTTP {status[0].decode()}"
