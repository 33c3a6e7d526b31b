"""The addresses of the API: the one that callers use, and whether tokens cross a network without TLS."""

import pytest

from moonmind_appliance.api_address import public_url, sent_in_clear
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
