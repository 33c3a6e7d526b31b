"""Labels of a repository and of its pull requests; each response is checked against GitHub's OpenAPI description."""

from typing import Any

import httpx
import pytest

from tests.github.stand_in import SLUG
from tests.rehearsal.github.hosted import PULLS, WISH


def test_labels_are_created_added_and_listed(api: httpx.Client, branch: str) -> None:
    """Names ignore case; a missing label is created with GitHub's default colour."""
    api.post(PULLS, json=WISH)
    issue_labels, labels = f"/repos/{SLUG}/issues/1/labels", f"/repos/{SLUG}/labels"
    made = api.post(labels, json={"name": "Spec Kit", "color": "00ff00", "description": "By specification"})
    assert made.status_code == 201
    assert api.post(labels, json={"name": "spec kit"}).json()["errors"][0]["code"] == "already_exists"
    added = api.post(issue_labels, json={"labels": ["spec kit", {"name": "new"}]})
    assert [(label["name"], label["color"]) for label in added.json()] == [("Spec Kit", "00ff00"), ("new", "ededed")]
    assert len(api.post(issue_labels, json=["new"]).json()) == 2
    assert api.get(issue_labels).json() == added.json()
    assert [label["name"] for label in api.get(labels).json()] == ["new", "Spec Kit"]
    assert [label["name"] for label in api.get(f"{PULLS}/1").json()["labels"]] == ["Spec Kit", "new"]


@pytest.mark.parametrize("body", [{}, [], {"labels": "x"}, {"labels": [1]}, {"labels": [""]}, {"labels": ["x" * 51]}])
def test_invalid_labels_are_refused(api: httpx.Client, branch: str, body: Any) -> None:
    """422, and none of them is added."""
    api.post(PULLS, json=WISH)
    assert api.post(f"/repos/{SLUG}/issues/1/labels", json=body).status_code == 422
    assert api.get(f"/repos/{SLUG}/issues/1/labels").json() == []


@pytest.mark.parametrize("body", [{}, {"name": "x", "color": "#fff"}, {"name": "x", "description": "y" * 101}])
def test_an_invalid_label_is_not_created(api: httpx.Client, body: Any) -> None:
    """422."""
    assert api.post(f"/repos/{SLUG}/labels", json=body).status_code == 422
