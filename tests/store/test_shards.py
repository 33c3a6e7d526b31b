"""What is known of a shard."""

from datetime import UTC, datetime

import msgspec
import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import LoginState, QuotaWindow, Shard
from moonmind_appliance.store import Store
from moonmind_appliance.store.shards import ShardChange, ShardEvent

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def test_first_sight(store: Store) -> None:
    """A shard that was never seen has an unknown login."""
    assert store.shards.get(4) == Shard(shard=4)
    assert store.shards.all(3) == [Shard(shard=0), Shard(shard=1), Shard(shard=2)]


def test_round_trip(store: Store) -> None:
    """Everything that is kept comes back as it was."""
    shard = Shard(
        shard=1,
        login=LoginState.PRESENT,
        login_reason="seen",
        account_email="ops@example.org",
        plan="plus",
        login_at=AT,
        checked_at=AT,
        access_expires_at=AT,
        last_refresh_at=AT,
        last_turn_at=AT,
        quota=[QuotaWindow(12.5, 300, AT), QuotaWindow(1.0)],
        rests_until=AT,
    )
    store.shards.save(shard)
    assert store.shards.get(1) == shard
    assert store.events.after(0) == []


def test_event_with_the_state(store: Store) -> None:
    """A saved state brings its event in the same transaction."""
    store.shards.save(Shard(shard=2, login=LoginState.DEAD), event="shard.login_dead", data={"why": "revoked"})
    (event,) = store.events.after(0)
    assert (event.kind, event.shard, event.data) == ("shard.login_dead", 2, {"why": "revoked"})
    assert store.shards.get(2).login is LoginState.DEAD


@pytest.mark.parametrize("state", ["{", '{"shard": 0, "login": "married"}', "[]"])
def test_unreadable(store: Store, state: str) -> None:
    """A state that cannot be read names its shard and leaves the others."""
    store.shards.all(2)
    with store.database.write() as connection:
        connection.execute("UPDATE shards SET state = ? WHERE shard = 0", (state,))
    with pytest.raises(StoreError, match="Shard 0") as refusal:
        store.shards.get(0)
    assert refusal.value.hint
    assert store.shards.get(1) == Shard(shard=1)


def test_a_change_builds_on_what_is_stored_then(store: Store) -> None:
    """Read and written in one transaction, with its events; what two processes change is both kept."""
    store.shards.save(Shard(shard=1, plan="plus"))

    def sign_in(known: Shard) -> ShardChange:
        return ShardChange(
            msgspec.structs.replace(known, login=LoginState.PRESENT), [ShardEvent("shard.login_present", {"why": ""})]
        )

    changed = store.shards.change(1, sign_in)
    assert changed == store.shards.get(1) == Shard(shard=1, plan="plus", login=LoginState.PRESENT)
    store.events.add("run.claimed", run_id="r", shard=1)
    store.shards.change(1, lambda known: ShardChange(known, [ShardEvent("shard.rested")]))
    assert [event.kind for event in store.events.of_shard(1)] == ["shard.rested", "shard.login_present"]
    assert store.events.of_shard(2) == []


def test_a_change_that_fails_changes_nothing(store: Store) -> None:
    """Neither the state nor an event."""
    store.shards.save(Shard(shard=1, plan="plus"))

    def fail(_known: Shard) -> ShardChange:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.shards.change(1, fail)
    assert store.shards.get(1) == Shard(shard=1, plan="plus")
    assert store.events.after(0) == []


def test_a_shard_of_an_older_version_can_be_read(store: Store) -> None:
    """Fields that came later have their defaults; no migration is needed."""
    store.shards.all(1)
    with store.database.write() as connection:
        connection.execute("UPDATE shards SET state = ?", ('{"shard": 0, "login": "present", "login_reason": ""}',))
    assert store.shards.get(0) == Shard(shard=0, login=LoginState.PRESENT)
