"""A commit of any process changes the version; to read it never takes long."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moonmind_appliance.models import Run
from moonmind_appliance.store import DATABASE_NAME, Store
from moonmind_appliance.store.data_version import DataVersion

MakeRun = Callable[..., Run]


@pytest.fixture
def version(store: Store) -> Iterator[DataVersion]:
    made = DataVersion(store.database)
    yield made
    made.close()


def test_it_changes_with_each_commit_only(store: Store, make_run: MakeRun, version: DataVersion) -> None:
    """Reading the database changes nothing."""
    before = version.now()
    run = store.runs.insert(make_run())
    after = version.now()
    assert None not in {before, after}
    assert before != after
    store.runs.get(run.run_id)
    assert version.now() == after


def test_another_process_changes_it(data_dir: Path, store: Store, version: DataVersion) -> None:
    """Another connection with another store stands for it."""
    del store
    before = version.now()
    other = Store.open(data_dir)
    try:
        other.tokens.create("ann", operator=False, expires_at=None)
    finally:
        other.close()
    assert version.now() != before


def test_that_of_the_tokens_changes_with_tokens_only(store: Store, make_run: MakeRun, version: DataVersion) -> None:
    """Neither a run nor the record of a token's use changes it; a new token and a revocation do."""
    token = store.tokens.create("ann", operator=False, expires_at=None)
    seen = [version.of_tokens(version.now())]
    store.runs.insert(make_run())
    assert store.tokens.actor(token)
    assert version.of_tokens(version.now()) == seen[0]
    store.tokens.create("bob", operator=False, expires_at=None)
    seen.append(version.of_tokens(version.now()))
    store.tokens.revoke("ann")
    seen.append(version.of_tokens(version.now()))
    assert None not in seen
    assert len(set(seen)) == 3


def test_another_file_has_other_versions(data_dir: Path, store: Store, version: DataVersion) -> None:
    """SQLite's number could be the same by chance. Without a file there is no version, and no error."""
    del store
    before = version.now()
    path = data_dir / DATABASE_NAME
    path.rename(data_dir / "moved")
    assert version.now() is None
    assert version.of_tokens(None) is None
    (data_dir / "moved").rename(path)
    assert version.now() not in {before, None}


def test_it_does_not_wait_for_a_lock(data_dir: Path, store: Store, version: DataVersion) -> None:
    """A program that has the whole file for itself lets no one read: there is no version until it ends."""
    store.close()
    other = sqlite3.connect(data_dir / DATABASE_NAME, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("UPDATE appliance SET value = value")
    assert version.now() is None
    other.execute("COMMIT")
    other.close()
    assert version.now() is not None
