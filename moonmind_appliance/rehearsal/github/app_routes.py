"""The stand-in's operations for GitHub Apps: the App, its installation on a repository, and tokens.

docs.github.com/rest/apps/apps and docs.github.com/rest/apps/installations.
"""

from typing import Any

from litestar import Response, delete, get, post
from litestar.params import FromPath, RawBody

from moonmind_appliance.rehearsal.github import request_bodies as bodies
from moonmind_appliance.rehearsal.github.apps import Installation, RegisteredApp, unknown_repository
from moonmind_appliance.rehearsal.github.injected import (
    REPOSITORY,
    AnyRequest,
    CallingApp,
    InjectedShapes,
    InjectedState,
    operation_of,
)
from moonmind_appliance.rehearsal.github.refusals import Refused, moved, not_found
from moonmind_appliance.rehearsal.github.shapes import Shapes, node, time_of
from moonmind_appliance.rehearsal.github.state import GitHubState, HostedRepository, token_of

_MOST_REPOSITORIES = 500


@get("/app", operation="/apps/apps#get-the-authenticated-app", sync_to_thread=True)
def get_app(calling_app: CallingApp, shapes: InjectedShapes) -> dict[str, Any]:
    """The App whose JWT the request has."""
    return _app(calling_app, shapes)


@get(
    f"{REPOSITORY}/installation",
    operation="/apps/apps#get-a-repository-installation-for-the-authenticated-app",
    sync_to_thread=True,
)
def get_installation(
    *,
    request: AnyRequest,
    owner: FromPath[str],
    name: FromPath[str],
    github: InjectedState,
    calling_app: CallingApp,
    shapes: InjectedShapes,
) -> dict[str, Any]:
    """The App's installation on a repository; the same 404 without one and without the repository."""
    repository = github.by_slug(f"{owner}/{name}")
    found = repository and github.apps.installation_on(calling_app, repository.slug)
    if repository is None or not found:
        raise not_found(operation_of(request))
    if f"{owner}/{name}".lower() != repository.slug.lower():
        raise moved(f"{github.api_url}/repositories/{repository.repository_id}/installation", request.method)
    return _installation(calling_app, found, shapes, github)


@post(
    "/app/installations/{installation_id:int}/access_tokens",
    operation="/apps/apps#create-an-installation-access-token-for-an-app",
    sync_to_thread=True,
)
def create_token(
    *,
    request: AnyRequest,
    installation_id: FromPath[int],
    github: InjectedState,
    calling_app: CallingApp,
    shapes: InjectedShapes,
    body: RawBody,
) -> Response[dict[str, Any]]:
    """A token for some of the installation's repositories, with some of its permissions."""
    operation = operation_of(request)
    given = bodies.read(
        body or b"{}",
        {
            "repositories": bodies.Field((list,), "an array"),
            "repository_ids": bodies.Field((list,), "an array"),
            "permissions": bodies.Field((dict,), "an object"),
        },
        operation,
    )
    repositories = _asked_for(github, calling_app, installation_id, given)
    value, token = github.apps.issue(
        calling_app,
        installation_id,
        repositories=None if repositories is None else {each.slug: each.repository_id for each in repositories},
        permissions=given.get("permissions"),
    )
    shape: dict[str, Any] = {
        "token": value,
        "expires_at": time_of(token.expires_at),
        "permissions": token.permissions,
        "repository_selection": "all" if repositories is None else "selected",
    }
    if repositories is not None:
        shape["repositories"] = [shapes.repository(each) for each in repositories]
    return Response(shape, status_code=201)


@delete("/installation/token", operation="/apps/installations#revoke-an-installation-access-token", sync_to_thread=True)
def revoke_token(request: AnyRequest, github: InjectedState) -> None:
    """End the token with which the request is made."""
    operation = operation_of(request)
    value = token_of(request.headers.get("authorization", ""))
    if value is None:
        raise Refused(401, "Requires authentication", operation=operation)
    if github.access(value) is None:
        raise Refused(401, "Bad credentials")
    if github.apps.token(value) is None:
        raise Refused(403, "Resource not accessible by personal access token", operation=operation)
    github.apps.revoke(value)


def _asked_for(
    github: GitHubState, app: RegisteredApp, installation_id: int, given: dict[str, Any]
) -> list[HostedRepository] | None:
    """The repositories that the request names, by their current names or ids; None: it names none."""
    if "repositories" not in given and "repository_ids" not in given:
        return None
    account = next((e.account for e in app.installations if e.installation_id == installation_id), "")
    names, ids = given.get("repositories", []), given.get("repository_ids", [])
    if len(names) + len(ids) > _MOST_REPOSITORIES or not names + ids:
        raise unknown_repository()
    found = [github.by_slug(f"{account}/{name}") for name in names] + [github.by_id(number) for number in ids]
    # A former name is not the name of a repository here.
    known = [each for each in found if each is not None]
    current = {each.name.lower() for each in known}
    if len(known) != len(found) or any(str(name).lower() not in current for name in names):
        raise unknown_repository()
    return known


def _app(app: RegisteredApp, shapes: Shapes) -> dict[str, Any]:
    return {
        "id": app.app_id,
        "slug": app.slug,
        "client_id": app.client_id,
        "node_id": node("App", app.app_id),
        "owner": shapes.user(app.owner),
        "name": app.name,
        "description": None,
        "external_url": "https://example.invalid",
        "html_url": shapes.page(f"apps/{app.slug}"),
        "created_at": time_of(app.created_at),
        "updated_at": time_of(app.created_at),
        "permissions": dict(app.permissions),
        "events": [],
        "installations_count": len(app.installations),
    }


def _installation(
    app: RegisteredApp, installation: Installation, shapes: Shapes, github: GitHubState
) -> dict[str, Any]:
    suspended = installation.suspended_at
    number = installation.installation_id
    return {
        "id": number,
        "account": shapes.user(installation.account),
        "repository_selection": "all" if installation.repositories is None else "selected",
        "access_tokens_url": f"{github.api_url}/app/installations/{number}/access_tokens",
        "repositories_url": f"{github.api_url}/installation/repositories",
        "html_url": shapes.page(f"settings/installations/{number}"),
        "app_id": app.app_id,
        "app_slug": app.slug,
        "target_id": shapes.user(installation.account)["id"],
        "target_type": "User",
        "permissions": dict(installation.permissions),
        "events": [],
        "created_at": time_of(installation.created_at),
        "updated_at": time_of(installation.created_at),
        "single_file_name": None,
        "suspended_by": shapes.user(installation.account) if suspended else None,
        "suspended_at": time_of(suspended) if suspended else None,
    }
