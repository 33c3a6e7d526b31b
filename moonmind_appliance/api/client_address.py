"""What counts as one client for limits per address."""

from ipaddress import IPv6Address, ip_address

# Providers assign each customer at least a /64 (RFC 6177), so one client can use all addresses of it.
_BITS_OF_ONE_CLIENT = 64
# A trusted proxy may forward a text of any length; this limits what is stored.
_LONGEST = 64


def origin_of(address: str) -> str:
    """What is counted as one address: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:_LONGEST]
    if not isinstance(ip, IPv6Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(IPv6Address(int(ip) >> _BITS_OF_ONE_CLIENT << _BITS_OF_ONE_CLIENT))
