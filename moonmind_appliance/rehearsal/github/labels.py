"""The stand-in's labels: of a repository, and of its pull requests.

Rules and messages are those of GitHub's docs and OpenAPI description, and those observed in its API's answers.
"""

import re
from typing import Any

from litestar import Response, get, post
from litestar.params import RawBody

from moonmind_appliance.rehearsal.github import request_bodies as bodies
from moonmind_appliance.rehearsal.github.injected import (
    REPOSITORY,
    AnyRequest,
    InjectedShapes,
    InjectedState,
    RequestedPull,
    RequestedRepository,
    operation_of,
)
from moonmind_appliance.rehearsal.github.listing import page_of
from moonmind_appliance.rehearsal.github.refusals import invalid, problem, too_long

_LONGEST_LABEL = 50
_LONGEST_LABEL_DESCRIPTION = 100


@get(
    f"{REPOSITORY}/issues/{{number:int}}/labels",
    operation="/issues/labels#list-labels-for-an-issue",
    needs=("issues:read", "pull_requests:read"),
    sync_to_thread=True,
)
def list_issue_labels(
    repository: RequestedRepository, pull: RequestedPull, shapes: InjectedShapes
) -> list[dict[str, Any]]:
    """The labels of a pull request; to GitHub each is an issue, too."""
    return [shapes.label(repository, label) for label in pull.labels]


@post(
    f"{REPOSITORY}/issues/{{number:int}}/labels",
    operation="/issues/labels#add-labels-to-an-issue",
    needs=("issues:write", "pull_requests:write"),
    sync_to_thread=True,
    status_code=200,
)
def add_issue_labels(
    *,
    request: AnyRequest,
    repository: RequestedRepository,
    pull: RequestedPull,
    github: InjectedState,
    shapes: InjectedShapes,
    body: RawBody,
) -> list[dict[str, Any]]:
    """Add labels; missing ones are created."""
    operation = operation_of(request)
    names = _label_names(operation, bodies.parse(body, operation))
    with github.lock:
        for name in names:
            label = github.label(repository, name)
            if label not in pull.labels:
                pull.labels.append(label)
        return [shapes.label(repository, label) for label in pull.labels]


def _label_names(operation: str, given: object) -> list[str]:
    """The names in a body that is or contains a list of labels; each label is a name or an object with one."""
    labels = bodies.fit(given, {"labels": bodies.LIST}, operation)["labels"] if isinstance(given, dict) else given
    if not isinstance(labels, list) or not labels:
        raise bodies.malformed(operation, f"For 'properties/labels', {bodies.shown(labels)} is not an array of labels.")
    names = []
    for label in labels:
        name = label
        if isinstance(label, dict):
            name = bodies.fit(label, {"name": bodies.REQUIRED_STRING}, operation)["name"]
        if not isinstance(name, str):
            raise bodies.malformed(operation, f"For 'items', {bodies.shown(label)} is not a string or object.")
        _check_label(operation, name)
        names.append(name)
    return names


def _check_label(operation: str, name: str) -> None:
    if not name.strip():
        raise invalid(operation, problem("Label", "missing_field", "name"))
    if len(name) > _LONGEST_LABEL:
        raise invalid(operation, too_long("Label", "name", _LONGEST_LABEL))


@get(
    f"{REPOSITORY}/labels",
    operation="/issues/labels#list-labels-for-a-repository",
    needs=("issues:read", "pull_requests:read"),
    sync_to_thread=True,
)
def list_labels(
    request: AnyRequest, repository: RequestedRepository, shapes: InjectedShapes
) -> Response[list[dict[str, Any]]]:
    """All labels of the repository, in pages."""
    page, link = page_of(request, sorted(repository.labels.values(), key=lambda label: label.name.lower()))
    return Response([shapes.label(repository, label) for label in page], headers=link)


@post(
    f"{REPOSITORY}/labels",
    operation="/issues/labels#create-a-label",
    needs=("issues:write", "pull_requests:write"),
    sync_to_thread=True,
)
def create_label(
    request: AnyRequest, repository: RequestedRepository, github: InjectedState, shapes: InjectedShapes, body: RawBody
) -> Response[dict[str, Any]]:
    """Create a label."""
    operation = operation_of(request)
    fields = {"name": bodies.REQUIRED_STRING, "color": bodies.STRING, "description": bodies.STRING_OR_NULL}
    given = bodies.read(body, fields, operation)
    _check_label(operation, given["name"])
    color, description = given.get("color", "ededed"), given.get("description")
    if not re.fullmatch("[0-9A-Fa-f]{6}", color):
        raise invalid(operation, problem("Label", "invalid", "color"))
    if len(description or "") > _LONGEST_LABEL_DESCRIPTION:
        raise invalid(operation, too_long("Label", "description", _LONGEST_LABEL_DESCRIPTION))
    with github.lock:
        if given["name"].lower() in repository.labels:
            raise invalid(operation, problem("Label", "already_exists", "name"))
        label = github.label(repository, given["name"])
        label.color, label.description = color, description
    shape = shapes.label(repository, label)
    return Response(shape, status_code=201, headers={"location": shape["url"]})
