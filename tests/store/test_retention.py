"""What is past its retention time is found and removed in batches, and never from a run that is open."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from moonmind_appliance.models import Artifact, ArtifactType, PhaseName, Run, RunStatus
from moonmind_appliance.store import Store

MakeRun = Callable[..., Run]
LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def end(store: Store, make_run: MakeRun) -> Callable[..., Run]:
    """A run that ended at that time."""

    def ended(at: datetime, **fields: object) -> Run:
        run = store.runs.insert(make_run(**fields))
        store.runs.request_cancel(run.run_id, now=at)
        return run

    return ended


def artifact(run: Run, name: str) -> Artifact:
    return Artifact(
        artifact_id=f"{run.run_id}-{name}",
        run_id=run.run_id,
        name=name,
        artifact_type=ArtifactType.STDOUT_LOG,
        storage_path=f"runs/{run.run_id}/artifacts/{name}",
        content_type="text/plain",
        size_bytes=7,
        sha256="",
        source_phase=PhaseName.GIT_CLONE,
        created_at=run.accepted_at,
    )


class TestEnds:
    def test_of_ended_open_and_unknown_runs(
        self, store: Store, make_run: MakeRun, end: Callable[..., Run], now: datetime
    ) -> None:
        """An open run has no end, and a run without a row is left out."""
        ended, queued = end(now), store.runs.insert(make_run())
        found = store.retention.ends([ended.run_id, queued.run_id, "unknown"])
        assert {run_id: each.ended_at for run_id, each in found.items()} == {ended.run_id: now, queued.run_id: None}

    def test_of_thousands(self, store: Store, end: Callable[..., Run], now: datetime) -> None:
        """Also of more than fit into one statement."""
        run = end(now)
        assert list(store.retention.ends([*map(str, range(2500)), run.run_id])) == [run.run_id]

    def test_of_a_time_that_cannot_be_read(self, store: Store, end: Callable[..., Run], now: datetime) -> None:
        """Counts as not ended: what belongs to the run is kept."""
        run = end(now)
        with store.database.write() as connection:
            connection.execute("UPDATE runs SET completed_at = 'x' WHERE run_id = ?", (run.run_id,))
        assert store.retention.ends([run.run_id])[run.run_id].ended_at is None
        assert store.retention.old_texts(LATER) == []


def test_the_size_of_a_workspace_is_what_cleanup_measured(store: Store, end: Callable[..., Run], now: datetime) -> None:
    """Without a measurement it is unknown."""
    measured, unknown = end(now), end(now)
    with store.database.write() as connection:
        connection.execute(
            "UPDATE phases SET metadata = '{\"workspace_bytes\": 4096}' WHERE run_id = ? AND phase = 'cleanup'",
            (measured.run_id,),
        )
    ids = [measured.run_id, unknown.run_id]
    assert store.retention.workspace_bytes(ids) == {measured.run_id: 4096}


class TestTexts:
    def test_old_ones_are_listed_with_their_size(
        self, store: Store, make_run: MakeRun, end: Callable[..., Run], now: datetime
    ) -> None:
        """In bytes of UTF-8, oldest first; not those of open or newer runs."""
        second, first = end(now, specify_text="Ä"), end(now - timedelta(days=1))
        end(now + timedelta(days=2))
        store.runs.insert(make_run())
        found = store.retention.old_texts(now + timedelta(days=1))
        assert [(each.run_id, each.size_bytes) for each in found] == [(first.run_id, 13), (second.run_id, 2)]

    def test_removal_leaves_no_trace_in_the_file(self, store: Store, end: Callable[..., Run], now: datetime) -> None:
        """The text's pages are overwritten; the run stays, and its event says what happened."""
        run = end(now, specify_text="unmistakable words " * 500)
        assert store.retention.remove_texts([run.run_id], LATER) == {run.run_id}
        with store.database.read() as connection:
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert b"unmistakable" not in store.database.path.read_bytes()
        kept = store.runs.get(run.run_id)
        assert kept is not None
        assert (kept.specify_text, store.runs.has_specification(run.run_id)) == ("", False)
        assert store.events.after(0, run_id=run.run_id)[-1].kind == "run.specification_removed"

    def test_a_run_that_is_open_again_keeps_its_text(
        self, store: Store, end: Callable[..., Run], now: datetime
    ) -> None:
        """It was queued again after the plan was made."""
        run = end(now)
        store.runs.retry(run.run_id, now=now)
        assert store.retention.remove_texts([run.run_id], LATER) == set()
        assert store.runs.specification(run.run_id) == run.specify_text


