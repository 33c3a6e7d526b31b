"""Drain and resume over HTTP: for operators."""

from litestar import HttpMethod, Response, Router, delete, get, put, route

from moonmind_appliance.api.auth import require_operator
from moonmind_appliance.api.problems import BEHIND_A_TOKEN, problems
from moonmind_appliance.api.request import ApiRequest
from moonmind_appliance.api.writing import writes
from moonmind_appliance.resources import Resources
from moonmind_appliance.runs import drain as verbs
from moonmind_appliance.views.drain_view import DrainView, drain_view


@get(
    "/",
    sync_to_thread=True,
    operation_id="get_drain",
    summary="Show whether the appliance is drained",
    response_description="Whether the appliance is drained, and which runs are running.",
    responses=problems("operator_only", *BEHIND_A_TOKEN),
)
def get_drain(request: ApiRequest) -> DrainView:
    """Show whether the appliance is drained, and which runs are running. Needs the operator role."""
    return _view(request.parts.resources)


@put(
    "/",
    operation_id="drain",
    summary="Drain the appliance",
    response_description="The appliance starts no more runs.",
    responses=problems("operator_only", *BEHIND_A_TOKEN),
)
@writes
def put_drain(request: ApiRequest) -> DrainView:
    """Start no more runs. Those in progress continue; new ones are accepted and wait. Lasts until DELETE. Idempotent.

    Needs the operator role.
    """
    verbs.drain(request.parts.resources)
    return _view(request.parts.resources)


@delete(
    "/",
    status_code=200,
    operation_id="resume",
    summary="Resume the appliance",
    response_description="The appliance starts runs.",
    responses=problems("operator_only", *BEHIND_A_TOKEN),
)
@writes
def delete_drain(request: ApiRequest) -> DrainView:
    """Start runs again; those that waited start automatically. Idempotent. Needs the operator role."""
    verbs.resume(request.parts.resources)
    return _view(request.parts.resources)


@route("/", http_method=HttpMethod.OPTIONS, sync_to_thread=False, include_in_schema=False)
def drain_options() -> Response[None]:
    """Litestar's own answer for a path with several methods names only one of them."""
    return Response(None, status_code=204, headers={"Allow": "DELETE, GET, OPTIONS, PUT"})


def _view(resources: Resources) -> DrainView:
    return drain_view(resources.store, now=resources.clock())


drain_router = Router(
    "/drain",
    route_handlers=[drain_options, get_drain, put_drain, delete_drain],
    guards=[require_operator],
    tags=["shards"],
)
