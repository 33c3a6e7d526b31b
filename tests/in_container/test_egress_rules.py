"""Which targets the egress proxy connects to, and which addresses they may have."""

import ipaddress

import pytest

from moonmind_appliance.in_container.egress_rules import find, kind_of, literal_of, permitted, rule


@pytest.mark.parametrize(
    ("entry", "allowed", "refused"),
    [
        (
            "packages.example.com",
            ["packages.example.com:443"],
            [
                "packages.example.com:80",
                "x.packages.example.com:443",
                "xpackages.example.com:443",
                "packages.example.com.evil:443",
            ],
        ),
        ("Packages.Example.com", ["packages.example.com:443"], []),
        ("packages.example.com:8443", ["packages.example.com:8443"], ["packages.example.com:443"]),
        (
            "*.packages.example.com",
            ["a.packages.example.com:443", "a.b.packages.example.com:443"],
            ["packages.example.com:443", "xpackages.example.com:443", "a.packages.example.com:80"],
        ),
        (".packages.example.com", ["a.packages.example.com:443"], ["packages.example.com:443"]),
        ("*.packages.example.com:8443", ["a.packages.example.com:8443"], ["a.packages.example.com:443"]),
        ("10.0.0.5", ["10.0.0.5:443"], ["10.0.0.6:443"]),
        ("[2001:db8::1]:8443", ["[2001:db8::1]:8443"], ["[2001:db8::1]:443"]),
        ("[2001:DB8::1]", ["[2001:db8::1]:443"], []),
    ],
)
def test_an_entry_allows_exactly_what_it_names(entry: str, allowed: list[str], refused: list[str]) -> None:
    """Without a port it is for port 443; with a leading `*.` or `.` it is for the names below."""
    rules = [rule(entry)]
    for target in allowed + refused:
        host, _, port = target.rpartition(":")
        assert (find(rules, host, int(port)) is not None) == (target in allowed), target


@pytest.mark.parametrize(
    "entry",
    [
        "*",
        "*.",
        "*.com",
        ".com",
        "a*.b",
        "*.*.b",
        "a.b:0",
        "a.b:x",
        "a.b:70000",
        "a.b:",
        "http://a.b",
        "a.b/x",
        "u@a.b",
        "a.b.",
        "*.10.0.0.5",
        "127.1",
        "2130706433",
        "::1",
        "[::1",
        "ä.b",
        "*.[::1]",
    ],
)
def test_a_malformed_entry_is_refused(entry: str) -> None:
    """The message is the end of a sentence about a setting."""
    with pytest.raises(ValueError, match=r"^contains"):
        rule(entry)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", "public"),
        ("2606:4700::1", "public"),
        ("10.1.2.3", "private"),
        ("172.17.0.1", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00::1", "private"),
        ("127.0.0.1", "local"),
        ("::1", "local"),
        ("0.0.0.0", "local"),  # noqa: S104 - an address to refuse
        ("::", "local"),
        ("169.254.169.254", "local"),
        ("fe80::1", "local"),
        ("fd00:ec2::254", "local"),
        ("100.100.100.200", "local"),
        ("168.63.129.16", "local"),
        ("224.0.0.1", "local"),
        ("255.255.255.255", "local"),
        ("::ffff:127.0.0.1", "local"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:8.8.8.8", "public"),
        ("64:ff9b::7f00:1", "local"),
        ("64:ff9b::808:808", "public"),
        ("2002:7f00:1::", "local"),
        ("::7f00:1", "local"),
    ],
)
def test_each_address_has_a_kind(address: str, kind: str) -> None:
    """An IPv6 address that contains an IPv4 address has its kind."""
    assert kind_of(ipaddress.ip_address(address)) == kind


@pytest.mark.parametrize(
    ("entry", "own", "kinds"),
    [
        ("a.b", True, {"8.8.8.8"}),
        ("a.b", False, {"8.8.8.8", "10.0.0.1"}),
        ("*.a.b", False, {"8.8.8.8"}),
        ("a.b:8443", False, {"8.8.8.8", "10.0.0.1", "127.0.0.1"}),
        ("*.a.b:8443", False, {"8.8.8.8", "10.0.0.1"}),
        ("127.0.0.1", False, {"8.8.8.8", "10.0.0.1"}),
        ("127.0.0.1:8443", False, {"8.8.8.8", "10.0.0.1", "127.0.0.1"}),
    ],
)
def test_the_more_an_entry_says_the_nearer_it_may_lead(entry: str, own: bool, kinds: set[str]) -> None:  # noqa: FBT001
    """A host of the agent's service is on the internet. Only an exact entry with a port may be on this machine."""
    chosen = rule(entry, private=False) if own else rule(entry)
    assert set(permitted(chosen, ["8.8.8.8", "10.0.0.1", "127.0.0.1"])) == kinds


def test_only_an_entry_without_a_port_implies_tls() -> None:
    """It does so for a name only: with an address, TLS names no host."""
    assert [rule(entry).tls for entry in ("a.b", "*.a.b", "a.b:443", "10.0.0.5")] == [True, True, False, False]


def test_the_exact_rule_applies_before_a_wider_one() -> None:
    """This is so even if the wider one comes first."""
    wide, exact = rule("*.a.b"), rule("x.a.b")
    assert find([wide, exact], "x.a.b", 443) is exact
    assert find([wide, exact], "y.a.b", 443) is wide


def test_only_an_address_is_a_literal() -> None:
    """It is shown without brackets."""
    assert [literal_of(host) for host in ("[::1]", "10.0.0.1", "a.b")] == ["::1", "10.0.0.1", None]
