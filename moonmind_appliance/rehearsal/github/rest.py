"""The stand-in's REST API: the operations that the appliance uses, as strict as GitHub's own.

Rules and messages are those of GitHub's docs and OpenAPI description, and those observed in its API's answers.
"""

import logging
import re
from typing import Any
from urllib.parse import quote

from litestar import Litestar, Response, Router, get
from litestar.di import Provide
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.params import FromPath

from moonmind_appliance.rehearsal.github.access_refusals import access_refusal
from moonmind_appliance.rehearsal.github.app_routes import create_token, get_app, get_installation, revoke_token
from moonmind_appliance.rehearsal.github.apps import RegisteredApp
from moonmind_appliance.rehearsal.github.git_objects import get_blob, get_tree
from moonmind_appliance.rehearsal.github.injected import (
    REPOSITORY,
    AnyRequest,
    CallerAccess,
    InjectedShapes,
    InjectedState,
    RequestedRepository,
    needs_of,
    operation_of,
)
from moonmind_appliance.rehearsal.github.labels import add_issue_labels, create_label, list_issue_labels, list_labels
from moonmind_appliance.rehearsal.github.listing import page_of
from moonmind_appliance.rehearsal.github.pull_requests import create_pull, get_pull, list_pulls, update_pull
from moonmind_appliance.rehearsal.github.refusals import (
    Refused,
    forbidden,
    moved,
    not_found,
    not_permitted,
    suspended,
)
from moonmind_appliance.rehearsal.github.settings_routes import get_actions_permissions, list_secrets, list_webhooks
from moonmind_appliance.rehearsal.github.shapes import Shapes
from moonmind_appliance.rehearsal.github.state import Access, GitHubState, HostedPullRequest, HostedRepository, token_of

API_PREFIX = "/api/v3"
API_VERSIONS = ("2022-11-28", "2026-03-10")

_MEDIA_TYPE = re.compile(r"\s*(\*/\*|application/(\*|json|vnd\.github(\.[\w.-]+)?(\+json)?))\s*(;.*)?")

_log = logging.getLogger(__name__)


def rest_app(github: GitHubState) -> Litestar:
    """The API under `API_PREFIX`."""
    # One router, not the app itself: an app that registers a path's methods separately wraps each one in the
    # threads of those before it (Litestar 2.25).
    routes = Router(
        path=API_PREFIX,
        route_handlers=[
            get_repository,
            list_branches,
            get_branch,
            get_ref,
            list_matching_refs,
            get_tree,
            get_blob,
            list_pulls,
            create_pull,
            get_pull,
            update_pull,
            list_issue_labels,
            add_issue_labels,
            list_labels,
            create_label,
            get_actions_permissions,
            list_secrets,
            list_webhooks,
            get_app,
            get_installation,
            create_token,
            revoke_token,
        ],
    )
    return Litestar(
        route_handlers=[routes],
        dependencies={
            "github": Provide(lambda: github, sync_to_thread=False),
            "shapes": Provide(lambda: Shapes(github), sync_to_thread=False),
            "access": Provide(provide_access, sync_to_thread=False),
            "repository": Provide(provide_repository, sync_to_thread=False),
            "calling_app": Provide(provide_app, sync_to_thread=False),
            "pull": Provide(provide_pull, sync_to_thread=False),
        },
        exception_handlers={
            Refused: _answer_refused,
            NotFoundException: _answer_no_route,
            MethodNotAllowedException: _answer_no_route,
            Exception: _answer_internal_error,
        },
        openapi_config=None,
        logging_config=None,
    )


def _answer_refused(_: AnyRequest, refused: Refused) -> Response[dict[str, Any]]:
    return Response(refused.body, status_code=refused.status, headers=refused.headers)


def _answer_no_route(request: AnyRequest, _: Exception) -> Response[dict[str, Any]]:
    return _answer_refused(request, not_found())


