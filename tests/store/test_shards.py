"""The stored state of a shard."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import LoginState, QuotaWindow, Shard
from moonmind_appliance.store import Store
from moonmind_appliance.store.shards import ShardChange, ShardEvent
from tests.shard_states import save_shard

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def test_never_observed(store: Store) -> None:
    """A shard that was never observed has an unknown login."""
    assert store.shards.get(4) == Shard(shard=4)
    assert store.shards.all(3) == [Shard(shard=0), Shard(shard=1), Shard(shard=2)]


def test_round_trip(store: Store) -> None:
    """All fields are read as they were saved."""
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
        cooldown_until=AT,
    )
    save_shard(store, shard)
    assert store.shards.get(1) == shard
    assert store.events.after(0) == []


def test_event_with_the_state(store: Store) -> None:
    """A saved state has its event in the same transaction."""
    save_shard(store, Shard(shard=2, login=LoginState.DEAD), event="shard.login_dead", data={"why": "revoked"})
    (event,) = store.events.after(0)
    assert (event.kind, event.shard, event.data) == ("shard.login_dead", 2, {"why": "revoked"})
    assert store.shards.get(2).login is LoginState.DEAD


UNREADABLE = [
    "{",
    "[]",
    "",
    "null",
    '{"shard": 0, "login": "married"}',
    '{"shard": 5}',
    '{"shard": 0, "quota": [{"used_percent": 1, "window_minutes": "soon"}]}',
    '{"shard": 0, "quota": [{"used_percent": null}]}',
    '{"shard": 0, "quota": [{"used_percent": -5}]}',
    '{"shard": 0, "quota": [{"used_percent": 1e300}]}',
    '{"shard": 0, "rests_until": "3000-99-99T00:00:00Z"}',
    '{"shard": 0, "login_reason": "' + "x" * 5000 + '"}',
    '{"shard": 0, "plan": ' + "[" * 100_000 + "}",
    "\x00\x01\x02",
]


@pytest.mark.parametrize("state", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_row_that_cannot_be_read_is_an_unknown_login(store: Store, data_dir: Path, state: str) -> None:
    """One event reports it; other shards are unchanged, a change applies to it, and a restart finds the same state."""
    save_shard(store, Shard(shard=1, login=LoginState.PRESENT))
    store.shards.all(2)
    with store.database.write() as connection:
        connection.execute("UPDATE shards SET state = ? WHERE shard = 0", (state,))
    assert store.shards.all(2) == [Shard(shard=0), Shard(shard=1, login=LoginState.PRESENT)]
    assert store.shards.get(0) == Shard(shard=0)
    (event,) = store.events.after(0)
    assert (event.kind, event.shard, "Shard 0" in event.data["why"]) == ("shard.state_unreadable", 0, True)
    assert len(event.data["why"]) <= 300
    again = Store.open(data_dir)
    assert again.shards.change(0, lambda known: ShardChange(msgspec.structs.replace(known, plan="plus"))).plan == "plus"
    again.close()


def test_a_change_of_a_row_that_cannot_be_read(store: Store) -> None:
    """It applies to an unknown login, and its event is written with it."""
    store.shards.all(1)
    with store.database.write() as connection:
        connection.execute("UPDATE shards SET state = '{' WHERE shard = 0")
    changed = store.shards.change(0, lambda known: ShardChange(known, [ShardEvent("shard.rested")]))
    assert changed == store.shards.get(0) == Shard(shard=0)
    assert [event.kind for event in store.events.after(0)] == ["shard.state_unreadable", "shard.rested"]


def test_the_account_and_the_pause_survive_an_unreadable_row(store: Store) -> None:
    """Otherwise any account's login would count as the one that was signed in, and a paused shard would accept runs."""
    store.shards.all(1)
    state = f'{{"shard": 0, "login": "married", "account": "abc", "paused_at": "{AT:%Y-%m-%dT%H:%M:%SZ}"}}'
    with store.database.write() as connection:
        connection.execute("UPDATE shards SET state = ?", (state,))
    assert store.shards.get(0) == Shard(shard=0, account="abc", paused_at=AT)


NAN = float("nan")


@pytest.mark.parametrize(
    "state",
    [
        Shard(shard=0, quota=[QuotaWindow(NAN)]),
        Shard(shard=0, quota=[QuotaWindow(float("inf"))]),
        Shard(shard=0, quota=[QuotaWindow(-1.0)]),
        Shard(shard=0, quota=[QuotaWindow(5.0, "soon")]),  # type: ignore[arg-type]
        Shard(shard=0, quota=[QuotaWindow(5.0, 10**30)]),
        Shard(shard=0, quota=[QuotaWindow(5.0)] * 9),
        Shard(shard=0, plan="x" * 10_000),
        Shard(shard=0, plan=["plus"]),  # type: ignore[arg-type]
        Shard(shard=0, cooldown_until="later"),  # type: ignore[arg-type]
    ],
    ids=range(9),
)
def test_an_invalid_state_is_not_written(store: Store, state: Shard) -> None:
    """Neither the state nor its event is written: the shard is unchanged."""
    known = Shard(shard=0, login=LoginState.PRESENT)
    save_shard(store, known)
    with pytest.raises(StoreError, match="Shard 0"):
        store.shards.change(0, lambda _known: ShardChange(state, [ShardEvent("shard.rests")]))
    assert store.shards.get(0) == known
    assert store.events.after(0) == []


def test_a_change_applies_to_the_stored_state(store: Store) -> None:
    """It is read and written in one transaction, with its events; changes of two processes are both kept."""
    save_shard(store, Shard(shard=1, plan="plus"))

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
    """Neither the state nor an event is written."""
    save_shard(store, Shard(shard=1, plan="plus"))

    def fail(_known: Shard) -> ShardChange:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.shards.change(1, fail)
    assert store.shards.get(1) == Shard(shard=1, plan="plus")
    assert store.events.after(0) == []


def test_a_shard_of_an_older_version_can_be_read(store: Store) -> None:
    """Newer fields have their defaults; no migration is needed."""
    store.shards.all(1)
    with store.database.write() as connection:
        connection.execute("UPDATE shards SET state = ?", ('{"shard": 0, "login": "present", "login_reason": ""}',))
    assert store.shards.get(0) == Shard(shard=0, login=LoginState.PRESENT)
