"""Checks of the Keycloak realm that issues callers' tokens."""

from moonmind_appliance.checks.finding import Finding, ok, wrong
from moonmind_appliance.oidc.choose import verifier_of
from moonmind_appliance.oidc.status import OidcStatus
from moonmind_appliance.settings import Settings


def identity_provider(status: OidcStatus) -> Finding:
    """Check that Keycloak answered the last request, and that there are keys to verify tokens."""
    check = "Keycloak"
    if status.reachable and status.keys:
        return ok(check, f"responds, {status.keys} key(s)")
    observed = status.error or "No keys have been fetched yet."
    return wrong(check, observed, "Check OIDC_ISSUER_URL, OIDC_INTERNAL_URL and that Keycloak runs.")


def ask_identity_provider(settings: Settings) -> Finding | None:
    """The same with a new request; None if the appliance issues its own tokens."""
    verifier = verifier_of(settings)
    if verifier is None:
        return None
    try:
        return identity_provider(verifier.check(max_age=0))
    finally:
        verifier.close()