def _answer_internal_error(request: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    _log.error("the stand-in GitHub failed at %s %s", request.method, request.url.path, exc_info=error)
    return _answer_refused(request, Refused(500, "Server Error"))


def provide_app(request: AnyRequest, github: InjectedState) -> RegisteredApp:
    """The App that calls: only a JWT is accepted here."""
    _check_headers(request)
    app = github.apps.authenticate(request.headers.get("authorization", ""))
    _check_accept(request)
    return app


def provide_access(request: AnyRequest, github: InjectedState) -> Access | None:
    """The caller; None without a token. Reads the headers in GitHub's order."""
    _check_headers(request)
    token = token_of(request.headers.get("authorization", ""))
    access = github.access(token) if token else None
    if request.headers.get("authorization") and access is None:
        raise Refused(401, "Bad credentials")
    if access is not None and access.suspended:
        raise suspended()
    _check_accept(request)
    return access


def _check_headers(request: AnyRequest) -> None:
    if not request.headers.get("user-agent"):
        raise Refused(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.",
        )
    version = request.headers.get("x-github-api-version")
    if version is not None and version not in API_VERSIONS:
        raise Refused(400, f"API version {version!r} is not supported.")


def _check_accept(request: AnyRequest) -> None:
    accept = request.headers.get("accept", "*/*")
    if not any(_MEDIA_TYPE.fullmatch(part) for part in accept.split(",")):
        raise Refused(415, "Must accept 'application/json'")


def provide_repository(
    request: AnyRequest, owner: FromPath[str], name: FromPath[str], github: InjectedState, access: CallerAccess
) -> HostedRepository:
    """The repository of the path; else a redirect to its new name, or a refusal that depends on the caller."""
    operation = operation_of(request)
    repository = github.by_slug(f"{owner}/{name}")
    if repository is None or not github.may_see(repository, access):
        raise not_found(operation)
    if refusal := access_refusal(github.faults, repository.owner):
        raise refusal.rest
    if f"{owner}/{name}".lower() != repository.slug.lower():
        below = request.scope["raw_path"].decode("ascii").removeprefix(API_PREFIX).split("/")[4:]
        raise _moved(request, "/".join([f"/repositories/{repository.repository_id}", *below]))
    needs = needs_of(request)
    if needs and access is not None and not access.allows(*needs):
        raise not_permitted(operation, needs, is_app=access.is_app)
    if request.method != "GET":
        if access is None:
            raise Refused(401, "Requires authentication", operation=operation)
        if access.permissions is not None and not github.includes(repository, access):
            raise not_permitted(operation, needs, is_app=access.is_app)
        if not repository.push or (access.permissions is None and not github.may_push(repository, access)):
            raise forbidden(operation)
        if repository.archived:
            raise Refused(403, "Repository was archived so is read-only.", operation=operation)
    return repository


def provide_pull(request: AnyRequest, repository: RequestedRepository, number: FromPath[int]) -> HostedPullRequest:
    """The pull request of the path."""
    if not 1 <= number <= len(repository.pulls):
        raise not_found(operation_of(request))
    return repository.pulls[number - 1]


def _moved(request: AnyRequest, path: str) -> Refused:
    """A redirect that keeps the method, to this path of the API, quoted, with the same query."""
    query = request.scope["query_string"].decode("ascii")
    location = f"{str(request.base_url).rstrip('/')}{API_PREFIX}{path}" + (f"?{query}" if query else "")
    return moved(location, request.method)


@get(REPOSITORY, operation="/repos/repos#get-a-repository", sync_to_thread=True)
def get_repository(repository: RequestedRepository, access: CallerAccess, shapes: InjectedShapes) -> dict[str, Any]:
    """The repository, and the caller's permissions."""
    return shapes.full_repository(repository, access)


@get(
    f"{REPOSITORY}/branches",
    operation="/branches/branches#list-branches",
    needs=("contents:read",),
    sync_to_thread=True,
)
def list_branches(
    request: AnyRequest, repository: RequestedRepository, shapes: InjectedShapes
) -> Response[list[dict[str, Any]]]:
    """Branches by name, in pages; none in an empty repository."""
    page, link = page_of(request, sorted(repository.bare.heads().items()))
    return Response([shapes.short_branch(repository, name, sha) for name, sha in page], headers=link)


@get(
    f"{REPOSITORY}/branches/{{branch:path}}",
    operation="/branches/branches#get-a-branch",
    needs=("contents:read",),
    sync_to_thread=True,
)
def get_branch(
    request: AnyRequest, repository: RequestedRepository, branch: FromPath[str], shapes: InjectedShapes
) -> dict[str, Any]:
    """A branch and its commit. A renamed one redirects to its new name."""
    name = branch.removeprefix("/")
    sha = repository.bare.head(name)
    if sha is not None:
        return shapes.branch(repository, name, sha)
    if name in repository.renamed_branches:
        new = quote(repository.renamed_branches[name], safe="")
        raise _moved(request, f"/repos/{repository.slug}/branches/{new}")
    raise Refused(404, "Branch not found", operation=operation_of(request))


@get(
    f"{REPOSITORY}/git/ref/{{ref:path}}",
    operation="/git/refs#get-a-reference",
    needs=("contents:read",),
    sync_to_thread=True,
)
def get_ref(
    request: AnyRequest, repository: RequestedRepository, ref: FromPath[str], shapes: InjectedShapes
) -> dict[str, Any]:
    """One ref by its exact name, such as heads/main."""
    if not repository.bare.heads():
        raise Refused(409, "Git Repository is empty.", operation=operation_of(request))
    full = f"refs/{ref.removeprefix('/')}"
    sha = repository.bare.resolve(full)
    if sha is None:
        raise not_found(operation_of(request))
    return shapes.ref(repository, full, sha)


@get(
    f"{REPOSITORY}/git/matching-refs/{{ref:path}}",
    operation="/git/refs#list-matching-references",
    needs=("contents:read",),
    sync_to_thread=True,
)
def list_matching_refs(
    repository: RequestedRepository, ref: FromPath[str], shapes: InjectedShapes
) -> list[dict[str, Any]]:
    """The branches whose full name begins with that text."""
    start = f"refs/{ref.removeprefix('/')}"
    heads = sorted((f"refs/heads/{name}", sha) for name, sha in repository.bare.heads().items())
    return [shapes.ref(repository, full, sha) for full, sha in heads if full.startswith(start)]
