"""Migrations run one by one, each in a transaction, and never without a backup."""

import json
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import (
    PHASE_ORDER,
    AgentTurn,
    CommittedChange,
    LeftOutPath,
    OpenedPullRequest,
    PreparedJob,
    Run,
    RunFilter,
    SpecifyTurn,
    WrittenFeature,
)
from moonmind_appliance.store import Database, Store
from moonmind_appliance.store.migrations import MIGRATIONS


def m9001_wishes(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE wishes (wish TEXT)")


def m9002_fails(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE half_done (x)")
    connection.execute("INSERT INTO absent VALUES (1)")


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()
    return names


def records(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM migrations ORDER BY rowid")]
    connection.close()
    return names


def _columns_of(store: Store, table: str) -> set[str]:
    with store.database.read() as connection:
        return {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}


def test_new_database(store: Store, data_dir: Path) -> None:
    """A new database gets every step, in order, with its record, and no backup."""
    assert records(data_dir / "appliance.db") == [step.__name__ for step in MIGRATIONS]
    assert not (data_dir / "backups").exists()


def test_twice(store: Store, data_dir: Path) -> None:
    """Migrating a current database changes nothing and makes no backup."""
    before = (data_dir / "appliance.db").read_bytes()
    store.database.migrate()
    assert (data_dir / "appliance.db").read_bytes() == before
    assert not (data_dir / "backups").exists()


def test_backup_first(store: Store, data_dir: Path, make_run: Callable[..., Run]) -> None:
    """Before the first pending step an existing database is copied to a private file, with all committed data."""
    run = store.runs.insert(make_run())
    store.database.migrate((*MIGRATIONS, m9001_wishes))
    (copy,) = (data_dir / "backups").iterdir()
    assert "before-m9001_wishes" in copy.name
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert "wishes" in tables(data_dir / "appliance.db")
    assert "wishes" not in tables(copy)
    restored = Store(Database(copy))
    assert restored.runs.get(run.run_id) == run
    restored.close()


def test_a_step_that_fails(store: Store, data_dir: Path) -> None:
    """A step that fails leaves no change and no record; those before it stay; the next start retries it."""
    with pytest.raises(StoreError, match="absent"):
        store.database.migrate((*MIGRATIONS, m9001_wishes, m9002_fails))
    assert {"wishes", "half_done"} & tables(data_dir / "appliance.db") == {"wishes"}
    assert records(data_dir / "appliance.db")[-1] == "m9001_wishes"
    store.database.migrate((*MIGRATIONS, m9001_wishes))


def test_no_step_without_a_copy(store: Store, data_dir: Path) -> None:
    """If the backup fails, nothing is changed."""
    (data_dir / "backups").write_text("in the way")
    with pytest.raises(StoreError, match="could not be backed up") as refusal:
        store.database.migrate((*MIGRATIONS, m9001_wishes))
    assert "Nothing was changed" in refusal.value.hint
    assert "wishes" not in tables(data_dir / "appliance.db")


def test_the_text_moves_out_of_the_runs(data_dir: Path) -> None:
    """A database of the first version keeps its runs with their texts; the user name can be searched for."""
    data_dir.mkdir()
    old = Database(data_dir / "appliance.db")
    old.migrate(MIGRATIONS[:1])
    text = "Add a basket.\r\n" + "ä" * 100_000
    with old.write() as connection:
        connection.execute(
            """
            INSERT INTO runs (run_id, repository, specify_text, accepted_at, subject, created_by, base_branch, dry_run,
                status)
            VALUES ('r1', 'Acme/Shop', ?, '2026-03-01T12:00:00.000000Z', 'local:ann',
                '{"subject":"local:ann","username":"Ann"}', 'main', 0, 'queued')
            """,
            (text,),
        )
    old.close()
    store = Store.open(data_dir)
    run = store.runs.get("r1")
    found = store.run_lists.page(RunFilter(text="ann"), limit=2)
    columns = _columns_of(store, "runs")
    store.close()
    assert run is not None
    assert (run.specify_text, run.created_by.username) == (text, "Ann")
    assert [(each.run_id, each.specify_text) for each in found] == [("r1", "")]
    assert "specify_text" not in columns


OLD_METADATA = {
    "prepare_job": {"repository": "Acme/Store", "base_branch": "main"},
    "start_job_container": {"workspace_is_new": True},
    "git_clone": {"base_commit": "b"},
    "speckit_specify": {
        "turn": {"verdict": "completed", "usage": {"output_tokens": 7}},
        "feature_directory": "specs/001-dark",
        "title": None,
        "assumptions": "- eyes",
    },
    "speckit_plan": {"turn": {"verdict": "completed"}, "feature_directory": "specs/001-dark"},
    "speckit_tasks": {"turn": {"usage": {"output_tokens": 9}}},
    "commit_push": {
        "dry_run": False,
        "pushed": True,
        "paths": ["a"],
        "left_out": [{"path": "out", "reason": "a link"}],
        "left_out_count": 2,
    },
    "open_pr": {"number": 1, "how": "opened as a draft"},
}


def _insert_old_run(connection: sqlite3.Connection, run_id: str) -> None:
    """A run of the version before outputs, with its nine phases."""
    connection.execute(
        """
        INSERT INTO runs (run_id, repository, accepted_at, subject, created_by, base_branch, dry_run, status)
        VALUES (?, 'Acme/Shop', '2026-03-01T12:00:00.000000Z', 'local:ann',
            '{"subject":"local:ann","username":"Ann"}', 'main', 0, 'queued')
        """,
        (run_id,),
    )
    connection.execute("INSERT INTO specifications VALUES (?, 'Add a basket.')", (run_id,))
    connection.executemany(
        "INSERT INTO phases (run_id, position, phase, status, metadata) VALUES (?, ?, ?, 'succeeded', ?)",
        [(run_id, n, name.value, json.dumps(OLD_METADATA.get(name.value, {}))) for n, name in enumerate(PHASE_ORDER)],
    )


def test_outputs_come_from_the_metadata(data_dir: Path) -> None:
    """A run of a version without outputs has those of its finished phases; a damaged row does not stop the upgrade."""
    data_dir.mkdir()
    old = Database(data_dir / "appliance.db")
    old.migrate(MIGRATIONS[:4])
    with old.write() as connection:
        for run_id in ("whole", "damaged", "no-changes", "failed"):
            _insert_old_run(connection, run_id)
        for position, metadata in enumerate(("{", "[]", "7", "null", '{"turn": null}', '{"how": null}')):
            connection.execute(
                "UPDATE phases SET metadata = ? WHERE run_id = 'damaged' AND position = ?", (metadata, position)
            )
        connection.execute(
            """
            UPDATE phases SET metadata = '{"dry_run": true, "no_changes": "identical"}'
            WHERE run_id = 'no-changes' AND phase = 'commit_push'
            """
        )
        connection.execute("UPDATE phases SET status = 'failed' WHERE run_id = 'failed'")
    old.close()
    store = Store.open(data_dir)
    whole, same, failed = (store.runs.get(run_id) for run_id in ("whole", "no-changes", "failed"))
    with pytest.raises(StoreError, match="damaged"):
        store.runs.get("damaged")
    store.close()
    assert whole is not None
    assert same is not None
    assert failed is not None
    assert [phase.output for phase in whole.phases] == [
        PreparedJob("Acme/Store"),
        None,
        None,
        SpecifyTurn({"output_tokens": 7}, WrittenFeature("specs/001-dark", None, "- eyes")),
        AgentTurn(),
        AgentTurn({"output_tokens": 9}),
        CommittedChange(dry_run=False, paths=["a"], left_out=[LeftOutPath("out", "a link")], left_out_count=2),
        OpenedPullRequest("opened as a draft"),
        None,
    ]
    assert same.output(CommittedChange) == CommittedChange(dry_run=True, no_changes="identical")
    assert [phase.output for phase in failed.phases] == [None] * 9


def test_newer_database(store: Store, data_dir: Path) -> None:
    """A database with an unknown migration is refused with the migration's name, and is unchanged."""
    store.database.migrate((*MIGRATIONS, m9001_wishes))
    store.close()
    with pytest.raises(StoreError, match=r"newer version.*m9001_wishes") as refusal:
        Store.open(data_dir)
    assert "backups" in refusal.value.hint


def test_the_way_back(store: Store, data_dir: Path, make_run: Callable[..., Run]) -> None:
    """The refusal of an older version contains commands. They work, and lose only what happened since."""
    run = store.runs.insert(make_run())
    store.database.migrate((*MIGRATIONS, m9001_wishes))
    later = store.runs.insert(make_run())
    store.close()
    with pytest.raises(StoreError) as refusal:
        Store.open(data_dir)
    commands = refusal.value.hint.partition("stop it and run: ")[2]
    subprocess.run(["sh", "-e", "-c", commands], check=True)
    older = Store.open(data_dir)
    assert older.runs.get(run.run_id) == run
    assert older.runs.get(later.run_id) is None
    older.close()
    assert "wishes" in tables(data_dir / "newer-database" / "appliance.db")


def test_no_way_back_without_a_copy(store: Store, data_dir: Path) -> None:
    """The refusal names `restore` instead."""
    store.database.migrate((*MIGRATIONS, m9001_wishes))
    store.close()
    for copy in (data_dir / "backups").iterdir():
        copy.unlink()
    with pytest.raises(StoreError) as refusal:
        Store.open(data_dir)
    assert "moonmind-appliance restore FILE" in refusal.value.hint
    assert "run:" not in refusal.value.hint


def test_five_copies_are_kept(store: Store, data_dir: Path) -> None:
    """The newest ones; other files are not touched."""
    folder = data_dir / "backups"
    folder.mkdir()
    old = [folder / f"appliance-2026010{day}T000000Z-before-m000{day}_x.db" for day in range(1, 7)]
    other = folder / "appliance-of-mine.db"
    for path in [*old, other]:
        path.touch()
    store.database.migrate((*MIGRATIONS, m9001_wishes))
    left = set(folder.iterdir())
    assert other in left
    assert {path for path in old if path in left} == set(old[2:])
    assert len(left) == 6


def test_many_processes_at_once(data_dir: Path) -> None:
    """Several processes that start at the same time with a new folder create one database."""
    code = (
        "import sys; from pathlib import Path; from moonmind_appliance.store import Store;"
        "print(Store.open(Path(sys.argv[1])).appliance_id)"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(data_dir)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    answers = {child.communicate()[0] for child in children}
    assert [child.returncode for child in children] == [0] * 4
    assert len(answers) == 1
    assert records(data_dir / "appliance.db") == [step.__name__ for step in MIGRATIONS]


_ALL_PHASES = "SELECT {} FROM phases ORDER BY run_id, position"
_COLUMNS = (
    "run_id, position, phase, status, attempt, started_at, completed_at, stdout_path, stderr_path, metadata, output"
)


def phase_rows(path: Path) -> list[tuple[bytes | int | None, ...]]:
    """Every row of the phases, with texts as bytes."""
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    rows = connection.execute(_ALL_PHASES.format(_COLUMNS)).fetchall()
    connection.close()
    return rows


@pytest.fixture
def with_wide_phases(data_dir: Path) -> Path:
    """A database of the step before `m0008_rows_of_phases`, with 150 runs; some rows are damaged."""
    data_dir.mkdir()
    old = Database(data_dir / "appliance.db")
    old.migrate(MIGRATIONS[:7])
    with old.write() as connection:
        for number in range(150):
            _insert_old_run(connection, f"run-{number:02}")
        connection.execute("UPDATE phases SET output = ? WHERE position = 3", (json.dumps({"a": "word " * 1000}),))
        connection.execute("UPDATE phases SET metadata = CAST(x'61ff' AS TEXT) WHERE run_id = 'run-07'")
    old.close()
    damaged = sqlite3.connect(data_dir / "appliance.db")
    damaged.execute("PRAGMA ignore_check_constraints = ON")
    damaged.execute("UPDATE phases SET status = 'lost' WHERE run_id = 'run-08' AND position = 1")
    damaged.execute("UPDATE phases SET run_id = CAST(x'61ff' AS TEXT) WHERE run_id = 'run-10'")
    damaged.execute("DELETE FROM specifications WHERE run_id = 'run-09'")
    damaged.execute("DELETE FROM runs WHERE run_id = 'run-09'")
    damaged.commit()
    damaged.close()
    return data_dir


def test_every_row_of_a_phase_is_kept(with_wide_phases: Path) -> None:
    """Byte for byte, also what cannot be read and what belongs to no run; afterwards SQLite checks rows as before."""
    before = phase_rows(with_wide_phases / "appliance.db")
    store = Store.open(with_wide_phases)
    whole = store.runs.get("run-01")
    with store.database.read() as connection:
        names = ("foreign_keys", "ignore_check_constraints")
        pragmas = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
        indexes = connection.execute("PRAGMA index_list(phases)").fetchall()
    with pytest.raises(StoreError, match="FOREIGN KEY"), store.database.write() as connection:
        connection.execute("INSERT INTO phases (run_id, position, phase, status) VALUES ('x', 0, 'a', 'pending')")
    with pytest.raises(StoreError, match="UNIQUE"), store.database.write() as connection:
        connection.execute("INSERT INTO phases (run_id, position, phase, status) VALUES ('run-01', 0, 'a', 'pending')")
    store.close()
    assert phase_rows(with_wide_phases / "appliance.db") == before
    assert len(before) == 1350
    assert whole is not None
    assert [phase.phase for phase in whole.phases] == list(PHASE_ORDER)
    assert pragmas == [1, 0]
    assert [(row["name"], row["unique"]) for row in indexes] == [("sqlite_autoindex_phases_1", 1)]
    assert (with_wide_phases / "appliance.db-wal").exists() is False


_SLOW_LAST_STEP = """
import sys
import time
from functools import wraps
from pathlib import Path

from moonmind_appliance.store import Database
from moonmind_appliance.store.migrations import MIGRATIONS

left = int(sys.argv[2])

@wraps(MIGRATIONS[7])
def slow(connection):
    def wait():
        global left
        left -= 1
        if left == 0:
            print("in the step", flush=True)
            time.sleep(600)
    connection.set_progress_handler(wait, 1000)
    MIGRATIONS[7](connection)
    # If it was not interrupted: at its end, before the commit.
    print("in the step", flush=True)
    time.sleep(600)

Database(Path(sys.argv[1]) / "appliance.db").migrate((*MIGRATIONS[:7], slow))
"""


@pytest.mark.parametrize("thousands_of_operations", [1, 5, 1_000_000])
def test_a_kill_during_a_step(
    with_wide_phases: Path, in_process: Callable[..., "subprocess.Popen[str]"], thousands_of_operations: int
) -> None:
    """The database is as before the step, whenever the process is killed, and the next start repeats the step."""
    file = with_wide_phases / "appliance.db"
    before = phase_rows(file)
    child = in_process(_SLOW_LAST_STEP, str(thousands_of_operations))
    assert child.stdout is not None
    assert child.stdout.readline() == "in the step\n"
    child.kill()
    child.communicate()
    assert records(file) == [step.__name__ for step in MIGRATIONS[:7]]
    assert phase_rows(file) == before
    Store.open(with_wide_phases).close()
    assert records(file) == [step.__name__ for step in MIGRATIONS]
    assert phase_rows(file) == before
    connection = sqlite3.connect(file)
    found = {row[0] for row in connection.execute("PRAGMA integrity_check")}
    connection.close()
    assert found == {"CHECK constraint failed in phases"}


def test_too_little_space(with_wide_phases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step needs as much space as the database, and so does the copy. Without it, neither is begun."""
    size = (with_wide_phases / "appliance.db").stat().st_size
    usage = shutil.disk_usage(with_wide_phases)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 * size - 1))
    with pytest.raises(StoreError, match=r"cannot be migrated: that needs .* free") as refusal:
        Store.open(with_wide_phases)
    assert "Nothing was changed" in refusal.value.hint
    assert not (with_wide_phases / "backups").exists()
    assert records(with_wide_phases / "appliance.db") == [step.__name__ for step in MIGRATIONS[:7]]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 * size))
    Store.open(with_wide_phases).close()
