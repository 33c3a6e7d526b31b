"""The login broker in this process, behind the egress proxy, in front of a TLS server that stands for OpenAI."""

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from moonmind_appliance.in_container.broker_authority import make_authority
from moonmind_appliance.in_container.broker_connection import LoginBroker, Parts
from moonmind_appliance.in_container.broker_login import Dummy, LoginFile
from moonmind_appliance.in_container.broker_renewal import Renewal
from moonmind_appliance.in_container.broker_report import Report
from moonmind_appliance.in_container.broker_request import HOSTS
from moonmind_appliance.in_container.egress_proxy import EgressProxy, Limits
from moonmind_appliance.in_container.egress_record import Record
from moonmind_appliance.in_container.egress_rules import rule
from moonmind_appliance.in_container.egress_upstream import OperatorProxy
from moonmind_appliance.rehearsal.openai.accounts import Account, Accounts, Tokens, sample_accounts
from moonmind_appliance.rehearsal.openai.certificates import make_certificates
from moonmind_appliance.rehearsal.openai.proxy import ConnectProxy
from tests.in_container.egress_served import Loop, listen

_SECONDS = 10
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

# Requests as `Served.filled` takes them.
BEARER = b"Authorization: Bearer {bearer}\r\n"
FRAME = BEARER + b"Host: chatgpt.com\r\nContent-Length: 0\r\n"
GOOD = b"POST /backend-api/codex/responses HTTP/1.1\r\n" + FRAME + b"\r\n"


def request(target: bytes, method: bytes = b"GET", more: bytes = b"") -> bytes:
    """A request that is right except for these parts."""
    return method + b" " + target + b" HTTP/1.1\r\n" + FRAME + more + b"\r\n"


def post(headers: bytes, body: bytes = b"") -> bytes:
    """A request to the model with these headers."""
    return b"POST /backend-api/codex/responses HTTP/1.1\r\n" + headers + b"\r\n" + body


def refresh(body: bytes, path: bytes = b"/oauth/token", method: bytes = b"POST") -> bytes:
    """A request for tokens with that body."""
    return (
        method + b" " + path + b" HTTP/1.1\r\nHost: auth.openai.com\r\n"
        b"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n" + body
    )


REFRESH = b'{"client_id":"app","grant_type":"refresh_token","refresh_token":"{refresh}"}'


def login_file(tokens: Tokens, account: Account) -> bytes:
    """`auth.json` with these tokens."""
    stored = {
        "id_token": tokens.id_token,
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "account_id": account.account_id,
    }
    return json.dumps({"OPENAI_API_KEY": None, "tokens": stored, "last_refresh": "2026-11-01T00:00:00Z"}).encode()


