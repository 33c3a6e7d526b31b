"""Runs with a GitHub App instead of a token: its tokens are short-lived, for one repository, and end with the run."""

import json
import sqlite3
from contextlib import closing

import pytest

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.environment import APP_ID, RehearsalEnvironment

from .conftest import files_below

pytestmark = [pytest.mark.docker, pytest.mark.image]

ACCOUNT = "journey"
TEXT = "# Dark mode\n\n- Goal: people can switch to dark colours"
NEEDED = {"contents": "write", "pull_requests": "write", "metadata": "read"}
SUSPENDED = "The installation of the GitHub App"


@pytest.fixture(scope="module")
def environment():
    with RehearsalEnvironment(settings.load({}).settings, github_app=True, think_seconds=0.2) as made:
        made.github.install_app(APP_ID, ACCOUNT)
        yield made


@pytest.fixture
def slug(environment, request):
    name = f"{ACCOUNT}/{abs(hash(request.node.name))}"
    environment.github.add_repository(name)
    return name


def tokens_of(environment, slug):
    return [token for token in environment.github.installation_tokens if token.repositories == (slug,)]


def access_of(caller, run):
    return json.loads(caller.artifact(run, "credential_audit.json"))["github"]


def everything_stored(environment):
    """Every file of the data folder, and every text of the database."""
    stored = dict(files_below(environment.data_dir))
    with closing(sqlite3.connect(environment.data_dir / "appliance.db")) as database:
        stored["dump"] = "\n".join(database.iterdump()).encode()
    return stored


def test_a_run_takes_one_token_for_its_repository_alone_and_revokes_it(environment, caller, slug):
    """Clone, push and pull request use one token with two permissions; after the run it is revoked."""
    run = caller.wait(caller.submit(slug, TEXT))
    assert run["status"] == "succeeded", run["failure"]
    (token,) = tokens_of(environment, slug)
    assert (token.permissions, token.revoked) == (NEEDED, True)
    (pull,) = environment.github.pull_requests(slug)
    assert pull.user.endswith("[bot]")
    access = access_of(caller, run)
    assert (access["permissions"], access["repositories"], access["renewed"], access["revoked"]) == (
        NEEDED,
        [slug],
        0,
        True,
    )
