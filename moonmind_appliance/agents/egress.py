"""Network access of an agent's container: proxy and certificate authorities."""

import msgspec

from moonmind_appliance.in_container.ca_bundle import BUNDLE_NAME, EXTRA_CA_VARIABLE
from moonmind_appliance.models.container_paths import AGENT_CA_FILE, AGENT_HOME
from moonmind_appliance.settings import Settings

_BUNDLE = f"{AGENT_HOME}/{BUNDLE_NAME}"


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's proxy, and whether the operator configured certificate authorities."""

    https_proxy: str | None = None
    no_proxy: str | None = None
    extra_ca: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "Egress":
        """Take the values from the settings."""
        return cls(
            https_proxy=settings.agent_https_proxy,
            no_proxy=settings.agent_no_proxy,
            extra_ca=settings.extra_ca_certs is not None,
        )

    def environment(self, ca_variable: str) -> dict[str, str]:
        """Variables that every agent understands; `ca_variable` names this agent's variable for a CA bundle."""
        env: dict[str, str] = {}
        if self.https_proxy:
            env |= {"HTTPS_PROXY": self.https_proxy, "https_proxy": self.https_proxy}
        if self.no_proxy:
            env |= {"NO_PROXY": self.no_proxy, "no_proxy": self.no_proxy}
        if self.extra_ca:
            env |= {EXTRA_CA_VARIABLE: AGENT_CA_FILE, ca_variable: _BUNDLE, "SSL_CERT_FILE": _BUNDLE}
        return env
