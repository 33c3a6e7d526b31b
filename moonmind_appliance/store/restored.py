"""What must be corrected in a database that was restored from a backup: time has passed, and files are missing."""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from moonmind_appliance.models import LoginState, Shard
from moonmind_appliance.store import Store
from moonmind_appliance.store.events import record
from moonmind_appliance.store.shards import ShardChange, ShardEvent

# Clients that follow events remember the last id. New events must not get ids that were given after the backup.
_IDS_SKIPPED = 1_000_000


def requeue_interrupted(store: Store) -> list[str]:
    """Queue the runs that were in progress when the backup was made; returns their ids. Idempotent.

    A run whose cancel was requested becomes `cancelled`.
    """
    runs = store.run_lists.in_progress()
    return [run.run_id for run in runs if store.queue.requeue_abandoned(run.run_id, run.lease)]


def forget_logins(store: Store) -> None:
    """Let each shard's login be read again before it is used: the volumes may be missing, or of another machine.

    A login that was dead or refused stays so until its file changes. Idempotent.
    """
    with store.database.read() as connection:
        numbers = [int(row["shard"]) for row in connection.execute("SELECT shard FROM shards ORDER BY shard")]
    for number in numbers:
        store.shards.change(number, _without_login)


def _without_login(known: Shard) -> ShardChange:
    if known.login is not LoginState.PRESENT:
        return ShardChange(known)
    unknown = msgspec.structs.replace(known, login=LoginState.UNKNOWN, checked_at=None)
    why = {"was": known.login.value, "why": "the data folder was restored from a backup"}
    return ShardChange(unknown, [ShardEvent("shard.login_unknown", why)])


def correct_artifacts(
    store: Store, exists: Callable[[str], bool] | None, changed: Mapping[tuple[str, str], tuple[int, str]]
) -> int:
    """Make the artifacts' rows agree with the restored files; returns the number of rows removed.

    Args:
        store: the restored database.
        exists: whether the file of a storage path was restored; None: no files were.
        changed: size and SHA-256 of the files that differ from their rows, by run id and name.
    """
    with store.database.write() as connection:
        if exists is None:
            return connection.execute("DELETE FROM artifacts").rowcount
        rows = connection.execute("SELECT run_id, name, storage_path FROM artifacts")
        gone = [(row["run_id"], row["name"]) for row in rows if not exists(row["storage_path"])]
        for run_id, name in gone:
            connection.execute("DELETE FROM artifacts WHERE run_id = ? AND name = ?", (run_id, name))
        for (run_id, name), (size, sha256) in changed.items():
            connection.execute(
                "UPDATE artifacts SET size_bytes = ?, sha256 = ? WHERE run_id = ? AND name = ?",
                (size, sha256, run_id, name),
            )
    return len(gone)


def note_restore(store: Store, *, made_at: datetime, artifacts_removed: int, new_id: bool) -> str:
    """Write the event of the restore, after a gap in the events' ids; returns the appliance's id, with `new_id` a new
    one."""  # noqa: D205, D209 - one sentence
    with store.database.write() as connection:
        if new_id:
            connection.execute("UPDATE appliance SET value = ? WHERE key = 'appliance_id'", (str(uuid.uuid4()),))
        connection.execute("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'events'", (_IDS_SKIPPED,))
        data = {"backup_of": made_at, "artifacts_removed": artifacts_removed}
        record(connection, "backup.restored", data=data)
    return store.appliance_id
