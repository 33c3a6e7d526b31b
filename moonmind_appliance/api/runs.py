"""Runs over HTTP: submit, list, show, cancel, retry."""

import re
from itertools import islice
from typing import Annotated, Any
from uuid import UUID

from litestar import HttpMethod, Request, Response, Router, get, post, route
from litestar.datastructures import ResponseHeader
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter

from moonmind_appliance.api.auth import require_token
from moonmind_appliance.api.paths import run_path
from moonmind_appliance.api.problems import BEHIND_A_TOKEN, problems
from moonmind_appliance.api.repeated_answers import REPEATABLE
from moonmind_appliance.api.request import ApiRequest, check_headers
from moonmind_appliance.api.writing import writes
from moonmind_appliance.errors import FieldProblem, InvalidRequest
from moonmind_appliance.models import Run, RunStatus
from moonmind_appliance.runs.cancel import cancel_run
from moonmind_appliance.runs.retry import retry_run
from moonmind_appliance.runs.submit import SubmitRequest, submit_run
from moonmind_appliance.views.cursor import place_of
from moonmind_appliance.views.run_detail import RunDetail, run_detail
from moonmind_appliance.views.run_summary import RunAccepted, RunFilter, RunPage, run_accepted, run_page

LONGEST_PAGE = 200

_FILTERS = ("status", "repository", "external_ref", "limit", "cursor")
_LOCATION = ResponseHeader("Location", documentation_only=True, required=True, description="URL of the run.")


@post(
    "/",
    status_code=202,
    operation_id="submit_run",
    summary="Submit a run",
    response_headers=[_LOCATION],
    response_description="The run is accepted and queued.",
    responses=problems(
        "malformed_json",
        "repository_not_allowed",
        "idempotency_key_reused",
        "request_timeout",
        "too_large",
        "unsupported_media_type",
        "too_many_submissions",
        "too_many_queued_runs",
        "queue_full",
        "disk_blocked",
        "draining",
        *BEHIND_A_TOKEN,
    ),
)
@writes
def submit(
    request: ApiRequest,
    data: JSONBody[SubmitRequest],
    idempotency_key: Annotated[
        str | None,
        HeaderParameter(
            name="Idempotency-Key",
            description=(
                "1 to 255 printable ASCII characters. The same key with the same body returns the first "
                "run; with a different body, 409. Keys are per caller and never expire."
            ),
        ),
    ] = None,
) -> Response[RunAccepted]:
    """Store a run, and wake a shard. The run ends with a draft pull request, or with the reason why there is none."""
    return _accepted(submit_run(request.parts.resources, request.actor, data, idempotency_key=idempotency_key))


async def check_parameters(request: Request[Any, Any, Any]) -> None:
    """Check all parameters of the list at once, before Litestar does: it reads `null` as no value.

    An unknown or repeated one is refused: a misspelled filter would be ignored, and so would one of two values.

    Raises:
        InvalidRequest: lists all problems.
    """
    await check_headers(request)
    given = request.query_params
    known = ", ".join(sorted(_FILTERS))
    problems = [
        FieldProblem(name[:100], f"Unknown parameter. Known parameters: {known}.")
        for name in islice((name for name in given if name not in _FILTERS), 20)
    ]
    for name in _FILTERS:
        values = given.getall(name, [])
        if len(values) > 1:
            problems.append(FieldProblem(name, "Given more than once."))
        elif values and (why := _parameter_problem(name, values[0])):
            problems.append(FieldProblem(name, why))
    if problems:
        raise InvalidRequest("The request is not valid.", hint="`errors` lists what to change.", fields=problems)


def _parameter_problem(name: str, value: str) -> str | None:
    if name == "status" and value not in set(RunStatus):
        return f"Unknown run status. Send one of: {', '.join(RunStatus)}."
    if name == "limit" and not (re.fullmatch(r"[0-9]{1,9}", value) and 1 <= int(value) <= LONGEST_PAGE):
        return f"Expected an integer from 1 to {LONGEST_PAGE}."
    if name == "cursor":
        try:
            place_of(value)
        except InvalidRequest as error:
            return error.fields[0].message
    return None


