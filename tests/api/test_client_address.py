"""What is counted as one client."""

import pytest

from moonmind_appliance.api.client_address import origin_of


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("/run/some.sock", "/run/some.sock"),
        ("x" * 1000, "x" * 64),
    ],
)
def test_a_network_of_ipv6_counts_as_one_address(address: str, origin: str) -> None:
    """One client can use all addresses of a /64."""
    assert origin_of(address) == origin
