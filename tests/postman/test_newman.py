"""newman runs the delivered collection against the real appliance: from a token to downloaded artifacts."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from moonmind_appliance import settings
from moonmind_appliance.models import RunFilter
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment, RunningAppliance

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "postman"
COLLECTION = FOLDER / "moonmind.postman_collection.json"
SLUG = "postman/reading-list"
SPEC = '# Dark mode\n\n- Goal: "dark" colours, \\o/ and \ttabs\n- Scope: /speckit.specify'

pytestmark = [pytest.mark.docker, pytest.mark.image, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def newman():
    script = ROOT / "tests" / "setup" / "newman.sh"
    done = subprocess.run(["bash", script], stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    return Path(done.stdout.splitlines()[-1])


def run_collection(newman, folder, **values):
    """Run the whole collection with these values in the delivered environment; returns the report."""
    environment = json.loads((FOLDER / "moonmind.postman_environment.json").read_text(encoding="utf-8"))
    known = {entry["key"]: entry for entry in environment["values"]}
    for name, value in values.items():
        known[name]["value"] = value
    filled = folder / "environment.json"
    filled.touch(mode=0o600)
    filled.write_text(json.dumps(environment), encoding="utf-8")
    report = folder / "report.json"
    options = ["--reporters", "cli,json", "--reporter-json-export", report, "--timeout", "240000", "--color", "off"]
    done = subprocess.run(
        ["node", newman, "run", COLLECTION, "--environment", filled, *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return json.loads(report.read_text(encoding="utf-8"))["run"], done


def checks(run):
    """How often each check passed, by request and check; a failed check raises."""
    passed = Counter()
    for execution in run["executions"]:
        for check in execution.get("assertions", []):
            assert "error" not in check, (execution["item"]["name"], check)
            passed[execution["item"]["name"]] += 1
    return passed


def written():
    """The collection's requests, in order."""
    collection = json.loads(COLLECTION.read_text(encoding="utf-8"))
    return [item["name"] for part in collection["item"] for item in part["item"]]


def test_the_collection_succeeds_with_a_token_of_the_appliance(newman, tmp_path):
    """Without a Keycloak user the token request is skipped, and all other checks pass."""
    with (
        RehearsalEnvironment(settings.load({}).settings) as environment,
        RunningAppliance(environment.settings) as running,
    ):
        environment.sign_in(running)
        environment.github.add_repository(SLUG)
        token = running.appliance.resources.store.tokens.create("postman", operator=False, expires_at=None)
        run, done = run_collection(
            newman,
            tmp_path,
            base_url=running.url,
            moonmind_api_token=token,
            repository=SLUG,
            spec_input=SPEC,
            poll_seconds="0.5",
        )
        assert (done.returncode, run["failures"]) == (0, []), done.stdout
        passed = checks(run)
        assert set(passed) == set(written()) - {"Get a token"}
        (pull,) = environment.github.pull_requests(SLUG)
        assert pull.draft
        # The text arrived unchanged, although JSON escapes some characters.
        assert environment.openai.turns[0].prompt == f"$speckit-specify\n\n{SPEC}"


@pytest.mark.keycloak
def test_the_collection_succeeds_with_a_keycloak_user(newman, tmp_path, keycloak):
    """With a name and a password the token is fetched first, and used for the other requests."""
    user = keycloak.add_user("maya")
    overrides = {"AUTH_PROVIDER": "keycloak", "OIDC_ISSUER_URL": keycloak.issuer}
    with (
        RehearsalEnvironment(settings.load({}).settings, overrides=overrides) as environment,
        RunningAppliance(environment.settings) as running,
    ):
        environment.sign_in(running)
        environment.github.add_repository(SLUG)
        run, done = run_collection(
            newman,
            tmp_path,
            base_url=running.url,
            repository=SLUG,
            oidc_base_url=f"{keycloak.issuer}/protocol/openid-connect/token",
            oidc_client_secret=keycloak.client_secret,
            moonmind_username=user.username,
            moonmind_password=user.password,
            poll_seconds="0.5",
        )
        assert (done.returncode, run["failures"]) == (0, []), done.stdout
        assert set(checks(run)) == set(written())
        print(f"\nrequests {run['stats']['requests']}, checks {run['stats']['assertions']}")
        # The delivered sample has the line breaks of JSON, as the instructions write it.
        assert "\n\n- Goal: Validate automation from Postman\n" in environment.openai.turns[0].prompt
        (row,) = running.appliance.resources.store.run_lists.page(RunFilter(), limit=2)
        assert row.created_by.username == user.username


def test_a_failed_run_is_reported_and_ends_the_polling(newman, tmp_path):
    """The failing check contains the run's failure, and newman's exit code is not 0."""
    with (
        RehearsalEnvironment(settings.load({}).settings) as environment,
        RunningAppliance(environment.settings) as running,
    ):
        environment.sign_in(running)
        token = running.appliance.resources.store.tokens.create("postman", operator=False, expires_at=None)
        run, done = run_collection(
            newman,
            tmp_path,
            base_url=running.url,
            moonmind_api_token=token,
            repository="postman/nowhere",
            poll_seconds="0.2",
        )
    assert done.returncode == 1
    failed = {failure["source"]["name"] for failure in run["failures"]}
    assert "Wait for the end" in failed
    (told,) = [
        failure["error"]["message"] for failure in run["failures"] if failure["source"]["name"] == "Wait for the end"
    ]
    assert "postman/nowhere" in told
