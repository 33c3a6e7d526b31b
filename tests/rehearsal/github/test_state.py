"""The state of one stand-in."""

from pathlib import Path

import httpx
import pytest

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.stand_in import SLUG
from tests.rehearsal.github.hosted import AUTH


@pytest.mark.parametrize("slug", ["acme", "acme/", "/x", "a/b/c", SLUG, SLUG.upper()])
def test_a_slug_must_be_well_formed_and_unique(stand_in: StandInGitHub, slug: str) -> None:
    """Slugs that differ only in case are the same."""
    with pytest.raises(ValueError, match=r"exists already|not of the form"):
        stand_in.add_repository(slug)


def test_two_stand_ins_are_independent(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """Each has its own address, tokens and repositories."""
    with StandInGitHub(("127.0.0.1", 0), tmp_path / "second") as second:
        second.add_repository("acme/second")
        second.add_token("ghp_second")
        assert second.server_url != stand_in.server_url
        assert httpx.get(f"{second.api_url}/repos/acme/second", headers=AUTH).status_code == 401
        assert httpx.get(f"{stand_in.api_url}/repos/acme/second", headers=AUTH).status_code == 404
        assert second.requests != stand_in.requests
