"""git over HTTP on the stand-in, with the real git, as GitHub serves it."""

import base64
import hashlib
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from tests.github.stand_in import SLUG, TOKEN, add_branch, attempt, git


@pytest.fixture
def clone(stand_in: StandInGitHub, tmp_path: Path) -> Path:
    """A clone on a branch of its own, with one commit to push."""
    folder = tmp_path / "clone"
    git("clone", "-q", stand_in.clone_url(SLUG), folder, token=TOKEN)
    git("switch", "-q", "-c", "work/1", folder=folder)
    commit(folder, "specs/001/spec.md", "# A specification\n")
    return folder


def commit(folder: Path, name: str, text: str | bytes) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    git("add", "--all", folder=folder)
    git("commit", "-q", "-m", f"Add {name}", folder=folder)


def push(folder: Path, *refs: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    return attempt("push", "origin", *(refs or ("HEAD",)), folder=folder, token=token)


def hosted(stand_in: StandInGitHub, branch: str) -> str:
    return attempt("rev-parse", "--verify", f"refs/heads/{branch}", folder=stand_in.git_folder(SLUG)).stdout.strip()


def test_a_private_repository_is_cloned_with_its_token(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """Any user name works, with or without .git at the end of the address."""
    for number, url in enumerate((stand_in.clone_url(SLUG), f"{stand_in.server_url}/{SLUG}")):
        git("clone", "-q", url, tmp_path / str(number), token=TOKEN)
        assert (tmp_path / str(number) / "README.md").is_file()


@pytest.mark.parametrize("user", [f"x-access-token:{TOKEN}", f"someone:{TOKEN}", f"{TOKEN}:x-oauth-basic", f"{TOKEN}:"])
def test_the_token_is_accepted_as_github_accepts_it(stand_in: StandInGitHub, user: str) -> None:
    """As the password of any user, or as the user name."""
    answer = httpx.get(
        f"{stand_in.clone_url(SLUG)}/info/refs?service=git-upload-pack",
        headers={"authorization": f"Basic {base64.b64encode(user.encode()).decode()}"},
    )
    assert answer.status_code == 200


def test_a_caller_without_credentials_is_challenged(stand_in: StandInGitHub) -> None:
    """401 and a challenge, also for a missing repository: the response does not reveal which exist."""
    for slug in (SLUG, "acme/none"):
        answer = httpx.get(f"{stand_in.clone_url(slug)}/info/refs?service=git-upload-pack")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="GitHub"'


def test_a_wrong_token_is_refused_with_githubs_message(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """Git shows the message and fails."""
    failed = attempt("clone", stand_in.clone_url(SLUG), tmp_path / "clone", token="ghp_wrong")
    assert "remote: Invalid username or token. Password authentication is not supported" in failed.stderr
    assert "Authentication failed for" in failed.stderr


def test_a_bearer_header_is_not_enough_for_git(stand_in: StandInGitHub) -> None:
    """GitHub accepts only Basic for git."""
    answer = httpx.get(
        f"{stand_in.clone_url(SLUG)}/info/refs?service=git-upload-pack",
        headers={"authorization": f"Bearer {TOKEN}"},
    )
    assert answer.status_code == 401


@pytest.mark.parametrize("slug", [SLUG, "acme/none"])
def test_a_token_without_access_finds_nothing(stand_in: StandInGitHub, tmp_path: Path, slug: str) -> None:
    """404: hidden and missing repositories cannot be distinguished."""
    stand_in.add_token(TOKEN, repositories=["acme/other"])
    failed = attempt("clone", stand_in.clone_url(slug), tmp_path / "clone", token=TOKEN)
    assert "remote: Repository not found." in failed.stderr
    assert failed.returncode == 128


def test_a_public_repository_can_be_read_without_a_token_but_not_pushed(
    stand_in: StandInGitHub, tmp_path: Path
) -> None:
    """Pushing asks for a password."""
    stand_in.add_repository("acme/public", private=False)
    folder = tmp_path / "clone"
    git("clone", "-q", stand_in.clone_url("acme/public"), folder)
    commit(folder, "new", "")
    assert "could not read Username" in push(folder, token="").stderr
    assert push(folder).returncode == 0


def test_a_push_arrives(stand_in: StandInGitHub, clone: Path) -> None:
    """The branch has the clone's commit."""
    assert push(clone).returncode == 0
    assert hosted(stand_in, "work/1") == git("rev-parse", "HEAD", folder=clone)


def test_a_reading_token_does_not_push(stand_in: StandInGitHub, clone: Path) -> None:
    """403 with GitHub's message, and nothing is pushed."""
    stand_in.add_token(TOKEN, push=False)
    failed = push(clone)
    assert f"remote: Permission to {SLUG}.git denied to rehearsal." in failed.stderr
    assert "The requested URL returned error: 403" in failed.stderr
    assert hosted(stand_in, "work/1") == ""


def test_an_archived_repository_rejects_pushes(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """It can still be cloned."""
    stand_in.add_repository("acme/old", archived=True)
    folder = tmp_path / "clone"
    git("clone", "-q", stand_in.clone_url("acme/old"), folder, token=TOKEN)
    commit(folder, "new", "")
    assert "This repository was archived so it is read-only." in push(folder).stderr


def test_a_declined_push_looks_like_githubs(stand_in: StandInGitHub, clone: Path) -> None:
    """GH006 from the remote, and git's own summary of it."""
    stand_in.inject(Fault.PUSH_REFUSED)
    failed = push(clone)
    assert failed.returncode == 1
    assert "remote: error: GH006: Protected branch update failed for refs/heads/work/1." in failed.stderr
    assert "! [remote rejected] HEAD -> work/1 (protected branch hook declined)" in failed.stderr
    assert hosted(stand_in, "work/1") == ""
    stand_in.clear(Fault.PUSH_REFUSED)
    assert push(clone).returncode == 0


def test_only_the_protected_branch_is_declined(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """Another branch in the same push is accepted."""
    stand_in.add_repository("acme/protected", protected=["main"])
    folder = tmp_path / "clone"
    git("clone", "-q", stand_in.clone_url("acme/protected"), folder, token=TOKEN)
    commit(folder, "new", "")
    failed = push(folder, "HEAD:main", "HEAD:work/1")
    assert "! [remote rejected] HEAD -> main (protected branch hook declined)" in failed.stderr
    assert "* [new branch]      HEAD -> work/1" in failed.stderr


def test_workflows_need_their_scope(stand_in: StandInGitHub, clone: Path) -> None:
    """A commit that changes a workflow is refused with its path; one that only inherits workflows is not."""
    stand_in.add_token("ghp_repo_only", scopes=["repo"])
    assert push(clone, token="ghp_repo_only").returncode == 0
    before = hosted(stand_in, "work/1")
    commit(clone, ".github/workflows/new.yml", "on: push\n")
    commit(clone, "later.md", "later\n")
    failed = push(clone, token="ghp_repo_only")
    assert (
        "(refusing to allow a Personal Access Token to create or update workflow "
        "`.github/workflows/new.yml` without `workflow` scope)"
    ) in failed.stderr
    assert hosted(stand_in, "work/1") == before
    assert push(clone).returncode == 0
    git("switch", "-q", "-c", "work/2", folder=clone)
    commit(clone, "more.md", "more\n")
    assert push(clone, token="ghp_repo_only").returncode == 0


def test_a_branch_is_deleted_unless_it_is_the_default(stand_in: StandInGitHub, clone: Path) -> None:
    """Also by a token that may not touch workflows."""
    stand_in.add_token("ghp_repo_only", scopes=["repo"])
    push(clone)
    assert push(clone, ":work/1", token="ghp_repo_only").returncode == 0
    assert hosted(stand_in, "work/1") == ""
    assert "refusing to delete the current branch" in push(clone, ":main").stderr


def test_a_branch_that_moved_on_is_not_overwritten(stand_in: StandInGitHub, clone: Path) -> None:
    """Without force, git refuses."""
    add_branch(stand_in, "work/1")
    assert "[rejected]        HEAD -> work/1 (fetch first)" in push(clone).stderr


def test_pull_requests_have_refs_that_cannot_be_pushed(stand_in: StandInGitHub, clone: Path) -> None:
    """refs/pull/N/head can be fetched and follows the branch; a push to it is denied."""
    push(clone)
    httpx.post(
        f"{stand_in.api_url}/repos/{SLUG}/pulls",
        headers={"authorization": f"Bearer {TOKEN}"},
        json={"title": "t", "head": "work/1", "base": "main"},
    ).raise_for_status()
    commit(clone, "more.md", "more\n")
    push(clone)
    git("fetch", "-q", "origin", "refs/pull/1/head", folder=clone, token=TOKEN)
    assert git("rev-parse", "FETCH_HEAD", folder=clone) == git("rev-parse", "HEAD", folder=clone)
    assert "deny updating a hidden ref" in push(clone, "HEAD:refs/pull/1/head").stderr


def test_broken_objects_are_rejected(stand_in: StandInGitHub, clone: Path) -> None:
    """GitHub checks received objects: a tree with an entry named .git is rejected."""
    blob = git("hash-object", "-w", "README.md", folder=clone)
    entry = b"100644 .git\0" + bytes.fromhex(blob)
    tree_file = clone.parent / "tree"
    tree_file.write_bytes(entry)
    tree = git("hash-object", "-w", "-t", "tree", "--literally", tree_file, folder=clone)
    bad = git("commit-tree", "-p", "HEAD", "-m", "bad", tree, folder=clone)
    failed = push(clone, f"{bad}:refs/heads/bad")
    assert "hasDotgit" in failed.stderr
    assert hosted(stand_in, "bad") == ""


def test_large_packs_stream_both_ways(stand_in: StandInGitHub, clone: Path, tmp_path: Path) -> None:
    """Above git's post buffer, where it sends chunks."""
    content = os.urandom(3 * 1024 * 1024)
    commit(clone, "large.bin", content)
    assert push(clone).returncode == 0
    git("clone", "-q", "-b", "work/1", stand_in.clone_url(SLUG), tmp_path / "second", token=TOKEN)
    received = (tmp_path / "second/large.bin").read_bytes()
    assert hashlib.sha256(received).digest() == hashlib.sha256(content).digest()


def test_compressed_requests_are_accepted(stand_in: StandInGitHub, clone: Path) -> None:
    """Git compresses a long list of commits."""
    git("fetch", "-q", "origin", folder=clone, token=TOKEN)
    bare = stand_in.git_folder(SLUG)
    for number in range(40):
        commit(clone, "log.md", f"{number}\n")
    git("update-ref", "refs/heads/other", git("commit-tree", "-m", "x", "main^{tree}", folder=bare), folder=bare)
    environment = {**os.environ, "GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1", "GIT_TERMINAL_PROMPT": "0"}
    basic = base64.b64encode(f"x:{TOKEN}".encode()).decode()
    fetched = subprocess.run(
        ["git", "-c", f"http.extraHeader=Authorization: Basic {basic}", "fetch", "origin"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Content-Encoding: gzip" in fetched.stderr


def test_protocol_version_2_is_supported(stand_in: StandInGitHub) -> None:
    """As on GitHub, refs are listed on request only."""
    answer = httpx.get(
        f"{stand_in.clone_url(SLUG)}/info/refs?service=git-upload-pack",
        headers={"git-protocol": "version=2"},
        auth=("x-access-token", TOKEN),
    )
    assert b"version 2" in answer.content
    assert b"refs/heads/main" not in answer.content


@pytest.mark.parametrize("option", ["--depth=1", "--filter=blob:none"])
def test_shallow_and_partial_clones_work(stand_in: StandInGitHub, tmp_path: Path, option: str) -> None:
    """Git's own options."""
    git("clone", "-q", option, stand_in.clone_url(SLUG), tmp_path / "clone", token=TOKEN)
    assert (tmp_path / "clone/README.md").is_file()


def test_the_old_protocol_of_plain_files_is_not_served(stand_in: StandInGitHub) -> None:
    """403, as on GitHub, and no file of the repository."""
    auth = ("x-access-token", TOKEN)
    assert httpx.get(f"{stand_in.clone_url(SLUG)}/info/refs", auth=auth).status_code == 403
    for path in ("HEAD", "config", "objects/info/packs", "../gitconfig"):
        assert httpx.get(f"{stand_in.clone_url(SLUG)}/{path}", auth=auth).status_code == 404


def test_a_renamed_repository_is_found_under_its_old_name(stand_in: StandInGitHub, clone: Path) -> None:
    """Fetch and push continue to work."""
    stand_in.rename_repository(SLUG, "acme/library")
    assert push(clone).returncode == 0
    assert hosted(stand_in, "work/1") == git("rev-parse", "HEAD", folder=clone)
    git("fetch", "-q", "origin", folder=clone, token=TOKEN)


def test_a_caller_that_disconnects_leaves_no_process(stand_in: StandInGitHub) -> None:
    """An upload that is cut off ends its git process."""
    with httpx.Client(auth=("x-access-token", TOKEN), timeout=5) as client:

        def half() -> object:
            yield b"0032"
            raise ConnectionAbortedError

        with pytest.raises(ConnectionAbortedError):
            client.post(
                f"{stand_in.clone_url(SLUG)}/git-upload-pack",
                headers={"content-type": "application/x-git-upload-pack-request"},
                content=half(),
            )
    stand_in.stop()
    folder = str(stand_in.git_folder(SLUG).parent)
    environments = [_environment(process) for process in Path("/proc").glob("[0-9]*")]
    assert not any(f"GIT_PROJECT_ROOT={folder}".encode() in environment for environment in environments)


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
