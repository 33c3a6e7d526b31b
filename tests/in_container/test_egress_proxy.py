"""The egress proxy on real sockets: what passes, and how each attack is answered."""

import asyncio
import random
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.in_container.command import command
from moonmind_appliance.in_container.egress_listen import hand_over
from moonmind_appliance.in_container.egress_proxy import Limits
from moonmind_appliance.in_container.egress_request import HEAD_LIMIT
from moonmind_appliance.rehearsal.openai.certificates import make_certificates
from tests.in_container.egress_served import Loop, Served, listen, read_all


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(["service.invalid", "*.wide.invalid"]) as running:
        yield running


def test_an_allowed_target_gets_a_tunnel(served: Served) -> None:
    """Bytes pass both ways, also after one side has ended its direction. The record has the bytes of each direction."""
    with served.tunnel() as connection:
        connection.sendall(b"a" * 100_000)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b"a" * 100_000 + b"end"
    time.sleep(0.6)
    (last, *_) = [line for line in reversed(served.lines) if line["outcome"] == "allowed"]
    assert (last["target"], last["sent"], last["received"]) == (f"127.0.0.1:{served.echo}", 100_000, 100_003)


def test_small_answers_are_sent_at_once(served: Served) -> None:
    """Otherwise each would wait 40 ms for the agent's acknowledgement of the one before."""
    with served.tunnel():
        assert served.listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_name_is_resolved_by_the_proxy(served: Served) -> None:
    """The agent has no name resolution."""
    with served.tunnel(f"localhost:{served.echo}") as connection:
        connection.sendall(b"x")
        assert connection.recv(10) == b"x"


