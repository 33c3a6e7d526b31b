"""The stand-in as one object: hosting, start and stop, request log, faults."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from moonmind_appliance.rehearsal.github import Fault, GitFailed, StandInGitHub
from moonmind_appliance.rehearsal.github.sample_project import SAMPLE_PROJECT
from moonmind_appliance.rehearsal.github.state import OTHER_USER
from tests.github.stand_in import SLUG, TOKEN, attempt, git

AUTH = {"authorization": f"Bearer {TOKEN}"}


def files(stand_in: StandInGitHub, slug: str, ref: str = "main") -> dict[str, str]:
    bare = stand_in.git_folder(slug)
    names = git("ls-tree", "-r", "--name-only", ref, folder=bare).splitlines()
    return {name: git("show", f"{ref}:{name}", folder=bare) for name in names}


def head(stand_in: StandInGitHub, slug: str, branch: str = "main") -> str:
    return git("rev-parse", f"refs/heads/{branch}", folder=stand_in.git_folder(slug))


def test_without_a_source_the_sample_project_is_hosted(stand_in: StandInGitHub) -> None:
    """All its files are in one commit."""
    assert files(stand_in, SLUG) == {name: text.strip() for name, text in SAMPLE_PROJECT.items()}
    assert git("rev-list", "--count", "main", folder=stand_in.git_folder(SLUG)) == "1"


def test_the_sample_projects_own_tests_pass(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The sample is a working project."""
    git("clone", "-q", stand_in.clone_url(SLUG), tmp_path / "clone", token=TOKEN)
    subprocess.run([sys.executable, "-m", "unittest"], cwd=tmp_path / "clone", check=True, capture_output=True)


def test_the_same_files_have_the_same_commit_id(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The id does not depend on the time or the machine."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_text("a\n")
    stand_in.add_repository("acme/one", source)
    stand_in.add_repository("acme/two", source)
    assert head(stand_in, "acme/one") == head(stand_in, "acme/two")


def test_a_folders_files_become_the_first_commit(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """Its .gitignore applies; the folder itself is not changed."""
    source = tmp_path / "source"
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/er/file").write_text("x")
    (source / "debug.log").write_text("x")
    (source / ".gitignore").write_text("*.log\n")
    stand_in.add_repository("acme/folder", source, default_branch="trunk")
    assert files(stand_in, "acme/folder", "trunk") == {".gitignore": "*.log", "deep/er/file": "x"}
    assert sorted(path.name for path in source.iterdir()) == [".gitignore", "debug.log", "deep"]


def test_an_empty_folder_gives_an_empty_commit(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """There is a branch to start from."""
    (tmp_path / "empty").mkdir()
    stand_in.add_repository("acme/empty", tmp_path / "empty")
    assert files(stand_in, "acme/empty") == {}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A git repository on a branch of another name, with a tag and something uncommitted."""
    folder = tmp_path / "source"
    folder.mkdir()
    git("init", "-q", "-b", "develop", folder=folder)
    (folder / "kept").write_text("kept")
    git("add", ".", folder=folder)
    git("commit", "-q", "-m", "first", folder=folder)
    git("tag", "v1", folder=folder)
    git("branch", "other", folder=folder)
    (folder / "uncommitted").write_text("x")
    return folder


def test_a_git_repository_is_cloned(stand_in: StandInGitHub, source: Path) -> None:
    """Branches, tags and history are cloned, uncommitted files are not; the default branch is the source's HEAD."""
    stand_in.add_repository("acme/clone", source)
    here = git("rev-parse", "HEAD", folder=source)
    bare = stand_in.git_folder("acme/clone")
    assert {head(stand_in, "acme/clone", name) for name in ("main", "develop", "other")} == {here}
    assert git("rev-parse", "v1^{commit}", folder=bare) == here
    assert files(stand_in, "acme/clone") == {"kept": "kept"}
    assert git("symbolic-ref", "HEAD", folder=bare) == "refs/heads/main"
    assert git("remote", folder=bare) == ""


def test_a_bare_repository_is_cloned_too(stand_in: StandInGitHub) -> None:
    """A bare repository is recognized without a .git folder."""
    stand_in.add_repository("acme/clone", stand_in.git_folder(SLUG))
    assert head(stand_in, "acme/clone") == head(stand_in, SLUG)


def test_a_source_that_cannot_be_read_is_an_error(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The message is git's own."""
    (tmp_path / "broken/.git").mkdir(parents=True)
    with pytest.raises(GitFailed, match=r"not appear to be a git repository|does not exist"):
        stand_in.add_repository("acme/broken", tmp_path / "broken")


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


def test_it_stops_and_starts_again(tmp_path: Path) -> None:
    """Both are safe twice; hosted repositories remain; no thread is left."""
    threads = set(threading.enumerate())
    stand_in = StandInGitHub(("127.0.0.1", 0), tmp_path / "state")
    stand_in.stop()
    stand_in.add_repository(SLUG)
    stand_in.add_token(TOKEN)
    for _ in range(2):
        stand_in.start()
        stand_in.start()
        assert httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH).status_code == 200
        stand_in.stop()
        stand_in.stop()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{stand_in.api_url}/repos/{SLUG}")
    assert set(threading.enumerate()) == threads


def test_it_stops_with_a_caller_waiting(stand_in: StandInGitHub) -> None:
    """Open connections and slow responses do not delay the stop."""
    stand_in.inject(Fault.SLOW)
    host, port = stand_in.server_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(b"GET /api/v3/repos/acme/none HTTP/1.1\r\nHost: x\r\n\r\n")
        stand_in.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)))


