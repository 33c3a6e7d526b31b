"""The check of the Keycloak realm."""

import pytest

from moonmind_appliance.checks.finding import Level
from moonmind_appliance.checks.keycloak import ask_identity_provider, identity_provider
from moonmind_appliance.oidc.status import OidcStatus
from moonmind_appliance.settings import Settings


@pytest.mark.parametrize(
    ("status", "level", "observed"),
    [
        (OidcStatus(reachable=True, keys=2, error=None), Level.OK, "responds, 2 key(s)"),
        (OidcStatus(reachable=True, keys=0, error=None), Level.WRONG, "No keys have been fetched yet."),
        (OidcStatus(reachable=False, keys=2, error="It timed out."), Level.WRONG, "It timed out."),
    ],
)
def test_keycloak_must_answer_and_have_keys(status: OidcStatus, level: Level, observed: str) -> None:
    """Keys from an earlier answer are not enough: a withdrawn one would stay valid."""
    found = identity_provider(status)
    assert (found.level, found.observed) == (level, observed)
    assert bool(found.to_do) is (level is Level.WRONG)


def test_without_keycloak_there_is_no_check() -> None:
    """With an address at which nothing listens, the finding says so."""
    assert ask_identity_provider(Settings()) is None
    settings = Settings(auth_provider="keycloak", oidc_issuer_url="http://127.0.0.1:1/realms/x")
    found = ask_identity_provider(settings)
    assert found is not None
    assert found.level is Level.WRONG
    assert "does not respond" in found.observed
