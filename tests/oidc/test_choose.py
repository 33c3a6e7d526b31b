"""The settings choose who issues tokens."""

import pytest

from moonmind_appliance.oidc.choose import verifier_of
from moonmind_appliance.settings import Settings

ISSUER = "https://keycloak.example/realms/moonmind"


@pytest.mark.parametrize(
    ("settings", "verifies"),
    [
        (Settings(), False),
        (Settings(oidc_issuer_url=ISSUER), False),
        (Settings(auth_provider="keycloak"), False),
        (Settings(auth_provider="keycloak", oidc_issuer_url=ISSUER), True),
    ],
)
def test_keycloaks_tokens_are_verified_only_if_it_is_configured(settings: Settings, *, verifies: bool) -> None:
    """Otherwise the appliance issues its own tokens. Creating the verifier sends no request."""
    verifier = verifier_of(settings)
    assert (verifier is not None) is verifies
    if verifier is not None:
        verifier.close()
