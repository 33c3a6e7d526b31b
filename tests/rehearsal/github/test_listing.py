"""Lists come in pages with `Link` headers; each response is checked against GitHub's OpenAPI description."""

import httpx

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.stand_in import add_branch
from tests.rehearsal.github.hosted import PULLS, WISH


def test_pull_requests_are_listed_in_pages(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """Newest first, with links to the other pages; a page past the end is empty."""
    for number in range(1, 6):
        add_branch(stand_in, f"work/{number}")
        api.post(PULLS, json={**WISH, "head": f"work/{number}"})
    pages = []
    page = api.get(PULLS, params={"per_page": 2})
    while True:
        pages.append([pull["number"] for pull in page.json()])
        if "next" not in page.links:
            break
        page = api.get(page.links["next"]["url"])
    assert pages == [[5, 4], [3, 2], [1]]
    assert set(page.links) == {"prev", "first"}
    assert [p["number"] for p in api.get(PULLS, params={"direction": "asc"}).json()] == [1, 2, 3, 4, 5]
    assert api.get(PULLS, params={"page": 9}).json() == []
