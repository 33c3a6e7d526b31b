"""The proxy between the appliance and GitHub: when it is used, and how its refusals are recognized.

One rule applies to REST and to git. The appliance applies it, so the git container gets no list of excluded hosts.
"""

import re
from urllib.parse import urlsplit

import msgspec

from moonmind_appliance.in_container.no_proxy import is_excluded
from moonmind_appliance.settings import ProxyUrl, Settings

# The messages in which versions of libcurl report the proxy's status (lib/http_proxy.c, lib/cf-h1-proxy.c).
CONNECT_STATUS = re.compile(r"(?:CONNECT tunnel failed, response |Received HTTP code )(\d{3})")
# Lines of git itself (its http.c and credential.c); GitHub's own lines start with "remote:".
_FATAL = re.compile(r"^fatal: .*", re.MULTILINE)
_NO_CONNECTION = re.compile(r"Failed to connect to (\S+) port (\d+)")
_NO_PASSWORD = re.compile(r"could not read (?:Username|Password) for '(https?://[^']*)'")

LOGIN_REQUIRED = 407
_FIRST_SERVER_ERROR = 500


class Route(msgspec.Struct, frozen=True):
    """How one address of GitHub is reached: through `proxy`, or directly.

    `from_environment`: no setting applies, so the HTTP client uses the process's own proxy variables.
    """

    proxy: ProxyUrl | None = None
    from_environment: bool = True

    def environment(self) -> dict[str, str]:
        """The variables for git or curl in a container; may contain a password."""
        if self.proxy is None:
            return {}
        return {"HTTPS_PROXY": self.proxy.reveal(), "https_proxy": self.proxy.reveal()}


def route_of(url: str, settings: Settings) -> Route:
    """The route to an address: GITHUB_HTTPS_PROXY applies to https addresses that GITHUB_NO_PROXY does not exclude."""
    parts = urlsplit(url)
    if settings.github_https_proxy is None or parts.scheme != "https":
        return Route()
    if is_excluded(parts.hostname or "", parts.port or 443, settings.github_no_proxy or ""):
        return Route(from_environment=False)
    return Route(settings.github_https_proxy, from_environment=False)


def refusal(status: int) -> str:
    """The end of the sentence "The proxy …" for the status of its response to CONNECT."""
    if status == LOGIN_REQUIRED:
        return "requires a user and a password, or rejected them (HTTP 407)"
    if status >= _FIRST_SERVER_ERROR:
        return f"could not connect to GitHub (HTTP {status})"
    return f"refused the connection to GitHub (HTTP {status})"


def git_proxy_problem(stderr: str, route: Route) -> str:
    """The sentence about the proxy, if git's standard error shows that the proxy is the cause; else ""."""
    proxy = route.proxy
    if proxy is None:
        return ""
    parts, said = urlsplit(proxy.address), "\n".join(_FATAL.findall(stderr))
    if found := CONNECT_STATUS.search(said):
        what = refusal(int(found[1]))
    elif "Proxy CONNECT aborted" in said:
        what = "closed the connection without a response"
    elif "Could not resolve proxy" in said:
        what = "has a name that DNS cannot resolve"
    elif (found := _NO_CONNECTION.search(said)) and (found[1].lower(), found[2]) == (parts.hostname, str(parts.port)):
        what = "does not respond"
    elif (found := _NO_PASSWORD.search(said)) and urlsplit(found[1]).hostname == parts.hostname:
        what = refusal(LOGIN_REQUIRED)
    else:
        return ""
    return f"The proxy {proxy.address} {what}."
