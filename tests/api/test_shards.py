"""Shards over HTTP."""

from datetime import UTC, datetime

from moonmind_appliance.models import LoginState, Shard
from tests.api.served import Served
from tests.shard_states import save_shard

SHARD_FIELDS = [
    "shard",
    "queue",
    "volume",
    "login",
    "login_reason",
    "account_email",
    "plan",
    "login_at",
    "checked_at",
    "access_expires_at",
    "last_refresh_at",
    "last_turn_at",
    "quota",
    "rests_until",
    "run_id",
    "by_api_key",
    "health",
    "events",
    "paused_at",
]


def test_shards_are_shown_to_operators(served: Served) -> None:
    """Operators see all shards, observed or not, with the run in progress."""
    now = datetime.now(UTC)
    save_shard(served.store, Shard(shard=0, login=LoginState.PRESENT, account_email="a@b.test", login_at=now))
    run_id = served.submit()
    served.take(run_id)
    shards = served.client("olga").get("/shards").json()["items"]
    assert [list(shard) for shard in shards] == [SHARD_FIELDS] * 3
    assert [shard["login"] for shard in shards] == ["present", "unknown", "unknown"]
    assert [shard["run_id"] for shard in shards] == [run_id, None, None]
    assert (shards[2]["queue"], shards[2]["volume"]) == ("codex-2", "codex_auth_2")
