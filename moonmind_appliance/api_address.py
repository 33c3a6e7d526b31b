"""The API's address on this machine."""

import errno
import ipaddress
import socket
from urllib.parse import urlsplit

from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.settings import Settings

BASE_PATH = "/api/spec-automation"
# Connections that the kernel keeps until the server accepts them.
BACKLOG = 2048

# The wildcard addresses are only for listening; a local caller uses the loopback interface.
_CALLED_AS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on


class AddressUnavailable(ApplianceError):
    """The API cannot listen at its address; `errno` is the operating system's error number."""

    def __init__(self, message: str, *, hint: str, number: int | None) -> None:
        super().__init__(message, hint=hint)
        self.errno = number


def local_url(settings: Settings) -> str:
    """Address for callers on this machine, without a path: `http://127.0.0.1:5000`."""
    host = _CALLED_AS.get(settings.moonmind_host, settings.moonmind_host)
    return f"http://[{host}]:{settings.moonmind_port}" if ":" in host else f"http://{host}:{settings.moonmind_port}"


def public_url(settings: Settings) -> str:
    """Address for callers, without a path: MOONMIND_PUBLIC_URL, else `local_url`."""
    if settings.moonmind_public_url is None:
        return local_url(settings)
    url = urlsplit(settings.moonmind_public_url)
    called_as = _CALLED_AS.get(url.hostname or "")
    if called_as is None:
        return settings.moonmind_public_url
    host = f"[{called_as}]" if ":" in called_as else called_as
    return url._replace(netloc=f"{host}:{url.port}" if url.port else host).geturl()


def sent_in_clear(settings: Settings) -> str | None:
    """The address at which other machines reach the API without TLS; None if there is none that is known."""
    if settings.moonmind_public_url is None:
        return None if is_loopback(settings.moonmind_host) else settings.moonmind_host
    url = urlsplit(settings.moonmind_public_url)
    return None if url.scheme == "https" or is_loopback(url.hostname or "") else url.hostname


def is_loopback(host: str) -> bool:
    """Whether the host is this machine: an address of the loopback interface, or `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket for the API, as `listen`.

    Raises:
        AddressUnavailable: in use, not permitted, or not an address of this machine; no socket is left open.
    """
    try:
        return listen(host, port)
    except OSError as error:
        raise _unavailable(error, host, port) from error


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 selects a free port.

    Raises:
        OSError: in use, not permitted, or not an address of this machine; no socket is left open.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is named; without it, each answer on a kept connection waits 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _unavailable(error: OSError, host: str, port: int) -> AddressUnavailable:
    address = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        message = f"The address {address} is already in use by another process."
        hint = f"`ss -ltnp 'sport = :{port}'` shows which: stop it, or set MOONMIND_PORT."
    elif error.errno == errno.EACCES:
        message = f"This user is not permitted to listen on {address}."
        hint = "Set MOONMIND_PORT to 1024 or above, or run as root."
    else:
        message = f"The appliance cannot listen on {address}: {error.strerror or error}."
        hint = "Set MOONMIND_HOST to a local address."
    return AddressUnavailable(message, hint=hint, number=error.errno)
