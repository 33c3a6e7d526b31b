"""The stand-in's REST API: the operations that the appliance uses, as strict as GitHub's own.

Rules and messages are those of GitHub's docs and OpenAPI description, and those observed in its API's answers.
"""

import logging
import re
from typing import Any
from urllib.parse import quote

from litestar import Litestar, Response, Router, get, patch, post
from litestar.di import Provide
from litestar.exceptions import MethodNotAllowedException, NotFoundException
from litestar.params import FromPath, RawBody

from moonmind_appliance.rehearsal.github import request_bodies as bodies
from moonmind_appliance.rehearsal.github.access_refusals import access_refusal
from moonmind_appliance.rehearsal.github.app_routes import create_token, get_app, get_installation, revoke_token
from moonmind_appliance.rehearsal.github.apps import RegisteredApp
from moonmind_appliance.rehearsal.github.faults import Fault
from moonmind_appliance.rehearsal.github.git_objects import get_blob, get_tree
from moonmind_appliance.rehearsal.github.injected import (
    REPOSITORY,
    AnyRequest,
    CallerAccess,
    InjectedShapes,
    InjectedState,
    RequestedPull,
    RequestedRepository,
    needs_of,
    operation_of,
)
from moonmind_appliance.rehearsal.github.labels import add_issue_labels, create_label, list_issue_labels, list_labels
from moonmind_appliance.rehearsal.github.listing import page_of
from moonmind_appliance.rehearsal.github.refusals import (
    Refused,
    forbidden,
    invalid,
    not_found,
    not_permitted,
    problem,
    suspended,
    too_long,
)
from moonmind_appliance.rehearsal.github.settings_routes import get_actions_permissions, list_secrets, list_webhooks
from moonmind_appliance.rehearsal.github.shapes import Shapes
from moonmind_appliance.rehearsal.github.state import Access, GitHubState, HostedPullRequest, HostedRepository, token_of

API_PREFIX = "/api/v3"
API_VERSIONS = ("2022-11-28", "2026-03-10")

_LONGEST_TITLE = 256
_LONGEST_BODY = 65_536
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
    status, message = (301, "Moved Permanently") if request.method == "GET" else (307, "Temporary Redirect")
    refused = Refused(status, message, headers={"location": location})
    refused.body = {
        "message": message,
        "url": location,
        "documentation_url": refused.body["documentation_url"],
    }
    return refused


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


@get(
    f"{REPOSITORY}/pulls",
    operation="/pulls/pulls#list-pull-requests",
    needs=("pull_requests:read",),
    sync_to_thread=True,
)
def list_pulls(
    request: AnyRequest, repository: RequestedRepository, shapes: InjectedShapes
) -> Response[list[dict[str, Any]]]:
    """Pull requests by state, head and base, newest first, in pages."""
    query = request.query_params
    operation = operation_of(request)
    state = query.get("state", "open")
    if state not in ("open", "closed", "all"):
        raise invalid(operation, problem("PullRequest", "invalid", "state", value=state))
    sort = query.get("sort", "created")
    if sort not in ("created", "updated", "popularity", "long-running"):
        raise invalid(operation, problem("PullRequest", "invalid", "sort", value=sort))
    direction = query.get("direction", "desc" if sort == "created" else "asc")
    if direction not in ("asc", "desc"):
        raise invalid(operation, problem("PullRequest", "invalid", "direction", value=direction))
    pulls = [pull for pull in repository.pulls if state in ("all", pull.state)]
    head_owner, colon, head = query.get("head", "").partition(":")
    if colon:  # without an owner the filter is ignored, as GitHub does
        pulls = [p for p in pulls if p.head == head and repository.owner.lower() == head_owner.lower()]
    if base := query.get("base"):
        pulls = [p for p in pulls if p.base == base]
    pulls.sort(
        key=lambda p: (p.updated_at if sort == "updated" else p.created_at, p.number),
        reverse=direction == "desc",
    )
    page, link = page_of(request, pulls)
    return Response([shapes.pull(repository, pull) for pull in page], headers=link)


