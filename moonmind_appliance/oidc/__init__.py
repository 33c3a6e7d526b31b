"""The adapter to Keycloak: verifies callers' access tokens, and logs the command line in by the device grant."""

from moonmind_appliance.oidc.choose import verifier_of
from moonmind_appliance.oidc.device_login import DeviceCode, DeviceLogin, current_access_token
from moonmind_appliance.oidc.keys import OidcStatus
from moonmind_appliance.oidc.token_file import SavedLogin, TokenFile, default_token_path
from moonmind_appliance.oidc.verifier import OidcVerifier

__all__ = [
    "DeviceCode",
    "DeviceLogin",
    "OidcStatus",
    "OidcVerifier",
    "SavedLogin",
    "TokenFile",
    "current_access_token",
    "default_token_path",
    "verifier_of",
]
