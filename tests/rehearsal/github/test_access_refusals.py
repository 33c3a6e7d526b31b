"""How the stand-in refuses access to a repository."""

from pathlib import Path

import httpx
import pytest

from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from moonmind_appliance.rehearsal.github.access_refusals import access_refusal
from moonmind_appliance.rehearsal.github.faults import ActiveFaults
from tests.github.stand_in import SLUG, TOKEN, attempt
from tests.rehearsal.github.hosted import AUTH

FAULTS = {
    Fault.SSO_REQUIRED: (403, "enabled or enforced SAML SSO"),
    Fault.TAKEN_DOWN: (451, "Repository unavailable due to DMCA takedown."),
    Fault.REPOSITORY_DISABLED: (403, "disabled by GitHub staff"),
    Fault.ACCOUNT_SUSPENDED: (403, "Your account is suspended."),
    Fault.IP_NOT_ALLOWED: (403, "IP allow list"),
    Fault.TOKEN_LIFETIME: (403, "lifetime is greater than 366 days"),
    Fault.TOKEN_PERMISSION: (403, "Write access to repository not granted."),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_rest_and_git_are_refused(stand_in: StandInGitHub, tmp_path: Path, fault: Fault) -> None:
    """With GitHub's status and message; Git shows the message after `remote:`."""
    status, words = FAULTS[fault]
    stand_in.inject(fault)
    answer = httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH)
    assert answer.status_code == status
    assert answer.json()["message"]
    assert ("x-github-sso" in answer.headers) is (fault is Fault.SSO_REQUIRED)
    failed = attempt("clone", stand_in.clone_url(SLUG), tmp_path / "clone", token=TOKEN)
    assert failed.returncode == 128
    assert words in " ".join(failed.stderr.split())
    assert "remote: " in failed.stderr
    stand_in.clear(fault)
    assert httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH).status_code == 200


def test_without_a_fault_access_is_not_refused() -> None:
    """None."""
    assert access_refusal(ActiveFaults(), "acme") is None