@post(
    f"{REPOSITORY}/pulls",
    operation="/pulls/pulls#create-a-pull-request",
    needs=("pull_requests:write",),
    sync_to_thread=True,
)
def create_pull(
    *,
    request: AnyRequest,
    repository: RequestedRepository,
    access: CallerAccess,
    github: InjectedState,
    shapes: InjectedShapes,
    body: RawBody,
) -> Response[dict[str, Any]]:
    """Open a pull request, unless one of GitHub's rules forbids it."""
    operation = operation_of(request)
    given = bodies.read(
        body,
        {
            "title": bodies.STRING,
            "head": bodies.REQUIRED_STRING,
            "head_repo": bodies.STRING,
            "base": bodies.REQUIRED_STRING,
            "body": bodies.STRING_OR_NULL,
            "maintainer_can_modify": bodies.BOOLEAN,
            "draft": bodies.BOOLEAN,
            "issue": bodies.INTEGER,
        },
        operation,
    )
    _check_texts(operation, given.get("title", ""), given.get("body"))
    if given.get("draft") and (not repository.draft_supported or github.faults.take(Fault.DRAFT_REFUSED)):
        raise Refused(422, "Draft pull requests are not supported in this repository.", operation=operation)
    with github.lock:
        head = _own_branch(repository, given["head"], given.get("head_repo"))
        if github.faults.take(Fault.PR_RACED):
            github.open_as_other_user(repository, head)
        head_sha = _check_branches(operation, repository, head, given["base"])
        pull = github.open_pull_request(
            repository,
            title=given["title"],
            body=given.get("body"),
            head=head,
            base=given["base"],
            head_sha=head_sha,
            draft=given.get("draft", False),
            user=access.login if access else "",
            maintainer_can_modify=given.get("maintainer_can_modify", False),
        )
        shape = shapes.full_pull(repository, pull)
    return Response(shape, status_code=201, headers={"location": shape["url"]})


def _check_texts(operation: str, title: str, body: str | None) -> None:
    errors = []
    if not title.strip():
        errors.append(problem("Issue", "missing_field", "title"))
    if len(title) > _LONGEST_TITLE:
        errors.append(too_long("Issue", "title", _LONGEST_TITLE))
    if len(body or "") > _LONGEST_BODY:
        errors.append(too_long("Issue", "body", _LONGEST_BODY))
    if errors:
        raise invalid(operation, *errors)


def _own_branch(repository: HostedRepository, head: str, head_repo: str | None) -> str:
    """The branch in a head; a fork's counts as a branch that does not exist."""
    owner, colon, branch = head.partition(":")
    if not colon:
        owner, branch = repository.owner, head
    names = {repository.name.lower(), repository.slug.lower(), None}
    foreign = owner.lower() != repository.owner.lower() or (head_repo and head_repo.lower()) not in names
    return "" if foreign else branch


def _check_branches(operation: str, repository: HostedRepository, head: str, base: str) -> str:
    """The head's commit id.

    Raises:
        Refused: a branch is missing, nothing to merge, or a pull request for the two is open.
    """
    head_sha, base_sha = repository.bare.head(head), repository.bare.head(base)
    missing = [("head", head_sha), ("base", base_sha)]
    errors = [problem("PullRequest", "invalid", field) for field, sha in missing if sha is None]
    if head_sha is None or base_sha is None:
        raise invalid(operation, *errors)
    if any(p.state == "open" and (p.head, p.base) == (head, base) for p in repository.pulls):
        message = f"A pull request already exists for {repository.owner}:{head}."
        raise invalid(operation, problem("PullRequest", "custom", message=message))
    if not repository.bare.share_history(base_sha, head_sha):
        message = f"The {head} branch has no history in common with {base}"
        raise invalid(operation, problem("PullRequest", "custom", message=message))
    if repository.bare.difference(base_sha, head_sha).commits == 0:
        message = f"No commits between {base} and {head}"
        raise invalid(operation, problem("PullRequest", "custom", message=message))
    return head_sha


@get(
    f"{REPOSITORY}/pulls/{{number:int}}",
    operation="/pulls/pulls#get-a-pull-request",
    needs=("pull_requests:read",),
    sync_to_thread=True,
)
def get_pull(repository: RequestedRepository, pull: RequestedPull, shapes: InjectedShapes) -> dict[str, Any]:
    """One pull request."""
    return shapes.full_pull(repository, pull)


@patch(
    f"{REPOSITORY}/pulls/{{number:int}}",
    operation="/pulls/pulls#update-a-pull-request",
    needs=("pull_requests:write",),
    sync_to_thread=True,
)
def update_pull(
    *,
    request: AnyRequest,
    repository: RequestedRepository,
    pull: RequestedPull,
    github: InjectedState,
    shapes: InjectedShapes,
    body: RawBody,
) -> dict[str, Any]:
    """Change title, body, state or base."""
    operation = operation_of(request)
    given = bodies.read(
        body,
        {
            "title": bodies.STRING,
            "body": bodies.STRING_OR_NULL,
            "state": bodies.STRING,
            "base": bodies.STRING,
            "maintainer_can_modify": bodies.BOOLEAN,
        },
        operation,
    )
    _check_texts(operation, given.get("title", pull.title), given.get("body", pull.body))
    state = given.get("state", pull.state)
    if state not in ("open", "closed"):
        raise invalid(operation, problem("PullRequest", "invalid", "state", value=state))
    with github.lock:
        if given.get("base", pull.base) != pull.base:
            _check_branches(operation, repository, pull.head, given["base"])
        github.change_pull_request(pull, state=state, **{k: v for k, v in given.items() if k != "state"})
        return shapes.full_pull(repository, pull)