# Each with the status of its answer. {echo} is an allowed target's port.
ATTACKS: dict[str, tuple[bytes, int]] = {
    "a host that is not allowed": (b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n", 403),
    "another port of an allowed host": (b"CONNECT service.invalid:80 HTTP/1.1\r\n\r\n", 403),
    "a host below an allowed one": (b"CONNECT a.service.invalid:443 HTTP/1.1\r\n\r\n", 403),
    "a host that ends like an allowed one": (b"CONNECT evilservice.invalid:443 HTTP/1.1\r\n\r\n", 403),
    "an allowed host as a part of another": (b"CONNECT service.invalid.evil.example:443 HTTP/1.1\r\n\r\n", 403),
    "the name above a wildcard": (b"CONNECT wide.invalid:443 HTTP/1.1\r\n\r\n", 403),
    "an address": (b"CONNECT 1.1.1.1:443 HTTP/1.1\r\n\r\n", 403),
    "the metadata of a cloud": (b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n", 403),
    "this machine": (b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n", 403),
    "this machine in IPv6": (b"CONNECT [::1]:{echo} HTTP/1.1\r\n\r\n", 403),
    "this machine, mapped": (b"CONNECT [::ffff:127.0.0.1]:{echo} HTTP/1.1\r\n\r\n", 403),
    "this machine as a number": (b"CONNECT 2130706433:{echo} HTTP/1.1\r\n\r\n", 400),
    "this machine in hexadecimal": (b"CONNECT 0x7f000001:{echo} HTTP/1.1\r\n\r\n", 400),
    "this machine, short": (b"CONNECT 127.1:{echo} HTTP/1.1\r\n\r\n", 400),
    "a trailing dot": (b"CONNECT service.invalid.:443 HTTP/1.1\r\n\r\n", 400),
    "a user": (b"CONNECT service.invalid@evil.example:443 HTTP/1.1\r\n\r\n", 400),
    "a percent-encoded host": (b"CONNECT service%2einvalid:443 HTTP/1.1\r\n\r\n", 400),
    "a host in Unicode": ("CONNECT s\u0435rvice.invalid:443 HTTP/1.1\r\n\r\n".encode(), 400),
    "a full-width dot": ("CONNECT service\uff0einvalid:443 HTTP/1.1\r\n\r\n".encode(), 400),
    "no port": (b"CONNECT service.invalid HTTP/1.1\r\n\r\n", 400),
    "two ports": (b"CONNECT service.invalid:443:80 HTTP/1.1\r\n\r\n", 400),
    "a port with a zero": (b"CONNECT service.invalid:0443 HTTP/1.1\r\n\r\n", 400),
    "a port beyond the range": (b"CONNECT service.invalid:65979 HTTP/1.1\r\n\r\n", 400),
    "a path": (b"CONNECT service.invalid:443/x HTTP/1.1\r\n\r\n", 400),
    "an absolute URL": (b"GET http://service.invalid/ HTTP/1.1\r\nHost: service.invalid\r\n\r\n", 403),
    "an absolute URL for CONNECT": (b"CONNECT https://service.invalid:443 HTTP/1.1\r\n\r\n", 400),
    "a request to the proxy itself": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 403),
    "a POST with a body": (b"POST http://service.invalid/ HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 400),
    "another host in Host": (b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
    "Host twice": (
        b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nHost: 127.0.0.1:{echo}\r\nHost: 127.0.0.1:{echo}\r\n\r\n",
        400,
    ),
    "a space before the colon": (b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "a folded header": (b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nX: 1\r\n  y\r\n\r\n", 400),
    "a length": (b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nContent-Length: 4\r\n\r\n", 400),
    "chunks": (b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "a length and chunks": (
        b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "a second CONNECT after the first": (
        b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\n\r\nCONNECT evil.example:443 HTTP/1.1\r\n\r\n",
        400,
    ),
    "data before the answer": (b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\n\r\nearly", 400),
    "lines without a carriage return": (b"CONNECT 127.0.0.1:{echo} HTTP/1.1\n\n", 400),
    "a carriage return alone": (b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nX: a\rY: b\r\n\r\n", 400),
    "NUL": (b"CONNECT 127.0.0.1:{echo}\0.evil.example HTTP/1.1\r\n\r\n", 400),
    "an injected line": (b"CONNECT 127.0.0.1:{echo}\r\nX: HTTP/1.1\r\n\r\n", 400),
    "TLS to the proxy": (b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "SOCKS": (b"\x05\x01\x00", 400),
    "a tab in the request line": (b"CONNECT\t127.0.0.1:{echo}\tHTTP/1.1\r\n\r\n", 400),
    "a method in lower case": (b"connect 127.0.0.1:{echo} HTTP/1.1\r\n\r\n", 403),
    "many headers": (b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\n" + b"X: 1\r\n" * 100 + b"\r\n", 431),
    "a large header": (b"CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nX: " + b"a" * HEAD_LIMIT + b"\r\n\r\n", 431),
    "an endless line": (b"CONNECT " + b"a" * 1_000_000, 431),
    "an empty line first": (b"\r\nCONNECT 127.0.0.1:{echo} HTTP/1.1\r\n\r\n", 400),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_is_answered_at_once(served: Served, attack: str) -> None:
    """The proxy answers with an error, closes the connection, and connects to nothing."""
    raw, status = ATTACKS[attack]
    connections = served.reached
    request = raw.replace(b"{echo}", str(served.echo).encode())
    with served.connect() as connection:
        try:
            connection.sendall(request)
            if attack == "SOCKS":
                connection.shutdown(socket.SHUT_WR)
        except (ConnectionResetError, BrokenPipeError):
            pass
        answer = read_all(connection)
    assert answer.split(b" ")[:2] == [b"HTTP/1.1", str(status).encode()]
    assert b"Connection: close\r\n" in answer
    assert served.reached == connections


def test_refusals_are_recorded_as_printable_text(served: Served) -> None:
    """The target is recorded as it was sent, so that a secret in it is redacted."""
    served.ask(b"CONNECT recorded.example:443 HTTP/1.1\r\n\r\n")
    served.ask(b"CONNECT ghp_AbC.example:443 HTTP/1.1\r\n\r\n")
    served.ask(b"CONNECT \x1b[31m:443 HTTP/1.1\r\n\r\n")
    refused = served.recorded("refused")
    assert refused["recorded.example:443"] == refused["ghp_AbC.example:443"] == "not on the allow-list"
    assert refused["CONNECT \\x1b[31m:443 HTTP/1.1"] == "the request line is malformed"


def test_a_name_that_cannot_be_resolved_is_a_failure(served: Served) -> None:
    """It is not a refusal: the host is allowed."""
    assert served.ask(b"CONNECT service.invalid:443 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 502 ")
    assert served.recorded("failed") == {"service.invalid:443": "the name cannot be resolved"}


def test_a_name_of_this_machine_is_refused_without_a_port() -> None:
    """`localhost` stands for any name whose owner lets it resolve to a local address."""
    with Served(["localhost"]) as served:
        assert served.ask(b"CONNECT localhost:443 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 403 ")
        assert served.recorded("refused") == {"localhost:443": "its address is not on the internet"}


def test_a_slow_request_is_ended() -> None:
    """It is ended even if bytes still arrive."""
    with Served(limits=Limits(5.0, head=0.3)) as served, served.connect() as connection:
        answer = b""
        for byte in b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nX: " + b"a" * 100:
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                break
            connection.settimeout(0.02)
            try:
                answer += connection.recv(1000)
            except TimeoutError:
                continue
            break
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_hello_in_many_pieces_is_ended(tls_service: tuple[int, Path]) -> None:
    """Parsing it again for each byte would take quadratic time."""
    port, _ = tls_service
    with Served() as served:
        served.allow_tls("localhost", port)
        with served.tunnel(f"localhost:{port}") as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number in range(200):
                try:
                    connection.sendall(b"\x16\x03\x01\x00\x01" + (b"\x7f" if number else b"\x01"))
                except OSError:
                    break
                time.sleep(0.002)
            read_all(connection)
        assert served.recorded("refused") == {f"localhost:{port}": "the TLS ClientHello came in too many pieces"}


def test_silent_and_half_open_tunnels_are_ended() -> None:
    """Each of the two has its own time limit."""
    with Served(limits=Limits(0.4)) as served, served.tunnel() as silent:
        assert read_all(silent) == b""
    with socket.create_server(("127.0.0.1", 0)) as never_answers:
        target = f"127.0.0.1:{never_answers.getsockname()[1]}"
        with Served([target], limits=Limits(60.0, half_open=0.2)) as served, served.tunnel(target) as half_open:
            half_open.shutdown(socket.SHUT_WR)
            assert read_all(half_open) == b""


def test_the_number_of_connections_is_limited() -> None:
    """One more is answered with 503. When one ends, another is accepted."""
    with Served(limits=Limits(30.0, connections=5)) as served:
        open_tunnels = [served.tunnel() for _ in range(5)]
        assert served.ask(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 503 ")
        open_tunnels.pop().close()
        time.sleep(0.2)
        served.tunnel().close()
        for each in open_tunnels:
            each.close()


def test_a_flood_of_connections_does_not_stop_an_open_tunnel() -> None:
    """A thousand connections that send nothing, half a request, or a refused one."""
    with Served() as served, served.tunnel() as connection:
        for number in range(1000):
            with served.connect() as flood:
                flood.sendall((b"", b"CONNECT ", b"CONNECT x.example:443 HTTP/1.1\r\n\r\n")[number % 3])
        connection.sendall(b"still here")
        assert connection.recv(100) == b"still here"


def test_random_bytes_never_open_a_tunnel_or_end_the_proxy() -> None:
    """After two thousand connections with mutated requests, an honest one works."""
    chance = random.Random(47)  # noqa: S311 - reproducible, not secret
    with Served(limits=Limits(5.0, head=2.0)) as served:
        good = b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n"
        for _ in range(2000):
            data = bytearray(good)
            for _ in range(chance.randint(0, 4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            with served.connect() as connection:
                connection.sendall(bytes(data))
                connection.shutdown(socket.SHUT_WR)
                assert not read_all(connection).startswith(b"HTTP/1.1 200")
        served.tunnel().close()
        assert "allowed" not in {line["outcome"] for line in served.lines if "evil" in line["target"]}


@pytest.fixture
def tls_service(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A TLS server for any name, and its certificate authority."""
    made = make_certificates(["localhost"])
    for name, content in (("ca", made.ca), ("cert", made.server), ("key", made.server_key)):
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    with Loop() as loop:
        yield loop.call(listen(serve, ssl=context)), tmp_path / "ca"


def test_a_tunnel_without_a_port_in_its_entry_must_be_tls_for_that_host(tls_service: tuple[int, Path]) -> None:
    """An address of a content delivery network serves the names of all customers."""
    port, ca_file = tls_service
    with Served() as served:
        served.allow_tls("localhost", port)

        def shake_hands(name: str | None) -> str:
            context = ssl.create_default_context(cafile=str(ca_file))
            context.check_hostname = False
            with served.tunnel(f"localhost:{port}") as connection:
                try:
                    with context.wrap_socket(connection, server_hostname=name) as secure:
                        return str(secure.version())
                except (OSError, ssl.SSLError):
                    return "ended"

        assert shake_hands("localhost").startswith("TLS")
        assert shake_hands("evil.example") == "ended"
        with served.tunnel(f"localhost:{port}") as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert read_all(plain) == b""
        reasons = {line["reason"] for line in served.lines if line["outcome"] == "refused"}
        assert reasons == {"TLS for another host: evil.example", "not TLS"}


def program_for(path: Path, *, seconds: float) -> list[str]:
    """The command of the program that waits at that path for the socket."""
    job = {
        "socket": str(path),
        "seconds": seconds,
        "hosts": ["chatgpt.com"],
        "allow": [],
        "no_proxy": "",
        "ca_file": None,
        "idle_seconds": 5,
    }
    return [sys.executable, *command("egress_proxy", job)[1:]]


def test_the_program_takes_the_socket_of_another_container(tmp_path: Path) -> None:
    """It accepts on a socket that it did not open, prints that it is ready, and removes the Unix socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        path = tmp_path / "x.sock"
        with subprocess.Popen(program_for(path, seconds=10), stdout=subprocess.PIPE) as program:
            try:
                assert hand_over(listener, str(path), 10)
                assert program.stdout is not None
                assert program.stdout.readline() == b'{"ready": true}\n'
                assert list(tmp_path.iterdir()) == []
                with socket.create_connection(listener.getsockname(), 10) as agent:
                    agent.sendall(b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n")
                    assert read_all(agent).startswith(b"HTTP/1.1 403 ")
                assert b'"evil.example:443"' in program.stdout.readline()
            finally:
                program.kill()


def test_the_program_gives_up_without_a_socket(tmp_path: Path) -> None:
    """Then the run starts another container."""
    argv = program_for(tmp_path / "x.sock", seconds=0.2)
    done = subprocess.run(argv, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (1, b"The agent container did not hand over its socket.\n")
    assert list(tmp_path.iterdir()) == []
