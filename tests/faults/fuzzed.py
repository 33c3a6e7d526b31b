"""Changed bytes for the parsers of the egress container, and what must be true of everything that they let pass.

The bytes come from an agent. Each function takes one input; a violation is an AssertionError, and any exception that
the parser does not document ends the run.
"""

import asyncio
import random
import re
from collections.abc import Callable
from typing import Any

from moonmind_appliance.in_container.broker_http import AgentSide, ServiceSide
from moonmind_appliance.in_container.broker_request import Action, check_request, real_headers
from moonmind_appliance.in_container.egress_hello import NotThisHost, check_hello
from moonmind_appliance.in_container.egress_proxy import Limits, Tunnel
from moonmind_appliance.in_container.egress_request import LONGEST_SHOWN, Refused, canonical_host, parse_head
from moonmind_appliance.in_container.egress_rules import find, rule
from moonmind_appliance.in_container.egress_upstream import Failed

HOST = "chatgpt.com"
DUMMY, REAL, ACCOUNT = "dum.my.token", "real.login.token", "the-account"
PASSED, REFUSED = "passed", "refused"

# What an attacker would try, inserted as it is.
_WORDS = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"\xff", b"\x85", b"\r\n\r\n", b"\n\n", b"\r\n "),
    *(b"..", b"/", b"//", b"%2e%2e", b"%2f", b"\\", b"?", b"#", b"*", b"@", b"https://evil.example"),
    *(b"Host: evil.example\r\n", b"Host: chatgpt.com\r\n", b"Authorization: Bearer x\r\n", b"Connection: x\r\n"),
    *(b"Authorization: Bearer dum.my.token\r\n", b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Expect: x\r\n"),
    *(b"transfer_encoding: chunked\r\n", b"content_length: 3\r\n", b"chatgpt_account_id: x\r\n", b"_"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Upgrade: websocket\r\n", b"TE: x\r\n"),
    *(b"GET /backend-api/codex/models HTTP/1.1\r\n", b"CONNECT", b"TRACE", b"HTTP/1.0", b"HTTP/2", b"0\r\n\r\n"),
]
_HEADS = [
    b"CONNECT chatgpt.com:443 HTTP/1.1\r\nHost: chatgpt.com:443\r\nUser-Agent: x",
    b"CONNECT [::1]:443 HTTP/1.0",
    b"CONNECT 10.0.0.1:8443 HTTP/1.1\r\nContent-Length: 0",
]
_LOGIN = b"authorization: Bearer dum.my.token\r\nchatgpt-account-id: mine\r\nhost: chatgpt.com\r\n"
_REQUESTS = [
    b"POST /backend-api/codex/responses HTTP/1.1\r\nversion: 1\r\n" + _LOGIN + b"content-length: 4\r\n\r\nbody",
    b"POST /backend-api/codex/responses/compact HTTP/1.1\r\n"
    + _LOGIN
    + b"transfer-encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
    b"GET /backend-api/codex/models?client_version=1 HTTP/1.1\r\n" + _LOGIN + b"accept: */*\r\n\r\n",
    b"GET /backend-api/codex/responses HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + _LOGIN + b"\r\n",
    b"GET /backend-api/wham/usage HTTP/1.1\r\n" + _LOGIN + b"Connection: keep-alive\r\nTE: trailers\r\n\r\n",
]

_ALLOWED = re.compile(
    rb"(POST /backend-api/codex/responses(/compact)?|GET /backend-api/codex/models|GET /backend-api/wham/"
    rb"(accounts/check|settings/user|config/bundle|usage))(\?[!-\"$-~]*)? HTTP/1\.1"
)
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x21-\x7e\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_ONLY_WITH_HYPHENS = {b"host", b"authorization", b"chatgpt-account-id", b"content-length", b"transfer-encoding"}
_NEVER = {b"connection", b"upgrade", b"te", b"proxy-authorization", b"keep-alive", b"trailer", b"expect"}


def changed(data: bytes, chance: random.Random) -> bytes:
    """The bytes with up to six changes."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(5):
            case 0 if at < len(found):
                found[at] = chance.randrange(256)
            case 1:
                found[at:at] = chance.choice(_WORDS)
            case 2:
                del found[at : at + chance.randint(1, 8)]
            case 3:
                start = chance.randrange(len(found) + 1)
                found[at:at] = found[start : start + chance.randint(1, 40)]
            case _:
                # After the end of a line, where a whole header belongs.
                line = found.find(b"\r\n", at)
                found[line + 2 : line + 2] = chance.choice(_WORDS)
    return bytes(found)


def fuzz_head(chance: random.Random) -> str:
    """The head of a CONNECT request (`egress_request`): what passes is one canonical target."""
    try:
        host, port = parse_head(changed(chance.choice(_HEADS), chance))
    except Refused as refused:
        _check_shown(refused)
        return REFUSED
    assert canonical_host(host) == host
    assert 1 <= port <= 65535
    assert (find([rule(HOST)], host, port) is None) == ((host, port) != (HOST, 443))
    return PASSED


def hello_fuzzer(hellos: list[bytes]) -> Callable[[random.Random], str]:
    """The first bytes of a TLS connection (`egress_hello`): what passes contains the host's name."""

    def fuzz(chance: random.Random) -> str:
        data = changed(chance.choice(hellos), chance)
        try:
            passed = check_hello(data, HOST)
        except NotThisHost as refused:
            why = str(refused)
            assert why.isprintable()
            assert len(why) < LONGEST_SHOWN + 60
            return REFUSED
        assert not passed or HOST.encode() in data.lower() or data.count(b"\x16\x03") > 1
        return PASSED if passed else "incomplete"

    return fuzz


def _check_shown(refused: Refused) -> None:
    assert refused.shown.isascii()
    assert refused.shown.isprintable()
    assert len(refused.shown) <= LONGEST_SHOWN + len(f"https://{HOST} ")


class _Writer:
    """Takes what is written, as a StreamWriter does."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        """There is always room."""

    def is_closing(self) -> bool:
        return False


def _streams(received: bytes) -> tuple[Any, Any]:
    """A connection on which these bytes come, and then the end."""
    reader = asyncio.StreamReader(limit=32 * 1024)
    reader.feed_data(received)
    reader.feed_eof()
    return reader, _Writer()


async def fuzz_request(chance: random.Random) -> str:
    """A request to the login broker, parsed, checked and sent on: what OpenAI would get is one allowed request."""
    data = changed(chance.choice(_REQUESTS), chance)
    to_openai = _streams(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    tunnel = Tunnel(to_openai[1], Limits(5.0))
    agent = AgentSide(tunnel, _streams(data), 5.0)
    found = REFUSED
    try:
        head = await agent.request()
        if head is None:
            return REFUSED
        headers = list(head.headers.raw_items())
        request = check_request(HOST, head.method, head.target, headers, f"Bearer {DUMMY}".encode().__eq__)
        if request.action is not Action.FORWARD:
            return request.action.value
        sent = real_headers(headers, REAL, ACCOUNT)
        await ServiceSide(tunnel, to_openai).request(head.method, head.target, sent, agent.body())
        found = PASSED
    except Refused as refused:
        _check_shown(refused)
    except Failed:
        found = "failed"
    check_forwarded(to_openai[1].written, complete=found is PASSED)
    return found


def check_forwarded(sent: bytes, *, complete: bool) -> None:
    """Read what OpenAI would get, by rules of its own.

    Raises:
        AssertionError: it is not one allowed request with the real login.
    """
    if not sent:
        assert not complete
        return
    head, end, body = sent.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    assert end
    assert _ALLOWED.fullmatch(line), line
    matches = [_FIELD.fullmatch(field) for field in fields]
    assert all(matches), fields
    names = [(each[1].lower(), each[2] or b"") for each in matches if each]
    assert [value for name, value in names if name == b"authorization"] == [f"Bearer {REAL}".encode()]
    assert [value.lower() for name, value in names if name == b"host"] in ([b"chatgpt.com"], [b"chatgpt.com:443"])
    assert {value for name, value in names if name == b"chatgpt-account-id"} <= {ACCOUNT.encode()}
    assert _NEVER.isdisjoint(name.replace(b"_", b"-") for name, _ in names)
    assert not any(b"_" in name and name.replace(b"_", b"-") in _ONLY_WITH_HYPHENS for name, _ in names)
    lengths = [value for name, value in names if name == b"content-length"]
    codings = [value for name, value in names if name == b"transfer-encoding"]
    assert len(lengths) + len(codings) <= 1
    if codings:
        assert codings[0].lower() == b"chunked"
        while body and not body.startswith(b"0\r\n"):
            size, _, rest = body.partition(b"\r\n")
            assert re.fullmatch(rb"[0-9a-f]+", size), size
            assert rest[int(size, 16) : int(size, 16) + 2] == b"\r\n"
            body = rest[int(size, 16) + 2 :]
        assert body in ({b"0\r\n\r\n"} if complete else {b"", b"0\r\n\r\n"})
    else:
        expected = int(lengths[0]) if lengths else 0
        assert len(body) == expected if complete else len(body) <= expected
