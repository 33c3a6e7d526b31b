"""Changes of the database by any process are noticed without reading a table."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import Run
from moonmind_appliance.store import DATABASE_NAME, NewEvents, Store, Watch

MakeRun = Callable[..., Run]


@pytest.fixture
def watch(store: Store) -> Iterator[Watch]:
    with Watch(store.database) as made:
        yield made


def test_a_commit_is_a_change_until_its_events_are_read(store: Store, make_run: MakeRun, watch: Watch) -> None:
    """Nothing is lost between two reads."""
    assert not watch.changed()
    run = store.runs.insert(make_run())
    assert (watch.changed(), watch.changed()) == (True, True)
    found = watch.new_events(0)
    assert (found.run_ids, found.shards) == ({run.run_id}, frozenset())
    assert not watch.changed()
    assert watch.new_events(found.last) == NewEvents(frozenset(), frozenset(), found.last)


def test_another_store_on_the_same_file_is_noticed(
    store: Store, make_run: MakeRun, watch: Watch, data_dir: Path
) -> None:
    """It stands for another process."""
    other = Store.open(data_dir)
    try:
        other.runs.insert(make_run())
    finally:
        other.close()
    assert watch.changed()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_was_removed_or_replaced_is_an_error(watch: Watch, data_dir: Path, *, replaced: bool) -> None:
    """SQLite itself would go on with the file that no longer has a name."""
    path = data_dir / DATABASE_NAME
    path.rename(data_dir / "moved")
    if replaced:
        path.touch()
    with pytest.raises(StoreError, match="replaced by another file" if replaced else "no longer exists"):
        watch.changed()
