"""A company's CONNECT proxy, and the stand-in GitHub with TLS, under a name that only this proxy knows."""

import asyncio
import base64
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

from moonmind_appliance.rehearsal.openai.certificates import make_certificates

HOST = "github.test"
USER, PASSWORD = "moon", "p@ss:w0rd/4711#%"
SERVER_URL = f"https://{HOST}"
API_URL = f"{SERVER_URL}/api/v3"


class CompanyProxy:
    """A context manager. `connects` are the targets of requests, `heads` the requests, `statuses` the answers.

    Args:
        address: where it listens, such as a Docker network's gateway.
        github_url: the stand-in's plain HTTP address.
        folder: for the certificate's files.
        refuse: answer every request with this status; None: connect GitHub's host, if user and password are right.
            May be changed at any time.
    """

    def __init__(self, address: str, github_url: str, folder: Path, *, refuse: int | None = None) -> None:
        self._address, self.refuse, self.folder = address, refuse, folder
        self._upstream = urlsplit(github_url)
        certificates = make_certificates([HOST])
        self.ca_pem = certificates.ca
        (folder / "server.pem").write_bytes(certificates.server + certificates.server_key)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "server.pem")
        self.connects: list[str] = []
        self.statuses: list[int] = []
        self.heads: list[str] = []
        self.port = 0
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """Without user and password."""
        return f"http://{self._address}:{self.port}"

    @property
    def url_with_login(self) -> str:
        """The value for GITHUB_HTTPS_PROXY."""
        return f"http://{USER}:{quote(PASSWORD, safe='')}@{self._address}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        front = await asyncio.start_server(self._decrypted, "127.0.0.1", 0, ssl=self._tls)
        proxy = await asyncio.start_server(self._connect, self._address, 0)
        self._front: int = front.sockets[0].getsockname()[1]
        self.port = proxy.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        for server in (proxy, front):
            server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split(" ", 2)
            self.connects.append(target)
            self.heads.append(head.lower())
            status = self._status(method, target, head)
            self.statuses.append(status)
            if status == 200:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _join(reader, writer, "127.0.0.1", self._front)
            else:
                demand = "Proxy-Authenticate: Basic realm=proxy\r\n" if status == 407 else ""
                writer.write(f"HTTP/1.1 {status} No\r\n{demand}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _status(self, method: str, target: str, head: str) -> int:
        if self.refuse is not None:
            return self.refuse
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if f"proxy-authorization: basic {login}".lower() not in head.lower():
            return 407
        return 200 if (method, target) == ("CONNECT", f"{HOST}:443") else 403

    async def _decrypted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await _join(reader, writer, self._upstream.hostname or "", self._upstream.port or 80)
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    """Forward data in both directions until one side closes."""
    other_reader, other_writer = await asyncio.open_connection(host, port)
    ways = [
        asyncio.ensure_future(_pass_on(reader, other_writer)),
        asyncio.ensure_future(_pass_on(other_reader, writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        other_writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
