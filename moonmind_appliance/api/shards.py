"""Shards over HTTP: for operators."""

from datetime import UTC, datetime

from litestar import Router, get

from moonmind_appliance.api.auth import require_operator
from moonmind_appliance.api.problems import BEHIND_A_TOKEN, problems
from moonmind_appliance.api.request import ApiRequest
from moonmind_appliance.api.schemas import ShardList, shard_detail
from moonmind_appliance.models import ShardName

_NEWEST_EVENTS = 10


@get(
    "/",
    sync_to_thread=True,
    operation_id="list_shards",
    summary="List shards",
    response_description="All shards, by number.",
    responses=problems("operator_only", *BEHIND_A_TOKEN),
)
def list_shards(request: ApiRequest) -> ShardList:
    """Each shard's login as last seen, its health in grades, quota, run in hand and newest events.

    Needs the operator role.
    """
    store, settings = request.parts.store, request.parts.settings
    now = datetime.now(UTC)
    in_hand = {run.shard: run.run_id for run in store.runs.in_progress()}
    return ShardList(
        [
            shard_detail(
                shard,
                ShardName(shard.shard, settings.codex_volume_prefix),
                in_hand.get(shard.shard),
                store.events.of_shard(shard.shard, limit=_NEWEST_EVENTS),
                now=now,
            )
            for shard in store.shards.all(settings.codex_shards)
        ]
    )


shards_router = Router("/shards", route_handlers=[list_shards], guards=[require_operator], tags=["shards"])
