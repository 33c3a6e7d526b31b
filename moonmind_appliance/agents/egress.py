"""Network access of an agent's container: proxy and certificate authorities."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from moonmind_appliance.in_container.ca_bundle import BUNDLE_NAME, EXTRA_CA_VARIABLE
from moonmind_appliance.in_container.command import command
from moonmind_appliance.in_container.egress_rules import PROXY_VARIABLE
from moonmind_appliance.models import ExecSpec
from moonmind_appliance.models.container_paths import (
    AGENT_CA_FILE,
    AGENT_EGRESS_FOLDER,
    AGENT_HOME,
    EGRESS_CA_FILE,
    EGRESS_FOLDER,
    EGRESS_PORT,
)
from moonmind_appliance.settings import Settings
from moonmind_appliance.trust import extra_authorities

_BUNDLE = f"{AGENT_HOME}/{BUNDLE_NAME}"
_WALL_PROXY = f"http://127.0.0.1:{EGRESS_PORT}"
# The agent reaches what it starts in its own container, such as a test server, without the proxy.
_OWN_CONTAINER = "localhost,127.0.0.1,::1"

# Longest time that one container waits for the other one to hand over or accept the socket.
_HAND_OVER_SECONDS = 120
# A turn may be silent for PHASE_SILENCE_LIMIT: the proxy must not close its connection before.
_IDLE_MORE_SECONDS = 60


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """How the agent reaches its service: through the `wall`, or else directly or through the operator's proxy.

    `broker`: a login broker ends its TLS connections, and adds the login to its requests.
    """

    wall: bool = False
    broker: bool = False
    https_proxy: str | None = None
    no_proxy: str | None = None
    extra_ca: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "Egress":
        """Take the values from the settings."""
        proxy = settings.agent_https_proxy
        return cls(
            wall=settings.agent_wall,
            broker=settings.login_broker,
            https_proxy=None if proxy is None or settings.agent_wall else proxy.address,
            no_proxy=None if settings.agent_wall else settings.agent_no_proxy,
            extra_ca=settings.extra_ca_certs is not None,
        )

    def environment(self, ca_variable: str) -> dict[str, str]:
        """The variables that name additional certificate authorities; `ca_variable` is this agent's own one."""
        return _authorities(ca_variable) if self.extra_ca else {}

    def brokered_environment(self, ca_variable: str) -> dict[str, str]:
        """The same for the agent container with a login broker, whose authority it must trust, too."""
        return _authorities(ca_variable) if self.broker else {}

    def proxies(self) -> dict[str, str]:
        """The proxy variables of the agent's container; they contain no password."""
        if self.wall:
            return _both_spellings({"HTTPS_PROXY": _WALL_PROXY, "HTTP_PROXY": _WALL_PROXY, "NO_PROXY": _OWN_CONTAINER})
        return _both_spellings({"HTTPS_PROXY": self.https_proxy, "NO_PROXY": self.no_proxy})


def _authorities(ca_variable: str) -> dict[str, str]:
    return {EXTRA_CA_VARIABLE: AGENT_CA_FILE, ca_variable: _BUNDLE, "SSL_CERT_FILE": _BUNDLE}


def listen_command(socket_name: str) -> list[str]:
    """The main command of a container behind the wall: it hands over its listening socket under that name."""
    job = {
        "port": EGRESS_PORT,
        "socket": f"{AGENT_EGRESS_FOLDER}/{socket_name}",
        "seconds": _HAND_OVER_SECONDS,
    }
    return command("egress_listen", job)


def proxy_exec(
    settings: Settings, hosts: Sequence[str], socket_name: str, broker: Mapping[str, object] | None = None
) -> ExecSpec:
    """The egress proxy for the container that hands over its socket under that name.

    The container must have `proxy_files`.

    Args:
        settings: the settings.
        hosts: those of the agent's service.
        socket_name: the name of the socket.
        broker: the agent's part of the login broker's job, in a container that has the login; None: no broker.
    """
    proxy = settings.agent_https_proxy
    job: dict[str, object] = {
        "socket": f"{EGRESS_FOLDER}/{socket_name}",
        "seconds": _HAND_OVER_SECONDS,
        "hosts": list(hosts),
        "allow": list(settings.agent_egress_allow),
        "no_proxy": settings.agent_no_proxy or "",
        "ca_file": EGRESS_CA_FILE if _extra_ca(settings) else None,
        "idle_seconds": settings.phase_silence_limit + _IDLE_MORE_SECONDS,
    }
    env = {} if proxy is None else {PROXY_VARIABLE: proxy.reveal()}
    if broker is not None:
        own = EGRESS_CA_FILE if settings.extra_ca_certs else None
        job["broker"] = {**broker, "ca_file": own}
        # For the program of the agent that renews the login.
        env |= login_proxies(settings) | ({EXTRA_CA_VARIABLE: own} if own else {})
    program = "egress_proxy" if broker is None else "login_broker"
    return ExecSpec(command=command(program, job), env=env, working_dir="/work")


def proxy_files(settings: Settings, *, broker: bool = False) -> dict[str, bytes]:
    """The files that the egress container needs before its proxy starts, or its login broker: path to content."""
    extra_ca = settings.extra_ca_certs if broker else _extra_ca(settings)
    return {EGRESS_CA_FILE: extra_authorities(extra_ca)} if extra_ca else {}


def _extra_ca(settings: Settings) -> Path | None:
    """The file of extra authorities if the egress proxy itself uses TLS, to reach the operator's proxy."""
    proxy = settings.agent_https_proxy
    return settings.extra_ca_certs if proxy is not None and proxy.address.startswith("https:") else None


def allowed_hosts(settings: Settings, hosts: Sequence[str]) -> list[str]:
    """The entries that an agent with these hosts may reach, for display."""
    return [*hosts, *settings.agent_egress_allow]


def login_proxies(settings: Settings) -> dict[str, str]:
    """The proxy variables for single commands that work on a login, without an agent; may contain a password."""
    proxy = settings.agent_https_proxy
    return _both_spellings({"HTTPS_PROXY": proxy.reveal() if proxy else None, "NO_PROXY": settings.agent_no_proxy})


def _both_spellings(given: dict[str, str | None]) -> dict[str, str]:
    """The variables in upper and in lower case: programs read one or the other."""
    return {each: value for name, value in given.items() if value for each in (name, name.lower())}
