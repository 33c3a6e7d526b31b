"""What a restored database must be told; tests/runs/test_restore.py tests it with real backups."""

from collections.abc import Callable

from moonmind_appliance.models import LoginState, Run, RunStatus, Shard
from moonmind_appliance.store import Store
from moonmind_appliance.store.restored import correct_artifacts, forget_logins, note_restore, requeue_interrupted
from tests.fakes import NOW
from tests.shard_states import save_shard


def test_each_correction_may_be_repeated(store: Store, claimed: Run) -> None:
    """The second time there is nothing to do."""
    save_shard(store, Shard(shard=0, login=LoginState.PRESENT))
    assert requeue_interrupted(store) == [claimed.run_id]
    assert requeue_interrupted(store) == []
    forget_logins(store)
    before = store.events.latest()
    forget_logins(store)
    assert store.events.latest() == before
    assert correct_artifacts(store, None, {}) == 0


def test_rows_agree_with_the_files(store: Store, claimed: Run) -> None:
    """A row without a file goes; one whose file differs gets its size and hash; the others stay."""
    with store.database.write() as connection:
        for name in ("gone", "other", "same"):
            values = (name, claimed.run_id, name, f"runs/{name}", NOW.isoformat())
            connection.execute(
                "INSERT INTO artifacts VALUES (?, ?, ?, 'stdout_log', ?, 't', 1, 'h', 'cleanup', ?, NULL)", values
            )
    removed = correct_artifacts(store, lambda path: path != "runs/gone", {(claimed.run_id, "other"): (7, "new")})
    found = {each.name: (each.size_bytes, each.sha256) for each in store.artifacts.list(claimed.run_id)}
    assert (removed, found) == (1, {"other": (7, "new"), "same": (1, "h")})


def test_a_new_id_only_on_request(store: Store, make_run: Callable[..., Run]) -> None:
    """The event is written in both cases, after a gap."""
    store.runs.insert(make_run())
    with store.database.read() as connection:
        before = connection.execute("SELECT value FROM appliance WHERE key = 'appliance_id'").fetchone()[0]
    latest = store.events.latest()
    assert note_restore(store, made_at=NOW, artifacts_removed=0, new_id=False) == before
    (event,) = store.events.after(latest)
    assert (event.kind, event.event_id) == ("backup.restored", latest + 1_000_001)
    other = Store(store.database)
    del store.__dict__["appliance_id"]
    assert note_restore(other, made_at=NOW, artifacts_removed=0, new_id=True) != before
    assert [run.status for run in store.run_lists.queued()] == [RunStatus.QUEUED]
