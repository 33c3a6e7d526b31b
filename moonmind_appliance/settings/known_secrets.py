"""The secret values of the settings."""

from moonmind_appliance.settings.fields import Settings
from moonmind_appliance.settings.values import Secret


def secrets_of(settings: Settings) -> dict[str, str]:
    """The settings' secret values by variable name, for redaction."""
    values = {name.upper(): getattr(settings, name) for name in settings.__struct_fields__}
    found = {name: value.reveal() for name, value in values.items() if isinstance(value, Secret)}
    if (proxy := settings.github_https_proxy) is not None:
        del found["GITHUB_HTTPS_PROXY"]
        found |= {f"GITHUB_HTTPS_PROXY {name}": part for name, part in proxy.credentials().items()}
    if (key := settings.github_app_private_key) is not None:
        found["GITHUB_APP_PRIVATE_KEY"] = key.body
    if (proxy := settings.agent_https_proxy) is not None:
        del found["AGENT_HTTPS_PROXY"]
        found |= {f"AGENT_HTTPS_PROXY {name}": part for name, part in proxy.credentials().items()}
    if (url := settings.webhook_url) is not None and not url.has_path:
        del found["WEBHOOK_URL"]
    if (secret := settings.webhook_secret) is not None:
        found["WEBHOOK_SECRET key"] = secret.reveal().removeprefix("whsec_")
    return found
