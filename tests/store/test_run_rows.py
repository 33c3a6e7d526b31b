"""All rows of one run, exported and removed without interpreting them."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from moonmind_appliance.errors import Conflict, UnreadableRow
from moonmind_appliance.models import Run, RunStatus
from moonmind_appliance.store import Store

MakeRun = Callable[..., Run]
TABLES = {"events", "artifacts", "phases", "specifications", "idempotency_keys", "runs"}


def damage(store: Store, run_id: str, column: str, value: str) -> None:
    with store.database.write() as connection:
        connection.execute(
            f"UPDATE runs SET {column} = CAST({value} AS TEXT) WHERE run_id = ?",  # noqa: S608 - the test's own words
            (run_id,),
        )


def test_every_table_with_a_run_id_is_known(store: Store) -> None:
    """A table that is added later must be exported and removed, too."""
    with store.database.read() as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        with_run = {
            table
            for table in tables
            if any(row["name"] == "run_id" for row in connection.execute(f"PRAGMA table_info({table})"))
        }
    assert with_run == TABLES == set(store.run_rows.export("none"))


@pytest.mark.parametrize(("column", "value"), [("created_by", "'{nonsense'"), ("result_summary", "x'ff00'")])
def test_an_unreadable_run_is_exported_and_removed(
    store: Store, make_run: MakeRun, now: datetime, column: str, value: str
) -> None:
    """Its rows are in the export as they are; other runs keep theirs."""
    run, other = store.runs.insert(make_run()), store.runs.insert(make_run())
    damage(store, run.run_id, column, value)
    exported = json.loads(json.dumps(store.run_rows.export(run.run_id)))
    assert exported["specifications"] == [{"run_id": run.run_id, "text": run.specify_text}]
    assert exported["runs"][0][column] in ("{nonsense", "\\xff\x00")
    assert store.run_rows.remove(run.run_id, unreadable=True, now=now)
    assert not any(store.run_rows.export(run.run_id).values())
    assert not store.run_rows.remove(run.run_id, unreadable=True, now=now)
    assert store.runs.get(other.run_id) == other
    assert store.events.after(0)[-1].data == {"removed": run.run_id}


def test_a_run_that_has_not_ended_is_not_removed(store: Store, make_run: MakeRun, now: datetime) -> None:
    """Unless it is unreadable, and no worker has a claim on it."""
    run = store.runs.insert(make_run())
    with pytest.raises(Conflict, match="has not ended") as refusal:
        store.run_rows.remove(run.run_id, unreadable=False, now=now)
    assert (refusal.value.code, refusal.value.hint) == ("run_not_final", "Cancel it first.")
    store.queue.claim(0, "lease", now=now, lease_seconds=30)
    with pytest.raises(Conflict, match="has not ended"):
        store.run_rows.remove(run.run_id, unreadable=True, now=now)
    assert store.run_rows.remove(run.run_id, unreadable=True, now=now + timedelta(seconds=31))


def test_a_final_run_is_removed(store: Store, make_run: MakeRun, now: datetime) -> None:
    """With everything that belongs to it."""
    run = store.runs.insert(make_run())
    store.runs.request_cancel(run.run_id, now=now)
    assert store.run_rows.remove(run.run_id, unreadable=False, now=now)
    assert store.runs.get(run.run_id) is None
    assert store.runs.counts().get(RunStatus.CANCELLED, 0) == 0


def test_an_unreadable_run_has_an_error_of_its_own(store: Store, make_run: MakeRun) -> None:
    """Also without its specification text."""
    run, other = store.runs.insert(make_run()), store.runs.insert(make_run())
    damage(store, run.run_id, "created_by", "'7'")
    with store.database.write() as connection:
        connection.execute("DELETE FROM specifications WHERE run_id = ?", (other.run_id,))
    for run_id in (run.run_id, other.run_id):
        with pytest.raises(UnreadableRow, match=run_id):
            store.runs.get(run_id)
