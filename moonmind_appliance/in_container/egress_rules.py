"""Decides which targets the egress proxy connects to. Pure.

An entry of the list is `host`, `host:port`, `*.host` or `*.host:port` (`.host` is the same as `*.host`), or an IP
address in the same forms. Without a port it is for port 443.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from moonmind_appliance.in_container.egress_request import canonical_host

DEFAULT_PORT = 443
PROXY_VARIABLE = "MOONMIND_EGRESS_PROXY"
"""The variable with the URL of the operator's proxy, only in the environment of the egress proxy."""

# Services of cloud providers that give credentials to every program of a machine. The last one has a public address.
_METADATA = frozenset(
    ipaddress.ip_address(each) for each in ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16")
)
_SHARED = ipaddress.ip_network("100.64.0.0/10")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Rule(NamedTuple):
    """One entry. `host` is a name or an address; `below` it matches the names below `host` instead of `host`.

    `tls`: the connection must be TLS for that host. `private`, `local`: the name may resolve to such an address.
    """

    host: str
    port: int
    below: bool = False
    tls: bool = True
    private: bool = True
    local: bool = False

    def matches(self, host: str, port: int) -> bool:
        """Whether the rule is for that target."""
        return port == self.port and (host.endswith(f".{self.host}") if self.below else host == self.host)

    def permits(self, address: Address) -> bool:
        """Whether a target of the rule may have that address."""
        kind = kind_of(address)
        return kind == "public" or (kind == "private" and self.private) or (kind == "local" and self.local)


def rule(entry: str, *, private: bool | None = None) -> Rule:
    """The rule of an entry.

    An entry with a port means one service, so neither TLS nor a public address is required.

    Args:
        entry: the entry.
        private: whether its name may resolve to a private address; None: it may, unless the entry is a wildcard.

    Raises:
        ValueError: it is malformed; the message is the end of a sentence.
    """
    text = entry.strip()
    if "/" in text:
        raise ValueError(f"contains {entry!r}, which is not a host: give no scheme and no path")
    name, colon, port_text = text.rpartition(":")
    if not colon or text.endswith("]"):
        name, port_text = text, ""
    elif not port_text.isascii() or not port_text.isdigit() or not 1 <= int(port_text[:6]) <= 65535:  # noqa: PLR2004
        raise ValueError(f"contains {entry!r}, whose port is not a number from 1 to 65535")
    below = name.startswith((".", "*."))
    host = canonical_host(name.removeprefix("*").removeprefix("."))
    if host is None or (below and _address(host) is not None):
        raise ValueError(f"contains {entry!r}, which is not a host, an address or *.host")
    if below and "." not in host:
        raise ValueError(f"contains {entry!r}, which allows a whole top-level domain")
    has_port, literal = bool(port_text), _address(host) is not None
    return Rule(
        host,
        int(port_text) if has_port else DEFAULT_PORT,
        below,
        tls=not has_port and not literal,
        private=(has_port or not below) if private is None else private,
        local=has_port and not below,
    )


def find(rules: Sequence[Rule], host: str, port: int) -> Rule | None:
    """The rule that allows the target; of several, one for exactly this host."""
    found = [each for each in rules if each.matches(host, port)]
    return min(found, key=lambda each: (each.below, not each.local, not each.private), default=None)


def permitted(rule: Rule, addresses: Iterable[str]) -> list[str]:
    """The addresses of a name that a target of the rule may have."""
    return [each for each in addresses if rule.permits(ipaddress.ip_address(each.partition("%")[0]))]


def literal_of(host: str) -> str | None:
    """The address if the host is one, without brackets."""
    found = _address(host)
    return None if found is None else str(found)


def kind_of(address: Address) -> str:
    """`public`, `private`, or `local`: this machine, its link, a cloud's metadata, or not the address of a host."""
    if isinstance(address, ipaddress.IPv6Address):
        # Each of these reaches the IPv4 address that it contains.
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return kind_of(inner)
    if address in _METADATA or address.is_loopback or address.is_link_local:
        return "local"
    if address.is_multicast or address.is_unspecified or address.is_reserved:
        return "local"
    if address.is_private or (address.version == 4 and address in _SHARED):  # noqa: PLR2004 - of IP
        return "private"
    return "public" if address.is_global else "local"


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
