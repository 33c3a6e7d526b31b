"""Databases of released versions work after an upgrade, and the older version works after a downgrade.

`old_databases/` has a dump of a database that the code of each version made: a run that succeeded, one in progress
whose process was killed, one in the queue, and a token.
"""

import sqlite3
import subprocess
from pathlib import Path

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.execution.recover import recover
from moonmind_appliance.execution.resume import phases_to_do
from moonmind_appliance.models import PhaseName, RunFilter, RunStatus
from moonmind_appliance.store import Database, Store
from moonmind_appliance.store.database_copy import facts_of, open_database
from moonmind_appliance.store.migrations import MIGRATIONS
from tests.appliance_under_test import FEATURE, ApplianceUnderTest, ends, make_resources
from tests.backed_up import backup_of, restored
from tests.containers.fake_exec import FakeExec
from tests.fakes import NOW

DUMPS = sorted((Path(__file__).parent / "old_databases").glob("*.sql"))
SUCCEEDED, KILLED, QUEUED = (f"{number}0000000-0000-4000-8000-000000000000" for number in (1, 2, 3))
TOKEN = "mma_" + "a" * 43
TURNS = [PhaseName.SPECKIT_SPECIFY, PhaseName.SPECKIT_PLAN, PhaseName.SPECKIT_TASKS]


@pytest.mark.parametrize("phase", TURNS[1:])
def test_a_run_of_the_version_before_outputs_continues(appliance: ApplianceUnderTest, phase: PhaseName) -> None:
    """It does not repeat finished turns, and its pull request contains what they wrote."""

    def shut_down(_: FakeExec) -> None:
        appliance.executor.stop()

    appliance.agent.acts[phase] = [shut_down]
    run = appliance.submit()
    appliance.work()
    assert appliance.stored(run).status is RunStatus.QUEUED
    with appliance.store.database.write() as connection:
        connection.execute("ALTER TABLE phases DROP COLUMN output")
        connection.execute("DELETE FROM migrations WHERE name = 'm0005_outputs_of_phases'")
    appliance.store.database.migrate()
    appliance.after()
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [*TURNS[: TURNS.index(phase) + 1], *TURNS[TURNS.index(phase) :]]
    (pull,) = appliance.github.pull_requests(appliance.slug)
    assert pull.title == "Dark mode"
    assert f"`{FEATURE}/spec.md`" in pull.body
    assert "people have eyes" in pull.body


@pytest.fixture(params=DUMPS, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data folder of that version."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    connection = sqlite3.connect(folder / "appliance.db")
    connection.executescript(request.param.read_text(encoding="utf-8"))
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return folder


def migrations_of(folder: Path) -> list[str]:
    with open_database(folder / "appliance.db") as connection:
        return facts_of(connection).migrations


def test_there_is_a_database_of_each_version() -> None:
    """The oldest has one migration."""
    assert [path.stem for path in DUMPS] == ["0.1.0", "0.2.0"]


def test_upgrade(old: Path) -> None:
    """Runs, texts, lists and tokens are as before; the killed run is queued, and repeats no finished phase."""
    store = Store.open(old)
    assert migrations_of(old) == [step.__name__ for step in MIGRATIONS]
    recovered = recover(make_resources(store, old))
    assert recovered.runs_requeued == [KILLED]
    runs = {run_id: store.runs.get(run_id) for run_id in (SUCCEEDED, KILLED, QUEUED)}
    assert [run.status for run in runs.values() if run] == [RunStatus.SUCCEEDED, RunStatus.QUEUED, RunStatus.QUEUED]
    assert all(run.specify_text.endswith("Add a basket \u2013 with 'quotes'.") for run in runs.values() if run)
    assert [run.run_id for run in store.run_lists.page(RunFilter(text="acme/other"), limit=5)] == [QUEUED]
    actor = store.tokens.actor(TOKEN)
    assert actor is not None
    assert (actor.subject, actor.operator) == ("local:ann", True)
    claimed = store.queue.claim(0, "N", now=NOW, lease_seconds=60)
    assert claimed is not None
    assert claimed.run_id == KILLED
    assert phases_to_do(claimed) == [
        PhaseName.START_JOB_CONTAINER,
        PhaseName.SPECKIT_PLAN,
        PhaseName.SPECKIT_TASKS,
        PhaseName.COMMIT_PUSH,
        PhaseName.OPEN_PR,
    ]
    store.close()


def test_downgrade(old: Path) -> None:
    """The older version refuses the newer database; after the commands of its refusal it works with its own again."""
    before = migrations_of(old)
    store = Store.open(old)
    store.runs.request_cancel(QUEUED, now=NOW)
    store.close()
    older = [step for step in MIGRATIONS if step.__name__ in before]
    database = Database(old / "appliance.db")
    if len(older) < len(MIGRATIONS):
        with pytest.raises(StoreError, match="created by a newer version") as refusal:
            database.migrate(older)
        database.close()
        subprocess.run(["sh", "-e", "-c", refusal.value.hint.partition("stop it and run: ")[2]], check=True)
        database = Database(old / "appliance.db")
    database.migrate(older)
    with database.read() as connection:
        status = connection.execute("SELECT status FROM runs WHERE run_id = ?", (QUEUED,)).fetchone()[0]
    database.close()
    assert migrations_of(old) == before
    assert status == ("queued" if len(older) < len(MIGRATIONS) else "cancelled")


def test_a_backup_of_an_older_version(old: Path, tmp_path: Path) -> None:
    """Backed up without being migrated, restored into this version."""
    before = migrations_of(old)
    content, made = backup_of(old, tmp_path / "work")
    assert made.migrations == migrations_of(old) == before
    done = restored(content, tmp_path / "new")
    assert done.runs_requeued == [KILLED]
    store = Store.open(tmp_path / "new")
    assert store.runs.get(SUCCEEDED) is not None
    assert store.artifacts.list(SUCCEEDED) == []
    store.close()
