"""The delivered Postman files are complete, and contain no secret."""

import json
import re

import pytest

from .test_newman import COLLECTION, FOLDER

ENVIRONMENT = json.loads((FOLDER / "moonmind.postman_environment.json").read_text(encoding="utf-8"))
VALUES = {entry["key"]: entry for entry in ENVIRONMENT["values"]}


def requests():
    collection = json.loads(COLLECTION.read_text(encoding="utf-8"))
    return [item for part in collection["item"] for item in part["item"]]


def test_the_environment_has_the_variables_of_the_instructions():
    """base_url, moonmind_api_token, repository, base_branch, spec_input; and Keycloak's."""
    assert {"base_url", "moonmind_api_token", "repository", "base_branch", "spec_input"} <= set(VALUES)
    assert VALUES["base_url"]["value"] == "http://localhost:5000"


def test_every_variable_is_in_the_environment_or_set_by_an_earlier_request():
    """No request uses an undefined variable."""
    known = set(VALUES)
    for item in requests():
        used = set(re.findall(r"\{\{(\w+)\}\}", json.dumps(item["request"])))
        assert used <= known, item["name"]
        known |= set(re.findall(r'pm\.environment\.set\("(\w+)"', "\n".join(script_of(item))))


def test_no_secret_is_delivered():
    """Secrets are marked as such and empty, except for the documented default `changeme`."""
    secrets = {name for name, entry in VALUES.items() if entry["type"] == "secret"}
    assert secrets == {"moonmind_api_token", "oidc_client_secret", "moonmind_password"}
    assert {VALUES[name]["value"] for name in secrets} == {"", "changeme"}


@pytest.mark.parametrize("item", requests(), ids=lambda item: item["name"])
def test_every_request_checks_its_response(item):
    """Each has an assertion, and a description."""
    assert "pm.test(" in "\n".join(script_of(item))
    assert item["request"]["description"]


def test_the_submission_is_the_documented_one():
    """The documented body, with the environment's variables."""
    (item,) = [item for item in requests() if item["name"] == "Submit a run"]
    body = json.loads(item["request"]["body"]["raw"])
    assert body == {
        "repository": "{{repository}}",
        "base_branch": "{{base_branch}}",
        "specify_text": "{{spec_input}}",
        "dry_run": False,
        "external_ref": "postman-demo-001",
    }


def script_of(item):
    return [line for event in item["event"] for line in event["script"]["exec"]]
