"""The rule of a list such as NO_PROXY: which hosts are reached without a proxy. Pure."""

import ipaddress


def is_excluded(host: str, port: int, no_proxy: str) -> bool:
    """Whether the list names the host: `*`, a domain with its subdomains, an address, or a network.

    The rules are curl's (curl.se/docs/manpage.html, --noproxy); an entry may also have a port, and begin with `*.`.
    The host is in lower case, and an IPv6 address may be in brackets.
    """
    for entry in no_proxy.lower().replace(",", " ").split():
        name, _, wanted = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
        if wanted and wanted != str(port):
            continue
        name = name.removeprefix("*.").removeprefix(".").rstrip(".")
        if name == "*" or (name and (host == name or host.endswith(f".{name}") or _in_network(host, name))):
            return True
    return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")) in ipaddress.ip_network(network.strip("[]"), strict=False)
    except ValueError:
        return False
