"""The stand-in's operations for GitHub Apps on a renamed repository, and their headers.

`test_apps.py` has the rules; here are the answers of the routes that other callers see.
"""

import httpx

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.app import ACCOUNT, app_of, close_apps, register
from tests.github.stand_in import SLUG


def test_the_installation_on_a_renamed_repository_is_a_redirect(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """The redirect leads to the repository's number, which answers."""
    register(stand_in)
    number = int(stand_in.git_folder(SLUG).stem)
    stand_in.rename_repository(SLUG, f"{ACCOUNT}/library")
    app = app_of(stand_in)
    jwt = app.connection.tokens.current().reveal()
    close_apps()
    headers = {"authorization": f"Bearer {jwt}"}
    moved = api.get(f"/repos/{SLUG}/installation", headers=headers)
    assert (moved.status_code, moved.headers["location"]) == (
        301,
        f"{stand_in.api_url}/repositories/{number}/installation",
    )
    assert api.get(moved.headers["location"], headers=headers).json()["account"]["login"] == ACCOUNT


def test_the_apps_operations_need_a_user_agent(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """They need it like all other operations."""
    assert api.get("/app", headers={"user-agent": ""}).status_code == 403
    assert api.post("/app/installations/1/access_tokens", json={}).status_code == 401
