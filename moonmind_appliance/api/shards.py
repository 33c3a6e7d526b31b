"""Shards over HTTP: for operators."""

from litestar import Router, get

from moonmind_appliance.api.auth import require_operator
from moonmind_appliance.api.problems import BEHIND_A_TOKEN, problems
from moonmind_appliance.api.request import ApiRequest
from moonmind_appliance.api.schemas import ShardList
from moonmind_appliance.views.shard_view import shard_views


@get(
    "/",
    sync_to_thread=True,
    operation_id="list_shards",
    summary="List shards",
    response_description="All shards, by number.",
    responses=problems("operator_only", *BEHIND_A_TOKEN),
)
def list_shards(request: ApiRequest) -> ShardList:
    """List the shards: each one's last observed login state, health, quota, current run and newest events.

    Needs the operator role.
    """
    resources = request.parts.resources
    return ShardList(shard_views(resources.store, resources.settings, now=resources.clock()))


shards_router = Router("/shards", route_handlers=[list_shards], guards=[require_operator], tags=["shards"])
