"""How the egress proxy connects to an allowed target."""

import asyncio
import base64
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.in_container.egress_request import Refused
from moonmind_appliance.in_container.egress_rules import rule
from moonmind_appliance.in_container.egress_upstream import Failed, OperatorProxy, connect
from moonmind_appliance.rehearsal.openai.certificates import make_certificates
from tests.in_container.egress_served import Loop, listen


class Proxy:
    """An operator's proxy: keeps the heads, and gives each the same answer."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\nhello") -> None:
        self.answer = answer
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as running:
        yield running


async def _first(entry: str, host: str, port: int, proxy: OperatorProxy | None) -> bytes:
    reader, writer = await connect(rule(entry), host, port, proxy)
    try:
        return await reader.read(100)
    finally:
        writer.close()


def test_the_operators_proxy_gets_a_request_of_its_own_and_the_login(loop: Loop) -> None:
    """It contains nothing that the agent sent. What the proxy sends after its answer belongs to the tunnel."""
    proxy = Proxy()
    port = loop.call(listen(proxy.serve))
    operators = OperatorProxy.of(f"http://moon:p%40ss@127.0.0.1:{port}", "", None)
    assert loop.call(_first("a.example", "a.example", 443, operators)) == b"hello"
    login = base64.b64encode(b"moon:p@ss").decode()
    assert proxy.heads == [
        f"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nProxy-Authorization: Basic {login}\r\n\r\n".encode()
    ]


def test_a_proxy_with_tls_is_trusted_through_the_operators_authorities(loop: Loop, tmp_path: Path) -> None:
    """Without them its certificate is not trusted."""
    made = make_certificates(["localhost"])
    for name, content in (("ca", made.ca), ("cert", made.server), ("key", made.server_key)):
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    url = f"https://localhost:{loop.call(listen(Proxy().serve, ssl=context))}"
    trusting = OperatorProxy.of(url, "", str(tmp_path / "ca"))
    assert loop.call(_first("a.example", "a.example", 443, trusting)) == b"hello"
    with pytest.raises(Failed, match="its certificate is not trusted"):
        loop.call(_first("a.example", "a.example", 443, OperatorProxy.of(url, "", None)))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "HTTP 407"),
        (b"HTTP/1.0 503 x\r\n\r\n", "HTTP 503"),
        (b"HTTP/1.1 abc\r\n\r\n", "not an HTTP answer"),
        (b"SSH-2.0-x\r\n\r\n", "not an HTTP answer"),
        (b"HTTP/1.1 200", "no answer"),
        (b"a" * 200_000, "no answer"),
    ],
)
def test_a_proxy_that_opens_no_tunnel_is_a_failure(loop: Loop, answer: bytes, why: str) -> None:
    """The reason names the setting, but neither an address nor a password."""
    port = loop.call(listen(Proxy(answer).serve))
    operators = OperatorProxy.of(f"http://moon:word@127.0.0.1:{port}", "", None)
    with pytest.raises(Failed) as failed:
        loop.call(_first("a.example", "a.example", 443, operators))
    assert str(failed.value) == f"the proxy of AGENT_HTTPS_PROXY: {why}"


def test_excluded_hosts_are_reached_directly(loop: Loop) -> None:
    """AGENT_NO_PROXY applies in the egress container; the agent does not know the proxy."""
    served = Proxy()
    port = loop.call(listen(served.serve))
    nowhere = OperatorProxy.of("http://127.0.0.1:9", "127.0.0.0/8,other.example", None)
    assert [nowhere.serves(host, 443) for host in ("127.0.0.1", "a.other.example", "another.example")] == [
        False,
        False,
        True,
    ]

    async def ask() -> bytes:
        reader, writer = await connect(rule(f"127.0.0.1:{port}"), "127.0.0.1", port, nowhere)
        writer.write(b"x\r\n\r\n")
        answer = await reader.read(8)
        writer.close()
        return answer

    assert loop.call(ask()) == b"HTTP/1.1"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_target_on_this_machine_needs_an_entry_with_its_port(loop: Loop, host: str) -> None:
    """This applies to its name and to its address."""
    with pytest.raises(Refused, match="its address is not on the internet"):
        loop.call(_first(host, host, 443, None))


def test_a_connection_that_is_refused_is_a_failure(loop: Loop) -> None:
    """The failure has the kernel's reason."""
    with pytest.raises(Failed, match="refused"):
        loop.call(_first("127.0.0.1:9", "127.0.0.1", 9, None))
