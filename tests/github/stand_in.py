"""Fixtures around the stand-in GitHub: the server, the product's client, and GitHub's API description."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.github import Connection, GitHub
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.settings import Secret
from tests.github.exchanges import Recorder
from tests.github.openapi import Description

SLUG = "acme/reading-list"
TOKEN = "ghp_standInToken0123456789abcdefghijklmn"
ROOT = Path(__file__).parents[2]

COMMITTER = {
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.invalid",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.invalid",
}


@pytest.fixture(scope="session")
def descriptions() -> list[Description]:
    """GitHub's own description, and that of the oldest GitHub Enterprise Server."""
    prepared = subprocess.run(
        ["bash", ROOT / "tests/setup/octokit-openapi.sh"], check=True, stdout=subprocess.PIPE, text=True
    )
    folder = Path(prepared.stdout.strip())
    return [Description(folder / name) for name in ("api.github.com.json", "ghes-3.17.json")]


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandInGitHub]:
    """A running stand-in with one private repository and one token."""
    with StandInGitHub(("127.0.0.1", 0), tmp_path / "stand-in") as server:
        server.add_repository(SLUG)
        server.add_token(TOKEN)
        yield server


@pytest.fixture
def github_client(stand_in: StandInGitHub, descriptions: list[Description]) -> Iterator[GitHub]:
    """The product's client. At the end, each request and each answer must match GitHub's description."""
    recorder = Recorder()
    connection = Connection(api_url=stand_in.api_url, token=Secret(TOKEN), pauses=(0.0, 0.0), transport=recorder)
    github = GitHub(connection)
    yield github
    github.close()
    errors = [c for d in descriptions for e in recorder.exchanges for c in d.errors(e)]
    assert not errors, "\n".join(errors)


def git(*arguments: str | Path, folder: Path | None = None, token: str = "", home: Path | None = None) -> str:
    """Real git, without the machine's configuration; a token answers git's password prompt."""
    done = attempt(*arguments, folder=folder, token=token, home=home)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def attempt(
    *arguments: str | Path, folder: Path | None = None, token: str = "", home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """As `git`, for commands that may fail."""
    ask = "!printf 'username=x-access-token\\npassword=%s\\n' \"$TEST_TOKEN\"; true" if token else ""
    environment = {
        **COMMITTER,
        "PATH": os.environ["PATH"],
        "HOME": str(home or folder or "/nonexistent"),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "TEST_TOKEN": token,
    }
    return subprocess.run(
        ["git", "-c", f"credential.helper={ask}", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def add_branch(stand_in: StandInGitHub, branch: str, *, slug: str = SLUG, base: str = "main") -> str:
    """Create a branch on the server with one commit more than `base`; returns its commit id."""
    bare = stand_in.git_folder(slug)
    commit = git("commit-tree", "-p", base, "-m", f"Work on {branch}", f"{base}^{{tree}}", folder=bare)
    git("update-ref", f"refs/heads/{branch}", commit, folder=bare)
    return commit