class TestArtifacts:
    def test_records_of_ended_and_unknown_runs_are_removed(
        self, store: Store, make_run: MakeRun, end: Callable[..., Run], now: datetime
    ) -> None:
        """With one event each; an open run keeps its own. Safe twice."""
        ended, queued = end(now), store.runs.insert(make_run())
        for run in (ended, queued):
            store.artifacts.save(artifact(run, "a"))
            store.artifacts.save(artifact(run, "b"))
        ids = [ended.run_id, queued.run_id, "unknown"]
        for _ in range(2):
            assert store.retention.remove_artifacts(ids) == {ended.run_id, "unknown"}
        assert store.artifacts.list(ended.run_id) == []
        assert len(store.artifacts.list(queued.run_id)) == 2
        events = [event for event in store.events.after(0) if event.kind == "artifacts.removed"]
        assert [(event.run_id, event.data) for event in events] == [(ended.run_id, {"count": 2})]

    def test_more_than_a_thousand_runs_at_once(self, store: Store, end: Callable[..., Run], now: datetime) -> None:
        """A list of ids is never cut."""
        run = end(now)
        store.artifacts.save(artifact(run, "a"))
        ids = [*map(str, range(1500)), run.run_id]
        assert store.retention.remove_artifacts(ids) == set(ids)
        assert store.artifacts.list(run.run_id) == []


def fill(store: Store, count: int, at: datetime) -> None:
    with store.database.write() as connection:
        connection.executemany(
            "INSERT INTO events (kind, at, data) VALUES ('tick', ?, '{}')",
            [(at.isoformat(timespec="microseconds").replace("+00:00", "Z"),)] * count,
        )


class TestEvents:
    def test_old_ones_go_in_batches_and_those_of_open_runs_stay(
        self, store: Store, make_run: MakeRun, now: datetime
    ) -> None:
        """Ids are never reused."""
        queued = store.runs.insert(make_run())
        fill(store, 2500, now)
        fill(store, 3, LATER)
        last, before = store.events.latest(), LATER - timedelta(hours=1)
        assert store.retention.old_events(before)[:2] == (2500, 5000)
        removed, after = store.retention.remove_events(before)
        assert removed == 2000
        removed, after = store.retention.remove_events(before, after=after)
        assert removed == 500
        assert store.retention.remove_events(before, after=after) == (0, after)
        assert store.retention.old_events(before).number == 0
        assert [event.run_id for event in store.events.after(0)] == [queued.run_id, None, None, None]
        store.events.add("new")
        assert store.events.latest() == last + 1

    def test_none(self, store: Store) -> None:
        """An empty table has nothing to remove."""
        assert store.retention.old_events(LATER) == (0, 0, None)
        assert store.retention.remove_events(LATER) == (0, 0)

    def test_the_oldest(self, store: Store, now: datetime) -> None:
        """Its time is in the plan."""
        fill(store, 1, now - timedelta(days=1))
        fill(store, 1, now)
        assert store.retention.old_events(now + timedelta(seconds=1)).oldest == now - timedelta(days=1)


def test_a_run_whose_text_is_gone_and_that_is_not_final_is_damaged(store: Store, make_run: MakeRun) -> None:
    """Only retention removes a text, and only of an ended run."""
    run = store.runs.insert(make_run())
    with store.database.write() as connection:
        connection.execute("DELETE FROM specifications WHERE run_id = ?", (run.run_id,))
    with pytest.raises(Exception, match="text is missing"):
        store.runs.get(run.run_id)
    assert store.runs.counts()[RunStatus.QUEUED] == 1


def test_the_last_run_of_a_repository(store: Store, make_run: MakeRun, end: Callable[..., Run], now: datetime) -> None:
    """By its name in any case: when it ended, and whether any run of it is queued or in progress."""
    assert store.retention.last_run("acme/shop") == (None, False, False)
    end(now, repository="acme/shop", accepted_at=now - timedelta(hours=2))
    end(now - timedelta(days=1), repository="acme/shop", accepted_at=now - timedelta(days=2))
    end(now + timedelta(days=1), repository="acme/other", accepted_at=now)
    assert store.retention.last_run("Acme/Shop") == (now, False, False)
    store.runs.insert(make_run(repository="acme/shop", accepted_at=now - timedelta(days=3)))
    assert store.retention.last_run("acme/shop") == (now, True, False)
    assert store.queue.claim(0, "lease", now=now, lease_seconds=60) is not None
    assert store.retention.last_run("acme/shop") == (now, True, True)
