"""Schema migrations: named steps in an append-only list. Each step and its record are one transaction."""

import contextlib
import logging
import os
import shlex
import shutil
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from moonmind_appliance.errors import StoreError
from moonmind_appliance.store.database_copy import copy_database
from moonmind_appliance.units import size

Migration = Callable[[sqlite3.Connection], None]

_COPIES_KEPT = 5

_log = logging.getLogger(__name__)


def m0001_first_tables(connection: sqlite3.Connection) -> None:
    """Runs, phases, artifacts, shards, events, tokens. Times are RFC 3339 text in UTC with microseconds."""
    for statement in (
        "CREATE TABLE appliance (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
        """
        CREATE TABLE runs (
            run_id              TEXT PRIMARY KEY,
            repository          TEXT NOT NULL COLLATE NOCASE,
            specify_text        TEXT NOT NULL,
            accepted_at         TEXT NOT NULL,
            subject             TEXT NOT NULL,
            created_by          TEXT NOT NULL,
            base_branch         TEXT NOT NULL,
            dry_run             INTEGER NOT NULL,
            external_ref        TEXT,
            shard_pin           INTEGER,
            status              TEXT NOT NULL CHECK (status IN
                ('queued', 'in_progress', 'succeeded', 'failed', 'no_changes', 'cancelled')),
            waiting_for         TEXT,
            waiting_until       TEXT,
            shard               INTEGER,
            lease               TEXT,
            lease_until         TEXT,
            cancel_requested_at TEXT,
            interruptions       INTEGER NOT NULL DEFAULT 0,
            branch_name         TEXT,
            pull_request_url    TEXT,
            result_summary      TEXT,
            failure             TEXT,
            clarifications      TEXT NOT NULL DEFAULT '[]',
            agent               TEXT,
            started_at          TEXT,
            completed_at        TEXT,
            CHECK ((status = 'in_progress') = (lease IS NOT NULL))
        ) STRICT
        """,
        "CREATE INDEX runs_newest ON runs (accepted_at, run_id)",
        "CREATE INDEX runs_of_subject ON runs (subject, accepted_at, run_id)",
        "CREATE INDEX runs_of_status ON runs (status, accepted_at, run_id)",
        "CREATE INDEX runs_of_external_ref ON runs (external_ref) WHERE external_ref IS NOT NULL",
        """
        CREATE TABLE idempotency_keys (
            key    TEXT PRIMARY KEY,
            digest TEXT NOT NULL,
            run_id TEXT NOT NULL REFERENCES runs
        ) STRICT
        """,
        """
        CREATE TABLE phases (
            run_id       TEXT NOT NULL REFERENCES runs,
            position     INTEGER NOT NULL,
            phase        TEXT NOT NULL,
            status       TEXT NOT NULL CHECK (status IN
                ('pending', 'running', 'succeeded', 'failed', 'skipped', 'retrying')),
            attempt      INTEGER NOT NULL DEFAULT 0,
            started_at   TEXT,
            completed_at TEXT,
            stdout_path  TEXT,
            stderr_path  TEXT,
            metadata     TEXT NOT NULL DEFAULT '{}',
            PRIMARY KEY (run_id, position)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE artifacts (
            artifact_id   TEXT PRIMARY KEY,
            run_id        TEXT NOT NULL REFERENCES runs,
            name          TEXT NOT NULL,
            artifact_type TEXT NOT NULL,
            storage_path  TEXT NOT NULL,
            content_type  TEXT NOT NULL,
            size_bytes    INTEGER NOT NULL,
            sha256        TEXT NOT NULL,
            source_phase  TEXT NOT NULL,
            created_at    TEXT NOT NULL,
            expires_at    TEXT,
            UNIQUE (run_id, name)
        ) STRICT
        """,
        "CREATE INDEX artifacts_expiry ON artifacts (expires_at) WHERE expires_at IS NOT NULL",
        "CREATE TABLE shards (shard INTEGER PRIMARY KEY, state TEXT NOT NULL) STRICT",
        """
        CREATE TABLE events (
            event_id INTEGER PRIMARY KEY AUTOINCREMENT,
            kind     TEXT NOT NULL,
            at       TEXT NOT NULL,
            run_id   TEXT,
            shard    INTEGER,
            data     TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX events_of_run ON events (run_id, event_id) WHERE run_id IS NOT NULL",
        """
        CREATE TABLE tokens (
            token_id     INTEGER PRIMARY KEY,
            name         TEXT NOT NULL,
            sha256       BLOB NOT NULL UNIQUE,
            operator     INTEGER NOT NULL,
            created_at   TEXT NOT NULL,
            expires_at   TEXT,
            revoked_at   TEXT,
            last_used_at TEXT
        ) STRICT
        """,
        "CREATE UNIQUE INDEX tokens_name ON tokens (name) WHERE revoked_at IS NULL",
    ):
        connection.execute(statement)
    connection.execute("INSERT INTO appliance VALUES ('appliance_id', ?)", (str(uuid.uuid4()),))


def m0002_lists_without_text(connection: sqlite3.Connection) -> None:
    """Move the specification text into its own table, so that lists do not read it. Add indexes for lists."""
    for statement in (
        "CREATE TABLE specifications (run_id TEXT PRIMARY KEY REFERENCES runs, text TEXT NOT NULL) STRICT",
        "INSERT INTO specifications SELECT run_id, specify_text FROM runs",
        "ALTER TABLE runs DROP COLUMN specify_text",
        "ALTER TABLE runs ADD COLUMN username TEXT NOT NULL DEFAULT ''",
        """
        UPDATE runs SET username = coalesce(json_extract(created_by, '$.username'), '')
        WHERE json_valid(created_by)
        """,
        "DROP INDEX runs_newest",
        # Includes the status, so that a list of ids reads only the index.
        "CREATE INDEX runs_newest ON runs (accepted_at, run_id, status)",
        "CREATE INDEX runs_of_repository ON runs (repository, accepted_at, run_id)",
    ):
        connection.execute(statement)


def m0003_callers_of_tokens(connection: sqlite3.Connection) -> None:
    """Store which caller a token authenticates: a new token with a revoked token's name is another caller.

    Existing tokens keep their name as caller.
    """
    connection.execute("ALTER TABLE tokens ADD COLUMN subject TEXT NOT NULL DEFAULT ''")
    connection.execute("UPDATE tokens SET subject = 'local:' || name")


def m0004_place_in_the_queue(connection: sqlite3.Connection) -> None:
    """When a run was queued again, if later than its submission; NULL: at its submission."""
    connection.execute("ALTER TABLE runs ADD COLUMN queued_at TEXT")


def m0005_outputs_of_phases(connection: sqlite3.Connection) -> None:
    """Add what later code uses of a phase, apart from its metadata, which is for people.

    Runs that began earlier get it from their metadata, so that they can resume. `json_patch` omits NULL members.
    """
    connection.execute("ALTER TABLE phases ADD COLUMN output TEXT")
    usage = "'usage', json_extract(metadata, '$.turn.usage')"
    for phase, required, members in (
        ("prepare_job", "$.repository", "'repository', json_extract(metadata, '$.repository')"),
        (
            "speckit_specify",
            "$.feature_directory",
            f"""
            {usage}, 'feature', json_object('directory', json_extract(metadata, '$.feature_directory'),
                'title', json_extract(metadata, '$.title'), 'assumptions', json_extract(metadata, '$.assumptions'))
            """,
        ),
        ("speckit_plan", "$.turn", usage),
        ("speckit_tasks", "$.turn", usage),
        (
            "commit_push",
            "$.dry_run",
            """
            'dry_run', json(iif(json_extract(metadata, '$.dry_run'), 'true', 'false')),
            'no_changes', json_extract(metadata, '$.no_changes'), 'paths', json_extract(metadata, '$.paths'),
            'left_out', json_extract(metadata, '$.left_out'),
            'left_out_count', json_extract(metadata, '$.left_out_count')
            """,
        ),
        ("open_pr", "$.how", "'how', json_extract(metadata, '$.how')"),
    ):
        connection.execute(
            f"""
            UPDATE phases SET output = json_patch('{{}}', json_object({members}))
            WHERE phase = ? AND status = 'succeeded'
                AND CASE WHEN json_valid(metadata) THEN json_type(metadata, ?) END <> 'null'
            """,  # noqa: S608 - the fixed texts above
            (phase, required),
        )


def m0006_webhook_deliveries(connection: sqlite3.Connection) -> None:
    """Messages of the webhook that are not delivered yet."""
    connection.execute(
        """
        CREATE TABLE webhook_deliveries (
            message_id TEXT PRIMARY KEY,
            event_id   INTEGER NOT NULL UNIQUE,
            body       TEXT NOT NULL,
            attempts   INTEGER NOT NULL DEFAULT 0,
            due_at     TEXT NOT NULL,
            problem    TEXT NOT NULL DEFAULT ''
        ) STRICT
        """
    )


def m0007_index_of_shard_events(connection: sqlite3.Connection) -> None:
    """Find a shard's own events without reading those of all runs."""
    connection.execute(
        "CREATE INDEX events_of_shard ON events (shard, event_id) WHERE run_id IS NULL AND shard IS NOT NULL"
    )


def m0008_rows_of_phases(connection: sqlite3.Connection) -> None:
    """Store a phase's row by a number instead of in the tree of its primary key.

    SQLite moves what exceeds a quarter of a page (1,002 bytes) out of such a tree, to a page of its own, and the rows
    of the agent's phases do: https://www.sqlite.org/fileformat2.html#cell_payload_overflow_pages. Copies some hundred
    rows at a time and deletes them, so that their pages are used again and the file does not grow.
    """
    columns = (
        "run_id, position, phase, status, attempt, started_at, completed_at, stdout_path, stderr_path, metadata, output"
    )
    connection.execute("ALTER TABLE phases RENAME TO wide_phases")
    connection.execute(
        """
        CREATE TABLE phases (
            run_id       TEXT NOT NULL REFERENCES runs,
            position     INTEGER NOT NULL,
            phase        TEXT NOT NULL,
            status       TEXT NOT NULL CHECK (status IN
                ('pending', 'running', 'succeeded', 'failed', 'skipped', 'retrying')),
            attempt      INTEGER NOT NULL DEFAULT 0,
            started_at   TEXT,
            completed_at TEXT,
            stdout_path  TEXT,
            stderr_path  TEXT,
            metadata     TEXT NOT NULL DEFAULT '{}',
            output       TEXT,
            PRIMARY KEY (run_id, position)
        ) STRICT
        """
    )
    # In SQL, as Python cannot pass an id that is not UTF-8.
    some = "run_id <= (SELECT max(run_id) FROM (SELECT run_id FROM wide_phases ORDER BY run_id LIMIT 900))"
    left = 1
    while left:
        connection.execute(
            f"INSERT INTO phases ({columns}) SELECT {columns} FROM wide_phases WHERE {some} ORDER BY run_id, position"  # noqa: S608 - the fixed texts above
        )
        left = connection.execute(f"DELETE FROM wide_phases WHERE {some}").rowcount  # noqa: S608 - the fixed text above
    connection.execute("DROP TABLE wide_phases")


def m0010_limits_and_audit(connection: sqlite3.Connection) -> None:
    """Count the queued runs of one user, and all of them, without reading other runs. Store who caused an event."""
    connection.execute("ALTER TABLE events ADD COLUMN author TEXT")
    connection.execute("CREATE INDEX events_of_authors ON events (event_id) WHERE author IS NOT NULL")
    connection.execute("CREATE INDEX runs_queued ON runs (subject, status) WHERE status = 'queued'")


# Append only: never change a step, as it may have run already.
MIGRATIONS: tuple[Migration, ...] = (
    m0001_first_tables,
    m0002_lists_without_text,
    m0003_callers_of_tokens,
    m0004_place_in_the_queue,
    m0005_outputs_of_phases,
    m0006_webhook_deliveries,
    m0007_index_of_shard_events,
    m0008_rows_of_phases,
    m0010_limits_and_audit,
)


def apply(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Run the steps that have no record yet. An existing database is backed up first.

    A step may write as much as the database contains, so twice its size must be free on the disk.

    Args:
        connection: in autocommit mode.
        path: the database's file; the backup goes into the folder `backups` next to it.
        migrations: in order; a step's name is its function's name.

    Raises:
        StoreError: the database has a record that this version does not know, the disk has too little space, or the
            backup failed.
    """
    names = [migration.__name__ for migration in migrations]
    done = _done(connection)
    if unknown := sorted(done - set(names)):
        raise StoreError(
            f"Database {path} was created by a newer version of the appliance (it has {', '.join(unknown)}).",
            hint=_way_back(path, unknown[0]),
        )
    pending = [name for name in names if name not in done]
    if not pending:
        return
    if done:
        _check_room(connection, path)
        _back_up(connection, path, pending[0])
    with _rows_as_they_are(connection):
        for name, migration in zip(names, migrations, strict=True):
            if name in pending:
                _run(connection, path, name, migration)
    # Without this the file `-wal` keeps the size that the steps gave it.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _run(connection: sqlite3.Connection, path: Path, name: str, migration: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have run the step while this one waited for the lock.
        if name not in _done(connection):
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL) STRICT"
            )
            migration(connection)
            connection.execute("INSERT INTO migrations VALUES (?, ?)", (name, datetime.now(UTC).isoformat()))
            _log.info("Database %s: applied the migration %s.", path, name)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextlib.contextmanager
def _rows_as_they_are(connection: sqlite3.Connection) -> Iterator[None]:
    """Within this block steps copy also rows that break a constraint, and a deleted page is not overwritten.

    One damaged row must not prevent the start; overwriting would write each page of a dropped table.
    """
    settings = {"foreign_keys": "OFF", "ignore_check_constraints": "ON", "secure_delete": "OFF"}
    before = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in settings}
    for name, value in settings.items():
        connection.execute(f"PRAGMA {name} = {value}")
    try:
        yield
    finally:
        for name, value in before.items():
            connection.execute(f"PRAGMA {name} = {value}")


def _done(connection: sqlite3.Connection) -> set[str]:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "migrations" not in tables:
        return set()
    return {row[0] for row in connection.execute("SELECT name FROM migrations")}


def _way_back(path: Path, unknown: str) -> str:
    """What the operator of an older version can do; `unknown` is the first migration that it does not have."""
    again = "Install that version again to keep everything."
    copies = _copies(path, unknown)
    if not copies:
        return (
            f"{again} The backups folder has no copy from before that migration; a backup that this version or an "
            "older one made can be restored into an empty data folder with `moonmind-appliance restore FILE`."
        )
    folder, newer = shlex.quote(str(path.parent)), shlex.quote(str(path.parent / "newer-database"))
    commands = (
        f"mkdir {newer} && mv {folder}/{path.name}* {newer}/ && "
        f"cp -p {shlex.quote(str(copies[-1]))} {shlex.quote(str(path))}"
    )
    return f"{again} To go back to the copy made before, without what happened since, stop it and run: {commands}"


def _copies(path: Path, before: str = "*") -> list[Path]:
    """The copies of the database made before that migration, or before any; oldest first: names begin with the time."""
    return sorted((path.parent / "backups").glob(f"{path.stem}-*-before-{before}{path.suffix}"))


def _check_room(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse early if the copy and the steps may fill the disk: each failed start would leave another copy on it."""
    pages, page_size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    needed, free = 2 * pages * page_size, shutil.disk_usage(path.parent).free
    if free < needed:
        raise StoreError(
            f"Database {path} cannot be migrated: that needs {size(needed)}, and its disk has {size(free)} free.",
            hint="Nothing was changed. Free space on the disk, and start again.",
        )


def _back_up(connection: sqlite3.Connection, path: Path, before: str) -> None:
    folder = path.parent / "backups"
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    copy = folder / f"{path.stem}-{stamp}-before-{before}{path.suffix}"
    part = copy.with_name(f".{copy.name}.{os.getpid()}.part")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        part.unlink(missing_ok=True)
        copy_database(connection, part)
        part.replace(copy)
    except (OSError, sqlite3.Error) as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise StoreError(
            f"Database {path} could not be backed up to {folder} before its migration: {error}.",
            hint="Nothing was changed. Free space on the disk, check the folder's permissions, and start again.",
        ) from error
    _log.info("Database %s: backed up to %s.", path, copy)
    for old in _copies(path)[:-_COPIES_KEPT]:
        try:
            old.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("The old copy %s could not be removed: %s.", old, error.strerror)
