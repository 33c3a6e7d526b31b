"""Connects to the engine, for every form of DOCKER_HOST.

docker-py can do most of this itself. Three things it cannot: give the plain socket of an exec's stream without bytes
lost in a buffer, reuse one connection for several addresses, and use the machine's `ssh`, as Docker's own tools do.
"""

import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests
import requests.adapters
import urllib3
import urllib3.connection

from moonmind_appliance.errors import EngineUnreachable

DEFAULT_SOCKET = "/var/run/docker.sock"
_PLAIN_PORT = 2375
_TLS_PORT = 2376
_KEPT_CONNECTIONS = 32


@dataclass(frozen=True)
class EngineAddress:
    """Where the engine listens. `shown` is DOCKER_HOST as given, for messages."""

    shown: str
    scheme: str
    host: str = ""
    port: int | None = None
    user: str = ""
    path: str = ""
    certificates: Path | None = None

    @classmethod
    def parse(cls, docker_host: str | None, environment: Mapping[str, str]) -> "EngineAddress":
        """Read DOCKER_HOST as Docker's own tools do.

        Args:
            docker_host: unix:///path, tcp://host[:port], ssh://[user@]host[:port]; empty for the local socket.
            environment: where DOCKER_TLS_VERIFY and DOCKER_CERT_PATH are looked for; they concern tcp only.

        Raises:
            EngineUnreachable: the address has none of these forms.
        """
        shown = docker_host or f"unix://{DEFAULT_SOCKET}"
        if shown.startswith("unix://"):
            return cls(shown, "unix", path=shown.removeprefix("unix://") or DEFAULT_SOCKET)
        match = re.fullmatch(
            r"(?P<scheme>tcp|http|https|ssh)://((?P<user>[^@/]+)@)?(?P<host>\[[0-9a-fA-F:]+\]|[^:/@]+)(:(?P<port>\d{1,5}))?/?",
            shown,
        )
        if not match or match["host"].startswith("-"):
            raise EngineUnreachable(
                f"DOCKER_HOST is {shown!r}, which is not a Docker engine's address.",
                hint="Use unix:///var/run/docker.sock, tcp://HOST:PORT or ssh://USER@HOST.",
            )
        port = int(match["port"]) if match["port"] else None
        host = match["host"].strip("[]")
        if match["scheme"] == "ssh":
            return cls(shown, "ssh", host=host, port=port, user=match["user"] or "")
        tls = match["scheme"] == "https" or bool(environment.get("DOCKER_TLS_VERIFY"))
        folder = Path(environment.get("DOCKER_CERT_PATH") or Path.home() / ".docker") if tls else None
        return cls(shown, "tcp", host=host, port=port or (_TLS_PORT if tls else _PLAIN_PORT), certificates=folder)

    def connect(self, timeout: float) -> socket.socket:
        """Open a connection; `timeout` (seconds) is the socket's from then on.

        Raises:
            OSError: nothing listens there, or the certificates do not fit.
        """
        if self.scheme == "unix":
            unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                unix.settimeout(timeout)
                unix.connect(self.path)
            except OSError:
                unix.close()
                raise
            return unix
        if self.scheme == "ssh":
            return self._connect_ssh(timeout)
        plain = socket.create_connection((self.host, self.port or _PLAIN_PORT), timeout)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.certificates is None:
            return plain
        try:
            context = ssl.create_default_context(cafile=str(self.certificates / "ca.pem"))
            context.load_cert_chain(self.certificates / "cert.pem", self.certificates / "key.pem")
            return context.wrap_socket(plain, server_hostname=self.host)
        except OSError:
            plain.close()
            raise

    def _connect_ssh(self, timeout: float) -> socket.socket:
        """Connect through `ssh HOST docker system dial-stdio`, which needs Docker's client on that host."""
        ours, theirs = socket.socketpair()
        command = ["ssh", "-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={max(1, int(timeout))}"]
        command += ["-l", self.user] if self.user else []
        command += ["-p", str(self.port)] if self.port else []
        command += ["--", self.host, "docker", "system", "dial-stdio"]
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603 - the host cannot be an option, see parse
                    command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        # It ends when the socket is closed; waiting for it avoids a zombie.
        threading.Thread(target=process.wait, name="ssh-docker", daemon=True).start()
        ours.settimeout(timeout)
        return ours

    def hint(self, cause: OSError | None) -> str:
        """What to do when the engine does not answer, by the cause."""
        if self.scheme == "ssh":
            return f"Check that `ssh {self.host} docker version` works without a password."
        if isinstance(cause, ssl.SSLError) or (self.certificates and isinstance(cause, FileNotFoundError)):
            return "Check ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH."
        if isinstance(cause, FileNotFoundError):
            return "Start the Docker engine (systemctl start docker), or set DOCKER_HOST to its address."
        if isinstance(cause, PermissionError):
            return "Run as root or as a member of the `docker` group."
        return "Check that the Docker engine runs (docker version) and that DOCKER_HOST is correct."


class EngineAdapter(requests.adapters.HTTPAdapter):
    """Lets a requests session, such as docker-py's client, talk over `EngineAddress.connect`, with one pool."""

    def __init__(self, address: EngineAddress, *, connect_timeout: float) -> None:
        super().__init__()
        self._pool = _Pool(address, connect_timeout)

    def get_connection_with_tls_context(self, *_: object, **__: object) -> urllib3.HTTPConnectionPool:
        """The one pool, for any URL."""
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Mapping[str, str] | None) -> str:
        """Only the path, as without a proxy."""
        del proxies
        return request.path_url

    def close(self) -> None:
        """Close the idle connections."""
        super().close()
        self._pool.close()


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, address: EngineAddress, connect_timeout: float) -> None:
        super().__init__("docker", maxsize=_KEPT_CONNECTIONS)
        self._address = address
        self._connect_timeout = connect_timeout

    def _new_conn(self) -> "_Connection":
        return _Connection(self._address, self._connect_timeout)


class _Connection(urllib3.connection.HTTPConnection):
    def __init__(self, address: EngineAddress, connect_timeout: float) -> None:
        super().__init__("docker")
        self._address = address
        self._connect_timeout = connect_timeout

    def connect(self) -> None:
        self.sock = self._address.connect(self._connect_timeout)
