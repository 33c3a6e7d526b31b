"""The database stays small: what a run leaves in it is bounded."""

from moonmind_appliance.store import Store
from tests.typical_runs import not_durable, remove_what_expires, store_runs

KIB = 1024


def used(store: Store) -> int:
    """The bytes of the database that are in use."""
    with store.database.read() as connection:
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
        return (pages - free) * size


def test_kib_a_run(store: Store) -> None:
    """Less than 15 KiB for good, and 35 as long as its artifacts and events are kept."""
    not_durable(store)
    remove_what_expires(store, store_runs(store, 12))
    empty = used(store)
    ids = store_runs(store, 24)
    new = used(store) - empty
    remove_what_expires(store, ids)
    kept = used(store) - empty
    run = store.runs.get(ids[-1])
    assert run is not None
    assert run.output
    assert kept / len(ids) < 15 * KIB
    assert new / len(ids) < 35 * KIB
