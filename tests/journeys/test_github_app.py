"""Runs with a GitHub App instead of a token: its tokens are short-lived, for one repository, and end with the run."""

import base64
import json
import sqlite3
import uuid
from contextlib import closing

import pytest

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.environment import APP_ID, RehearsalEnvironment
from moonmind_appliance.rehearsal.github import Fault

from .conftest import docker, files_below
from .test_kill import reaches

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
def slug(environment):
    name = f"{ACCOUNT}/app-{uuid.uuid4().hex[:8]}"
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


def test_the_token_of_the_first_hour_ends_in_the_middle_of_the_plan(environment, caller, slug):
    """The run succeeds: push and pull request use another token, which is revoked. The first one has expired."""
    run_id = caller.submit(slug, TEXT)
    caller.wait(run_id, until=reaches("speckit_plan"))
    environment.github.end_token_lives()
    run = caller.wait(run_id)
    assert run["status"] == "succeeded", run["failure"]
    assert len(environment.github.pull_requests(slug)) == 1
    assert [token.revoked for token in tokens_of(environment, slug)] == [False, True]
    access = access_of(caller, run)
    assert (access["renewed"], access["revoked"]) == (1, True)
    assert [token["why"] for token in access["tokens"]] == ["first use", "GitHub rejected it"]


def test_a_token_is_renewed_before_it_ends(environment, caller, slug):
    """GitHub's `expires_at` decides. The stand-in accepts tokens for longer, so that a slow machine does not fail."""
    environment.github.set_token_life(2, grace=600)
    before = len(environment.github.requests)
    try:
        run = caller.wait(caller.submit(slug, TEXT))
    finally:
        environment.github.set_token_life(3600)
    assert run["status"] == "succeeded", run["failure"]
    assert len(tokens_of(environment, slug)) > 1
    assert [request for request in environment.github.requests[before:] if request.status == 401] == []
    access = access_of(caller, run)
    assert access["renewed"] == len(tokens_of(environment, slug)) - 1
    assert {token["why"] for token in access["tokens"]} <= {"first use", "it expires soon", "it had expired"}


@pytest.mark.parametrize("how", ["failed", "cancelled"])
def test_the_token_is_revoked_however_the_run_ends(environment, caller, slug, how):
    """No token remains valid."""
    if how == "failed":
        environment.github.inject(Fault.PUSH_REFUSED)
    try:
        run_id = caller.submit(slug, TEXT)
        if how == "cancelled":
            caller.wait(run_id, until=reaches("speckit_plan"))
            caller.client.post(f"/api/spec-automation/runs/{run_id}/cancel").raise_for_status()
        run = caller.wait(run_id)
    finally:
        environment.github.clear(Fault.PUSH_REFUSED)
    assert run["status"] == how
    assert [token.revoked for token in tokens_of(environment, slug)] == [True]
    assert access_of(caller, run)["revoked"]


def test_no_token_and_no_key_is_stored_or_shown(environment, running, caller, slug):
    """The database, artifacts and container configurations contain them neither plain nor in base64."""
    run_id = caller.submit(slug, TEXT)
    caller.wait(run_id, until=reaches("speckit_specify"))
    label = f"label=moonmind.run={run_id}"
    inspected = docker("inspect", *docker("ps", "--quiet", "--filter", label).split())
    run = caller.wait(run_id)
    assert run["status"] == "succeeded", run["failure"]
    values = environment.github.installation_token_values()
    basic = [base64.b64encode(f"x-access-token:{value}".encode()).decode() for value in values]
    key = (environment.folder / "github-app.pem").read_text().splitlines()[5]
    stored = everything_stored(environment)
    for secret in (*values, *basic, key):
        assert secret not in inspected
        assert [name for name, content in stored.items() if secret.encode() in content] == []
    table = {value.name: value.shown for value in settings.load(environment.variables()).table()}
    assert (table["GITHUB_APP_ID"], table["GITHUB_APP_PRIVATE_KEY"]) == (str(APP_ID), "***")


@pytest.mark.parametrize(
    ("installed", "code"),
    [
        (None, "github_app_not_installed"),
        ({"suspended": True}, "github_app_suspended"),
        ({"permissions": {"contents": "write"}}, "github_app_permission_missing"),
    ],
)
def test_an_app_that_is_not_set_up_fails_the_run_before_model_time_is_used(environment, caller, slug, installed, code):
    """Each cause has its own code, and says what to do."""
    turns = len(environment.openai.turns)
    try:
        if installed is None:
            environment.github.uninstall_app(APP_ID, ACCOUNT)
        else:
            environment.github.install_app(APP_ID, ACCOUNT, **installed)
        run = caller.wait(caller.submit(slug, TEXT))
    finally:
        environment.github.install_app(APP_ID, ACCOUNT)
    assert (run["status"], run["failure"]["code"]) == ("failed", code)
    assert run["failure"]["next_step"]
    assert len(environment.openai.turns) == turns
