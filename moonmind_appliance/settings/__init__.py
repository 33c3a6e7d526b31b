"""The appliance's settings."""

from moonmind_appliance.settings.fields import DEFAULT_ENV_FILE, Settings, default_of, options, show
from moonmind_appliance.settings.known_secrets import secrets_of
from moonmind_appliance.settings.load import ENV_FILE, ENVIRONMENT, Loaded, SettingValue, load
from moonmind_appliance.settings.values import PrivateKey, ProxyUrl, Secret, WebhookUrl

__all__ = [
    "DEFAULT_ENV_FILE",
    "ENVIRONMENT",
    "ENV_FILE",
    "Loaded",
    "PrivateKey",
    "ProxyUrl",
    "Secret",
    "SettingValue",
    "Settings",
    "WebhookUrl",
    "default_of",
    "load",
    "options",
    "secrets_of",
    "show",
]
