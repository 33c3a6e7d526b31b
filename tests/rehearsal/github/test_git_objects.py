"""The stand-in's trees and blobs are those of GitHub: each response is checked against its OpenAPI description."""

import base64
from pathlib import Path

import httpx
import pytest

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.stand_in import git

SLUG = "acme/objects"
TREES, BLOBS = f"/repos/{SLUG}/git/trees", f"/repos/{SLUG}/git/blobs"


@pytest.fixture(autouse=True)
def repository(stand_in: StandInGitHub, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "docs").mkdir(parents=True)
    (source / "run.sh").write_text("#!/bin/sh\n" * 20)
    (source / "run.sh").chmod(0o755)
    (source / "docs/größe.md").write_text("# Größe\n")
    (source / "link").symlink_to("docs")
    stand_in.add_repository(SLUG, source)


def entries(answer: httpx.Response) -> dict[str, tuple[str, str]]:
    assert answer.status_code == 200
    assert answer.json()["truncated"] is False
    return {entry["path"]: (entry["mode"], entry["type"]) for entry in answer.json()["tree"]}


def test_a_tree_is_one_folder_unless_recursive(api: httpx.Client) -> None:
    """With Git's modes; any value of `recursive` means yes."""
    flat = {"docs": ("040000", "tree"), "link": ("120000", "blob"), "run.sh": ("100755", "blob")}
    assert entries(api.get(f"{TREES}/main")) == flat
    whole = {**flat, "docs/größe.md": ("100644", "blob")}
    for value in ("1", "0", "false"):
        assert entries(api.get(f"{TREES}/main?recursive={value}")) == whole


def test_a_tree_is_found_by_commit_branch_or_its_own_id(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """Each answer has the tree's own id."""
    bare = stand_in.git_folder(SLUG)
    commit, tree = git("rev-parse", "main", "main^{tree}", folder=bare).split()
    assert {api.get(f"{TREES}/{name}").json()["sha"] for name in (commit, tree, "main")} == {tree}


def test_a_blob_has_its_content_as_base64(api: httpx.Client) -> None:
    """In lines; a link's content is its target."""
    found = {entry["path"]: entry for entry in api.get(f"{TREES}/main").json()["tree"]}
    script = api.get(f"{BLOBS}/{found['run.sh']['sha']}").json()
    assert (script["encoding"], script["size"], script["content"].count("\n")) == ("base64", 200, 5)
    assert base64.b64decode(script["content"]) == b"#!/bin/sh\n" * 20
    link = api.get(f"{BLOBS}/{found['link']['sha']}").json()
    assert base64.b64decode(link["content"]) == b"docs"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        (f"{TREES}/missing", 404, "Not Found"),
        (f"{TREES}/--all", 404, "Not Found"),
        (f"{TREES}/{'0' * 40}", 404, "Not Found"),
        (f"{BLOBS}/{'0' * 40}", 404, "Not Found"),
        (f"{BLOBS}/main", 422, "The sha parameter must be exactly 40 characters and contain only [0-9a-f]."),
    ],
)
def test_unknown_objects_are_refused(api: httpx.Client, path: str, status: int, message: str) -> None:
    """With GitHub's message."""
    answer = api.get(path)
    assert (answer.status_code, answer.json()["message"]) == (status, message)


def test_a_tree_is_no_blob(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """404."""
    tree = git("rev-parse", "main^{tree}", folder=stand_in.git_folder(SLUG)).strip()
    assert api.get(f"{BLOBS}/{tree}").status_code == 404


def test_an_empty_repository_has_no_trees(stand_in: StandInGitHub, api: httpx.Client) -> None:
    """GitHub answers 409."""
    bare = stand_in.git_folder(SLUG)
    for file in (bare / "refs/heads/main", bare / "packed-refs"):
        file.unlink(missing_ok=True)
    answer = api.get(f"{TREES}/main")
    assert (answer.status_code, answer.json()["message"]) == (409, "Git Repository is empty.")
