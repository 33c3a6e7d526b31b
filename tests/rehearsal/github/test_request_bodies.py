"""JSON bodies are checked against GitHub's schema."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.openapi import Description, Exchange
from tests.github.stand_in import SLUG, add_branch
from tests.rehearsal.github.hosted import PULLS, WISH


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "Problems parsing JSON"),
        (b"{", 400, "Problems parsing JSON"),
        (b"\xff", 400, "Problems parsing JSON"),
        (b"[]", 400, "Body should be a JSON object"),
        (b"{}", 422, '"head" wasn\'t supplied.\n"base" wasn\'t supplied.'),
        ({**WISH, "title": 1}, 422, "For 'properties/title', 1 is not a string."),
        ({**WISH, "draft": "yes"}, 422, "For 'properties/draft', \"yes\" is not a boolean."),
        ({**WISH, "draft": None}, 422, "For 'properties/draft', nil is not a boolean."),
        ({**WISH, "issue": True}, 422, "For 'properties/issue', true is not an integer."),
        ({**WISH, "labels": []}, 422, '"labels" is not a permitted key.'),
        ({"head": "work/1", "base": "main"}, 422, "Validation Failed"),
    ],
)
@pytest.mark.usefixtures("branch")
def test_an_invalid_body_is_refused(
    stand_in: StandInGitHub, api: httpx.Client, body: Any, status: int, words: str
) -> None:
    """With GitHub's message, and nothing is created."""
    answer = api.post(PULLS, content=body if isinstance(body, bytes) else json.dumps(body))
    assert answer.status_code == status
    assert words in answer.json()["message"]
    assert stand_in.pull_requests(SLUG) == []


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["main", "work/1", "acme:work/1"]),
    lambda values: st.lists(values, max_size=2) | st.dictionaries(st.text(max_size=4), values, max_size=2),
    max_leaves=4,
)


NAMES = ("title", "head", "base", "body", "draft", "maintainer_can_modify", "state", "name", "labels", "x")


bodies = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, json_values))


@given(body=bodies)
@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # one server for all examples is meant
)
def test_a_body_outside_githubs_schema_never_succeeds(
    stand_in: StandInGitHub, api: httpx.Client, descriptions: list[Description], body: dict[str, Any]
) -> None:
    """For any body: no 5xx, and no success outside of GitHub's schema."""
    if not stand_in.pull_requests(SLUG):
        add_branch(stand_in, "work/1")
        api.post(PULLS, json=WISH)
    for method, path in (
        ("POST", PULLS),
        ("PATCH", f"{PULLS}/1"),
        ("POST", f"/repos/{SLUG}/issues/1/labels"),
        ("POST", f"/repos/{SLUG}/labels"),
    ):
        answer = api.request(method, path, json=body)
        assert answer.status_code < 500
        exchange = Exchange(method, path, answer.request.content, answer.status_code, answer.content)
        # GitHub takes a null body of a pull request, which its description does not say.
        nulls = {"body", "description"} & {name for name, value in body.items() if value is None}
        if descriptions[0].request_errors(exchange) and not nulls:
            assert answer.status_code in (400, 422), (method, path, body)
