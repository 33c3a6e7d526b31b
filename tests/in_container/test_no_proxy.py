"""Which hosts a list such as NO_PROXY names."""

import pytest

from moonmind_appliance.in_container.no_proxy import is_excluded


@pytest.mark.parametrize(
    ("no_proxy", "excluded"),
    [
        ("", False),
        ("*", True),
        ("git.corp.example", True),
        ("GIT.corp.example", True),
        ("corp.example", True),
        (".corp.example", True),
        ("*.corp.example", True),
        ("other.corp.example", False),
        ("other.example, corp.example", True),
        ("localhost corp.example", True),
        ("git.corp.example:443", True),
        ("git.corp.example:8443", False),
        ("rp.example", False),
        ("git", False),
        ("10.0.0.0/8", False),
    ],
)
def test_no_proxy_is_read_as_curl_reads_it(no_proxy: str, excluded: bool) -> None:  # noqa: FBT001 - a table
    """A domain includes its subdomains; an entry may have a port; case does not matter."""
    assert is_excluded("git.corp.example", 443, no_proxy) == excluded


@pytest.mark.parametrize(
    ("host", "no_proxy", "excluded"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "[fd00::1]", True),
        ("[fd00::1]", "fd00::/8", True),
        ("name.example", "10.0.0.0/8", False),
    ],
)
def test_no_proxy_may_name_networks(host: str, no_proxy: str, excluded: bool) -> None:  # noqa: FBT001 - a table
    """In both versions of IP."""
    assert is_excluded(host, 443, no_proxy) == excluded
