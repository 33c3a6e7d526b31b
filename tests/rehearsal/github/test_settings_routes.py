"""The stand-in's operations on a repository's settings."""

import httpx
import pytest

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.stand_in import SLUG


@pytest.mark.parametrize(
    ("path", "permission"),
    [
        ("actions/permissions", "administration"),
        ("actions/secrets", "secrets"),
        ("hooks", "repository_hooks"),
    ],
)
def test_each_needs_its_own_permission(stand_in: StandInGitHub, api: httpx.Client, path: str, permission: str) -> None:
    """A fine-grained token without it is refused."""
    for name, permissions in (("github_pat_with", {permission: "read"}), ("github_pat_without", {"contents": "write"})):
        stand_in.add_token(name, permissions={"metadata": "read", **permissions})
    statuses = [
        api.get(f"/repos/{SLUG}/{path}", headers={"authorization": f"Bearer {name}"}).status_code
        for name in ("github_pat_with", "github_pat_without")
    ]
    assert statuses == [200, 403]
