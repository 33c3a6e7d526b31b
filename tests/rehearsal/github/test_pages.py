"""The pages for a browser: what the pull requests contain, and nothing that runs."""

import asyncio
from pathlib import Path

import httpx

from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.rehearsal.github.gateway import Gateway, OpenConnections
from moonmind_appliance.rehearsal.github.git_http import GitHTTP
from moonmind_appliance.rehearsal.github.rest import rest_app
from moonmind_appliance.rehearsal.github.state import GitHubState
from tests.github.stand_in import SLUG, TOKEN, git


def open_pull_request(stand_in: StandInGitHub, tmp_path: Path, title: str, body: str) -> None:
    bare = stand_in.git_folder(SLUG)
    before = git("rev-parse", "main", folder=bare)
    (tmp_path / "files").mkdir()
    (tmp_path / "files/due.md").write_text("Due dates\n")
    stand_in.add_files(SLUG, tmp_path / "files")
    git("branch", "work/1", "main", folder=bare)
    git("update-ref", "refs/heads/main", before, folder=bare)
    sent = {"title": title, "body": body, "head": "work/1", "base": "main", "draft": True}
    answer = httpx.post(
        f"{stand_in.api_url}/repos/{SLUG}/pulls", json=sent, headers={"authorization": f"Bearer {TOKEN}"}
    )
    assert answer.status_code == 201, answer.text


def test_the_pull_requests_can_be_read_without_a_token(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The list, and on each page title, text and changes; their address is the one in GitHub's answers."""
    assert "No pull requests yet." in httpx.get(f"{stand_in.server_url}/{SLUG}/pulls").text
    open_pull_request(stand_in, tmp_path, "Due dates", "Why it is needed")
    (pull,) = stand_in.pull_requests(SLUG)
    assert f'href="/{SLUG}/pull/1"' in httpx.get(f"{stand_in.server_url}/{SLUG}").text
    shown = httpx.get(pull.html_url).text
    assert [
        part for part in ("Due dates", "open draft", "Why it is needed", "+++ b/due.md", "work/1") if part not in shown
    ] == []


def test_texts_of_an_agent_are_shown_as_text(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """Markup is escaped, and the page may not run or load anything."""
    open_pull_request(stand_in, tmp_path, "<script>alert(1)</script>", "<img src=//evil.example>")
    answer = httpx.get(f"{stand_in.server_url}/{SLUG}/pull/1")
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_unknown_pages_do_not_exist(stand_in: StandInGitHub) -> None:
    """Other repositories, numbers and paths."""
    paths = ("", "/", "/nobody/none/pulls", f"/{SLUG}/pull/1", f"/{SLUG}/pull/x", f"/{SLUG}/issues")
    assert {httpx.get(stand_in.server_url + path).status_code for path in paths} == {404}


def test_callers_from_other_machines_get_no_page(tmp_path: Path) -> None:
    """A job container has no GitHub token and must not read pull requests without one."""
    state = GitHubState(tmp_path)
    connections = OpenConnections()
    gateway = Gateway(state, GitHTTP(state), rest_app(state), connections)
    repository = {"private": True, "default_branch": "main", "push": True, "draft_supported": True, "archived": False}
    state.add_repository(SLUG, None, protected=(), **repository)

    def status(client: str) -> int:
        transport = httpx.ASGITransport(gateway, client=(client, 1))

        async def get() -> int:
            async with httpx.AsyncClient(transport=transport, base_url="http://192.0.2.1") as caller:
                return (await caller.get(f"/{SLUG}/pulls")).status_code

        return asyncio.run(get())

    assert [status(client) for client in ("127.0.0.1", "240.0.0.1")] == [200, 404]
