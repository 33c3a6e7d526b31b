"""The stand-in's pull requests: listed, opened, read and changed, with GitHub's rules for them.

Rules and messages are those of GitHub's docs and OpenAPI description, and those observed in its API's answers.
"""

from typing import Any

from litestar import Response, get, patch, post
from litestar.params import RawBody

from moonmind_appliance.rehearsal.github import request_bodies as bodies
from moonmind_appliance.rehearsal.github.faults import Fault
from moonmind_appliance.rehearsal.github.injected import (
    REPOSITORY,
    AnyRequest,
    CallerAccess,
    InjectedShapes,
    InjectedState,
    RequestedPull,
    RequestedRepository,
    operation_of,
)
from moonmind_appliance.rehearsal.github.listing import page_of
from moonmind_appliance.rehearsal.github.refusals import Refused, invalid, problem, too_long
from moonmind_appliance.rehearsal.github.state import HostedRepository

_LONGEST_TITLE = 256
_LONGEST_BODY = 65_536


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