class Served(Loop):
    """The broker. `requests` are what OpenAI got: head and body of each request, as they came.

    `answer` makes OpenAI's answer from a head; b"" ends the connection without one.
    """

    def __init__(self, folder: Path, *, limits: Limits | None = None, access_seconds: float = 86400.0) -> None:
        super().__init__()
        self.folder = folder
        self.file = folder / "auth.json"
        self.accounts = Accounts(sample_accounts(1))
        self.accounts.access_seconds = access_seconds
        self.tokens = self.accounts.sign_in(self.accounts[0])
        self.write(self.tokens)
        self.dummy = Dummy(LoginFile(self.file).read())
        self.checks = 0
        self.report: dict[str, Any] | None = None
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.ended = threading.Event()
        self.reads_bodies = True
        self._writers: set[asyncio.StreamWriter] = set()
        self.answer: Callable[[bytes], bytes] = lambda _: OK
        self.lines: list[dict[str, Any]] = []
        self.port = 0
        self._limits = limits or Limits(5.0)
        self._lock = threading.Lock()

    def write(self, tokens: Tokens) -> None:
        """Store a login as the real one."""
        self.tokens = tokens
        new = self.file.with_suffix(".new")
        new.write_bytes(login_file(tokens, self.accounts[0]))
        new.rename(self.file)

    def check(self) -> dict[str, Any]:
        """Renews the login as Codex would, or only returns `report`."""
        with self._lock:
            self.checks += 1
        if self.report is not None:
            return self.report
        self.write(self.accounts.refresh(self.tokens.refresh_token))
        return {"refreshed": True}

    def __enter__(self) -> Self:
        super().__enter__()
        made = make_certificates(HOSTS)
        for name, content in (("cert", made.server), ("key", made.server_key)):
            (self.folder / name).write_bytes(content)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.folder / "cert", self.folder / "key")
        service = self.call(listen(self._serve, ssl=context))
        self._proxy = ConnectProxy(HOSTS, ("127.0.0.1", service))
        proxy = self.call(self._proxy.start("127.0.0.1", 0))
        authority = make_authority(HOSTS, self.folder)
        self.ca = authority.ca

        def write(line: str) -> None:
            self.lines.append(json.loads(line))

        report, record = Report(write), Record(write)
        trusted = ssl.create_default_context(cadata=made.ca.decode())
        renewal = Renewal(LoginFile(self.file), self.check, report.renewing, report.renewed)
        broker = LoginBroker(Parts(authority, self.dummy, renewal, report, trusted), record, self._limits)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        rules = [rule(host, private=False) for host in HOSTS]
        through = OperatorProxy.of(f"http://127.0.0.1:{proxy}", "", None)
        self.begin(EgressProxy(rules, through, self._limits, record, broker).serve(listener, {"ready": True}))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call(self._proxy.stop())
        super().__exit__(kind, error, trace)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await _body(head, reader) if self.reads_bodies else b""
                self.requests.append((head, body))
                answer = self.answer(head)
                if not answer:
                    break
                writer.write(answer)
                await writer.drain()
                if not self.reads_bodies:
                    await asyncio.sleep(0.2)
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            self.ended.set()

    def end_connections(self) -> None:
        """End OpenAI's connections at once."""
        for writer in tuple(self._writers):
            self.loop.call_soon_threadsafe(writer.transport.abort)

    def connect(
        self, host: str = "chatgpt.com", *, name: str | None = "", protocols: list[str] | None = None
    ) -> ssl.SSLSocket:
        """A TLS connection of the agent in a tunnel to that host; `name` is another server name."""
        connection = socket.create_connection(("127.0.0.1", self.port), _SECONDS)
        connection.sendall(f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n".encode())
        assert connection.recv(1000) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        context = ssl.create_default_context(cadata=self.ca)
        if name != "":
            context.check_hostname = False
        context.set_alpn_protocols(protocols or [])
        return context.wrap_socket(connection, server_hostname=host if name == "" else name)

    def ask(self, request: bytes, host: str = "chatgpt.com") -> bytes:
        """The broker's answer to these bytes, with all that follows it until the end of the connection."""
        with self.connect(host) as connection:
            connection.sendall(self.filled(request))
            head, body = read_answer(connection)
            return head + b"\r\n\r\n" + body + rest_of(connection)

    def filled(self, request: bytes) -> bytes:
        """The request with this run's tokens and the length of its body in place of their names."""
        names = {b"{bearer}": self.dummy.access_token, b"{refresh}": self.dummy.refresh_token}
        for name, value in names.items():
            request = request.replace(name, value.encode())
        return request.replace(b"{length}", b"%d" % len(request.partition(b"\r\n\r\n")[2]))

    def recorded(self, outcome: str) -> dict[str, str]:
        """The reasons of the targets with that outcome."""
        return {line["target"]: line["reason"] for line in self.lines if line.get("outcome") == outcome}

    def printed(self, kind: str) -> list[dict[str, Any]]:
        """The broker's own lines of that kind."""
        return [line for line in self.lines if line.get("broker") == kind]


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    fields = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
    }
    if b"transfer-encoding" not in fields:
        return await reader.readexactly(int(fields.get(b"content-length", b"0")))
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)


def rest_of(connection: ssl.SSLSocket) -> bytes:
    """What still comes after the agent has said that it will send nothing more."""
    try:
        connection.unwrap()
    except ssl.SSLError as error:
        # The broker sent something else than the end.
        return b"" if "EOF" in str(error) or "SHUTDOWN" in str(error) else repr(error).encode()
    except OSError:
        pass
    return b""


def read_answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of one answer with a length."""
    found = b""
    while b"\r\n\r\n" not in found:
        data = connection.recv(65536)
        assert data, found
        found += data
    head, _, body = found.partition(b"\r\n\r\n")
    size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < size:
        body += connection.recv(65536)
    return head, body