@get(
    "/",
    sync_to_thread=True,
    before_request=check_parameters,
    opt={REPEATABLE: True},
    operation_id="list_runs",
    summary="List runs",
    response_description="One page.",
    responses=problems(*BEHIND_A_TOKEN),
)
def list_runs(  # noqa: PLR0917 - Litestar calls handlers by name
    request: ApiRequest,
    status: Annotated[RunStatus | None, QueryParameter(description="Only runs in this status.")] = None,
    repository: Annotated[str | None, QueryParameter(description="Only runs for this owner/name, in any case.")] = None,
    external_ref: Annotated[str | None, QueryParameter(description="Only runs with exactly this reference.")] = None,
    limit: Annotated[
        int, QueryParameter(ge=1, le=LONGEST_PAGE, description="Maximum number of runs on the page.")
    ] = 50,
    cursor: Annotated[str | None, QueryParameter(description="`next_cursor` of the previous page.")] = None,
) -> RunPage:
    """List the caller's runs, newest first; an operator sees all runs. New runs do not move the pages."""
    wanted = RunFilter(
        created_by=None if request.actor.operator else request.actor.subject,
        statuses=frozenset() if status is None else frozenset({status}),
        repository=repository,
        external_ref=external_ref,
    )
    return run_page(request.parts.resources.store, wanted, limit=limit, cursor=cursor)


@get(
    "/{run_id:uuid}",
    sync_to_thread=True,
    opt={REPEATABLE: True},
    operation_id="get_run",
    summary="Get a run",
    response_description="The run with its phases and artifacts.",
    responses=problems("not_found", "run_not_found", *BEHIND_A_TOKEN),
)
def get_run(request: ApiRequest, run_id: FromPath[UUID]) -> RunDetail:
    """Get all details of a run. To follow it, use its event stream."""
    return run_detail(request.parts.resources.store, request.actor, str(run_id))


@post(
    "/{run_id:uuid}/cancel",
    status_code=202,
    operation_id="cancel_run",
    summary="Cancel a run",
    response_headers=[_LOCATION],
    response_description="A queued run is cancelled at once; a running one is cancelled within seconds.",
    responses=problems("not_found", "run_not_found", "run_final", *BEHIND_A_TOKEN),
)
@writes
def cancel(request: ApiRequest, run_id: FromPath[UUID]) -> Response[RunAccepted]:
    """Cancel a run that is queued or in progress. Safe to repeat until the run has ended."""
    return _accepted(cancel_run(request.parts.resources, request.actor, str(run_id)))


@post(
    "/{run_id:uuid}/retry",
    status_code=202,
    operation_id="retry_run",
    summary="Retry a run",
    response_headers=[_LOCATION],
    response_description="The run is queued again.",
    responses=problems(
        "not_found",
        "run_not_found",
        "run_not_retryable",
        "specification_removed",
        "too_many_queued_runs",
        "queue_full",
        "draining",
        *BEHIND_A_TOKEN,
    ),
)
@writes
def retry(request: ApiRequest, run_id: FromPath[UUID]) -> Response[RunAccepted]:
    """Queue a failed or cancelled run again. It continues at its first phase that has not succeeded."""
    return _accepted(retry_run(request.parts.resources, request.actor, str(run_id)))


@route("/", http_method=HttpMethod.OPTIONS, sync_to_thread=False, include_in_schema=False)
def runs_options() -> Response[None]:
    """Litestar's own answer for a path with two methods names only one of them."""
    return Response(None, status_code=204, headers={"Allow": "GET, OPTIONS, POST"})


def _accepted(run: Run) -> Response[RunAccepted]:
    return Response(run_accepted(run), status_code=202, headers={"Location": run_path(run.run_id)})


runs_router = Router(
    "/runs",
    route_handlers=[runs_options, submit, list_runs, get_run, cancel, retry],
    guards=[require_token],
    tags=["runs"],
)
