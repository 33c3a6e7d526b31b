"""Local tokens: shown once, stored as a hash, revoked at once."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from moonmind_appliance.errors import Conflict, InvalidRequest, NotFound
from moonmind_appliance.models import Actor
from moonmind_appliance.store import Database, Store
from moonmind_appliance.store.migrations import MIGRATIONS


def test_actor(store: Store) -> None:
    """A token authenticates its name, as operator only if it was created so."""
    user = store.tokens.create("ci", operator=False, expires_at=None)
    boss = store.tokens.create("boss", operator=True, expires_at=datetime.now(UTC) + timedelta(days=1))
    assert store.tokens.actor(user) == Actor("local:ci", "ci", operator=False)
    assert store.tokens.actor(boss) == Actor("local:boss", "boss", operator=True)


def test_only_the_hash_is_kept(store: Store, data_dir: Path) -> None:
    """The token itself is in no file of the data folder."""
    token = store.tokens.create("ci", operator=False, expires_at=None)
    store.tokens.actor(token)
    assert token.startswith("mma_")
    assert len(token) == 47
    for file in data_dir.iterdir():
        assert token.encode() not in file.read_bytes()
        assert token[4:].encode() not in file.read_bytes()


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "A", lambda t: t.upper(), lambda _: "", lambda t: t[4:]]
)
def test_wrong_token(store: Store, change: object) -> None:
    """A text that is not exactly a token authenticates no one."""
    token = store.tokens.create("ci", operator=False, expires_at=None)
    assert store.tokens.actor(change(token)) is None  # type: ignore[operator]


def test_expired(store: Store) -> None:
    """An expired token authenticates no one; its name stays in use until it is revoked."""
    token = store.tokens.create("ci", operator=False, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert store.tokens.actor(token) is None
    with pytest.raises(Conflict):
        store.tokens.create("ci", operator=False, expires_at=None)


def test_revoked(store: Store) -> None:
    """A revoked token is invalid at once, stays listed, and frees its name for another token."""
    token = store.tokens.create("ci", operator=False, expires_at=None)
    store.tokens.revoke("ci")
    assert store.tokens.actor(token) is None
    with pytest.raises(NotFound):
        store.tokens.revoke("ci")
    again = store.tokens.create("ci", operator=True, expires_at=None)
    assert store.tokens.actor(token) is None
    assert store.tokens.actor(again) == Actor("local:ci#2", "ci", operator=True)
    assert [(token.name, token.revoked_at is None) for token in store.tokens.list()] == [("ci", False), ("ci", True)]


def test_list(store: Store) -> None:
    """The list has name, creation, expiry and last use."""
    until = datetime.now(UTC) + timedelta(days=90)
    token = store.tokens.create("ci", operator=True, expires_at=until)
    (before,) = store.tokens.list()
    assert (before.name, before.operator, before.expires_at, before.last_used_at) == ("ci", True, until, None)
    store.tokens.actor(token)
    (after,) = store.tokens.list()
    assert after.last_used_at is not None
    assert before.created_at <= after.last_used_at <= datetime.now(UTC)


@pytest.mark.parametrize("name", ["", " ", "-x", "a\nb", "a" * 101, "a/b", "ä"])
def test_names(store: Store, name: str) -> None:
    """A name that is not suitable for a log line is refused."""
    with pytest.raises(InvalidRequest):
        store.tokens.create(name, operator=False, expires_at=None)


def test_events_contain_no_token(store: Store) -> None:
    """Creation and revocation have events without the token."""
    token = store.tokens.create("ci", operator=True, expires_at=None)
    store.tokens.revoke("ci")
    events = store.events.after(0)
    assert [(event.kind, event.data) for event in events] == [
        ("token.created", {"name": "ci", "operator": True}),
        ("token.revoked", {"name": "ci"}),
    ]
    assert token not in str(events)


def test_full_disk(store: Store) -> None:
    """A token works with a full disk: only the time of its use is not stored."""
    token = store.tokens.create("ci", operator=True, expires_at=None)
    with store.database.read() as connection:
        connection.execute("PRAGMA query_only = ON")
    assert store.tokens.actor(token) is not None
    assert store.tokens.list()[0].last_used_at is None


def test_a_new_token_of_a_revoked_name_is_another_caller(store: Store) -> None:
    """It has no access to the runs of earlier tokens with that name. The displayed name is the same."""
    actors = []
    for _ in range(3):
        actors.append(store.tokens.actor(store.tokens.create("ann", operator=False, expires_at=None)))
        store.tokens.revoke("ann")
    assert [actor.username for actor in actors if actor] == ["ann"] * 3
    assert len({actor.subject for actor in actors if actor}) == 3


def test_no_name_makes_a_token_the_caller_of_another_one(store: Store) -> None:
    """The suffix for later tokens is not allowed in a name."""
    store.tokens.create("ann", operator=False, expires_at=None)
    store.tokens.revoke("ann")
    with pytest.raises(InvalidRequest):
        store.tokens.create("ann#2", operator=False, expires_at=None)


def test_a_token_can_be_exchanged_for_the_same_caller(store: Store) -> None:
    """With `keep_runs`: the caller of the last token of that name."""
    first = store.tokens.actor(store.tokens.create("ann", operator=False, expires_at=None))
    store.tokens.revoke("ann")
    second = store.tokens.actor(store.tokens.create("ann", operator=False, expires_at=None, keep_runs=True))
    assert first == second


def test_existing_tokens_still_see_their_runs(tmp_path: Path) -> None:
    """This is true for a migrated database, also for a token whose name was revoked once."""
    old = Database(tmp_path / "appliance.db")
    old.migrate(MIGRATIONS[:2])
    tokens = {}
    with old.write() as connection:
        for name, revoked in (("ann", "2026-01-01T00:00:00.000000Z"), ("ann", None), ("bob", None)):
            tokens[name] = token = "mma_" + secrets.token_urlsafe(32)
            connection.execute(
                "INSERT INTO tokens (name, sha256, operator, created_at, revoked_at) VALUES (?, ?, 0, '2026', ?)",
                (name, hashlib.sha256(token.encode()).digest(), revoked),
            )
    old.close()
    store = Store.open(tmp_path)
    assert store.tokens.actor(tokens["ann"]) == Actor("local:ann", "ann")
    assert store.tokens.actor(tokens["bob"]) == Actor("local:bob", "bob")
    store.close()