def test_an_address_in_use_is_an_error_at_start(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The error is the operating system's own."""
    port = int(stand_in.server_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        StandInGitHub(("127.0.0.1", port), tmp_path / "second").start()


def test_the_log_has_every_request_and_no_secret(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """Requests of Git and REST are logged with method, path and status."""
    httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH)
    git("clone", "-q", stand_in.clone_url(SLUG), tmp_path / "clone", token=TOKEN)
    assert [(r.method, r.path, r.status) for r in stand_in.requests] == [
        ("GET", f"/api/v3/repos/{SLUG}", 200),
        ("GET", f"/{SLUG}.git/info/refs", 401),
        ("GET", f"/{SLUG}.git/info/refs", 200),
        ("POST", f"/{SLUG}.git/git-upload-pack", 200),
        ("POST", f"/{SLUG}.git/git-upload-pack", 200),
    ]
    assert TOKEN not in repr(stand_in.requests)
    kept = [path for path in (tmp_path / "stand-in").rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in path.read_bytes() for path in kept)


def test_an_unknown_fault_is_refused(stand_in: StandInGitHub) -> None:
    """The message contains the given name."""
    with pytest.raises(ValueError, match="rainy-day"):
        stand_in.inject("rainy-day")


def test_a_fault_occurs_as_often_as_requested(stand_in: StandInGitHub) -> None:
    """Without a number it occurs until it is cleared; clearing is safe twice."""

    def status() -> int:
        return httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH).status_code

    stand_in.inject("server-errors", times=2)
    assert [status() for _ in range(3)] == [502, 502, 200]
    stand_in.inject("server-errors")
    assert [status() for _ in range(3)] == [502, 502, 502]
    stand_in.clear("server-errors")
    stand_in.clear("server-errors")
    assert status() == 200


def test_unreachable_closes_every_connection(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """Connections of REST and git are closed without any response."""
    stand_in.inject("unreachable")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH)
    failed = attempt("clone", stand_in.clone_url(SLUG), tmp_path / "clone", token=TOKEN)
    assert failed.returncode == 128
    assert {request.status for request in stand_in.requests} == {None}


def test_slow_responses_arrive(stand_in: StandInGitHub) -> None:
    """A caller with a short timeout gives up; one with a longer timeout gets the response."""
    stand_in.inject("slow")
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH, timeout=0.2)
    assert httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH, timeout=10).status_code == 200


def test_an_injected_rate_limit_looks_like_githubs(stand_in: StandInGitHub) -> None:
    """The primary limit has its headers, the secondary one `retry-after` and its documentation page."""
    stand_in.inject("rate-limited", times=1)
    primary = httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH)
    assert (primary.status_code, primary.headers["x-ratelimit-remaining"]) == (403, "0")
    assert "retry-after" not in primary.headers
    stand_in.inject("secondary-rate-limited", times=1)
    secondary = httpx.get(f"{stand_in.api_url}/repos/{SLUG}", headers=AUTH)
    assert (secondary.status_code, secondary.headers["retry-after"]) == (403, "60")
    assert secondary.json()["documentation_url"].endswith("#about-secondary-rate-limits")


def test_another_user_opens_a_pull_request_from_each_new_branch(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The fault pr-exists: the pull request is open when the push ends; a second push opens no other one."""
    stand_in.inject("pr-exists")
    folder = tmp_path / "clone"
    git("clone", "-q", stand_in.clone_url(SLUG), folder, token=TOKEN)
    for _ in range(2):
        git("commit", "-q", "--allow-empty", "-m", "work", folder=folder)
        git("push", "-q", "origin", "HEAD:work/1", folder=folder, token=TOKEN)
        (pull,) = stand_in.pull_requests(SLUG)
        assert (pull.head, pull.base, pull.user, pull.draft) == ("work/1", "main", OTHER_USER, False)
        assert pull.head_sha == git("rev-parse", "HEAD", folder=folder)


def test_drafts_are_refused_on_every_repository(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The fault draft-refused; a regular pull request is accepted."""
    stand_in.inject("draft-refused")
    folder = tmp_path / "clone"
    git("clone", "-q", stand_in.clone_url(SLUG), folder, token=TOKEN)
    git("commit", "-q", "--allow-empty", "-m", "work", folder=folder)
    git("push", "-q", "origin", "HEAD:work/1", folder=folder, token=TOKEN)
    fields = {"title": "t", "head": "work/1", "base": "main"}
    address = f"{stand_in.api_url}/repos/{SLUG}/pulls"
    refused = httpx.post(address, headers=AUTH, json={**fields, "draft": True})
    assert refused.status_code == 422
    assert refused.json()["message"] == "Draft pull requests are not supported in this repository."
    assert httpx.post(address, headers=AUTH, json={**fields, "draft": False}).status_code == 201
