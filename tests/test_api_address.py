"""The addresses of the API: the one that callers use, and whether tokens cross a network without TLS."""

import asyncio
import socket

import pytest

from moonmind_appliance.api_address import listen, public_url, sent_in_clear
from moonmind_appliance.errors import SettingsError
from moonmind_appliance.settings import Settings, load


@pytest.mark.parametrize(
    ("host", "public", "shown", "in_clear"),
    [
        ("127.0.0.1", None, "http://127.0.0.1:5000", None),
        ("::1", None, "http://[::1]:5000", None),
        ("0.0.0.0", None, "http://127.0.0.1:5000", "0.0.0.0"),  # noqa: S104 - compared, not listened on
        ("192.0.2.7", None, "http://192.0.2.7:5000", "192.0.2.7"),
        # As compose.yaml sets it: inside the container it listens on everything.
        ("0.0.0.0", "http://127.0.0.1:5000", "http://127.0.0.1:5000", None),  # noqa: S104 - compared
        ("0.0.0.0", "http://[::1]:5001", "http://[::1]:5001", None),  # noqa: S104 - compared
        ("0.0.0.0", "http://0.0.0.0:80", "http://127.0.0.1:80", "0.0.0.0"),  # noqa: S104 - compared
        ("0.0.0.0", "http://[::]:5000", "http://[::1]:5000", "::"),  # noqa: S104 - compared
        ("127.0.0.1", "https://moonmind.example.com", "https://moonmind.example.com", None),
        ("127.0.0.1", "http://moonmind.example.com/", "http://moonmind.example.com/", "moonmind.example.com"),
        ("0.0.0.0", "http://localhost:5000", "http://localhost:5000", None),  # noqa: S104 - compared
        ("127.0.0.1", "http://127.example.com", "http://127.example.com", "127.example.com"),
        ("127.0.0.1", "http://localhost.example.com", "http://localhost.example.com", "localhost.example.com"),
    ],
)
def test_the_address_for_callers(host: str, public: str | None, shown: str, in_clear: str | None) -> None:
    """MOONMIND_PUBLIC_URL, else the address it listens on; only TLS and the loopback interface are not in clear."""
    settings = Settings(moonmind_host=host, moonmind_public_url=public)
    assert (public_url(settings), sent_in_clear(settings)) == (shown, in_clear)


@pytest.mark.parametrize("value", ["http://host:port", "http://host:70000", "moonmind.example.com", "ftp://host"])
def test_a_public_url_that_is_none(value: str) -> None:
    """The setting is named at the start, and no traceback later."""
    with pytest.raises(SettingsError, match="MOONMIND_PUBLIC_URL"):
        load({"MOONMIND_PUBLIC_URL": value})


def test_answers_are_sent_without_delay() -> None:
    """Asyncio disables the delay of the accepted connections."""

    async def accepted() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with listen("127.0.0.1", 0) as listening:
            async with await asyncio.start_server(connected, sock=listening):
                _, writer = await asyncio.open_connection(*listening.getsockname())
                try:
                    return await asyncio.wait_for(found, 10)
                finally:
                    writer.close()

    assert asyncio.run(accepted()) == 1


def test_the_address_of_a_socket_is_an_error_of_the_system() -> None:
    """The stand-ins' callers report it; for the API it becomes `AddressUnavailable`."""
    with listen("127.0.0.1", 0) as first, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", first.getsockname()[1])
