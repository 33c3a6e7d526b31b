"""Runs as lists show them, and the search for a run by the user's input."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import pytest

from moonmind_appliance.errors import InvalidRequest, NotFound
from moonmind_appliance.models import Actor, PhaseStatus, Run, RunStatus, WaitingFor, WaitReason
from moonmind_appliance.store import Store
from moonmind_appliance.views.run_summary import (
    RunFilter,
    RunOrder,
    WaitingForDetail,
    find_run,
    list_runs,
    recent_repositories,
    run_ids,
    run_page,
    runs_by_id,
)

MakeRun = Callable[..., Run]
ANN = Actor("local:ann", "ann")
OPERATOR = Actor("local:olga", "olga", operator=True)
ALL = RunFilter()


def test_summary(store: Store, make_run: MakeRun, now: datetime) -> None:
    """A summary has the submitted fields and what the run waits for."""
    run = store.runs.insert(make_run(external_ref="T-1", base_branch="dev", dry_run=True))
    store.queue.wait(run.run_id, WaitingFor(WaitReason.QUOTA, now, "shard 0"))
    (summary,) = list_runs(store, ALL, limit=9)
    assert (summary.run_id, summary.repository, summary.base_branch) == (run.run_id, "Acme/Shop", "dev")
    assert (summary.external_ref, summary.dry_run, summary.created_by.username) == ("T-1", True, "ann")
    assert summary.waiting_for == WaitingForDetail(WaitReason.QUOTA, now)
    assert (summary.short_id, summary.final, summary.seconds(now)) == (run.run_id[:8], False, None)


def test_final_and_seconds(store: Store, make_run: MakeRun, now: datetime) -> None:
    """Seconds grow until the end, and then no more."""
    run = store.runs.insert(make_run())
    store.queue.claim(0, "mine", now=now, lease_seconds=9)
    later = now + timedelta(seconds=7)
    (running,) = list_runs(store, ALL, limit=9)
    store.progress.finish(run.run_id, "mine", RunStatus.SUCCEEDED, now=later, result_summary=None, failure=None)
    (ended,) = list_runs(store, ALL, limit=9)
    assert (running.final, running.seconds(later)) == (False, 7.0)
    assert (ended.final, ended.seconds(later + timedelta(hours=1))) == (True, 7.0)


def test_pages(store: Store, make_run: MakeRun) -> None:
    """A page has a cursor only if there is a next one; a new run does not move the pages."""
    ids = [store.runs.insert(make_run()).run_id for _ in range(4)]
    first = run_page(store, ALL, limit=2)
    store.runs.insert(make_run())
    second = run_page(store, ALL, limit=2, cursor=first.next_cursor)
    assert [run.run_id for run in first.items] == [ids[3], ids[2]]
    assert [run.run_id for run in second.items] == [ids[1], ids[0]]
    assert second.next_cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "W10", "WyIyMDI2IiwieCJd", "é"])
def test_not_a_cursor(store: Store, cursor: str) -> None:
    """A cursor from another list is refused with the name of the field."""
    with pytest.raises(InvalidRequest) as refusal:
        run_page(store, ALL, limit=2, cursor=cursor)
    assert [problem.field for problem in refusal.value.fields] == ["cursor"]


def test_window_on_many(store: Store, make_run: MakeRun) -> None:
    """All ids can be read, then only the visible runs, in any order."""
    ids = [store.runs.insert(make_run()).run_id for _ in range(5)]
    assert run_ids(store, ALL, RunOrder.OLDEST) == ids
    assert run_ids(store, ALL) == ids[::-1]
    rows = runs_by_id(store, ids[1:3])
    assert set(rows) == set(ids[1:3])
    assert rows[ids[1]].summary == list_runs(store, ALL, limit=9)[3]
    assert rows[ids[1]].phases == (PhaseStatus.PENDING,) * 9


def test_json_has_the_contract_s_fields(store: Store, make_run: MakeRun) -> None:
    """Properties are not part of the JSON."""
    store.runs.insert(make_run())
    found = msgspec.json.decode(msgspec.json.encode(list_runs(store, ALL, limit=1)[0]))
    assert list(found) == [
        "run_id", "external_ref", "repository", "base_branch", "dry_run", "status", "waiting_for", "branch_name",
        "pull_request_url", "result_summary", "failure", "clarifications", "shard", "created_by", "accepted_at",
        "started_at", "completed_at",
    ]  # fmt: skip


class TestFindRun:
    IDS = (
        "5b0c6a5e-7d5c-4c1e-9a0f-2f6f5d1c7b11",
        "5b0cffff-7d5c-4c1e-9a0f-2f6f5d1c7b11",
        "e0000000-7d5c-4c1e-9a0f-2f6f5d1c7b11",
    )

    @pytest.fixture(autouse=True)
    def runs(self, store: Store, make_run: MakeRun) -> None:
        for run_id, user in zip(self.IDS, ("local:ann", "local:ann", "local:bob"), strict=True):
            store.runs.insert(make_run(user, run_id=run_id))

    @pytest.mark.parametrize(
        ("actor", "name", "expected"),
        [
            (ANN, "latest", 1),
            (OPERATOR, "latest", 2),
            (ANN, "LATEST ", 1),
            (ANN, "5b0c6", 0),
            (ANN, "5B0C6A5E", 0),
            (ANN, IDS[0], 0),
            (OPERATOR, "e000", 2),
        ],
    )
    def test_found(self, store: Store, actor: Actor, name: str, expected: int) -> None:
        """A run is found by `latest`, by its whole id, and by at least its first four characters, in any case."""
        assert find_run(store, actor, name) == self.IDS[expected]

    @pytest.mark.parametrize("name", ["e000", IDS[2], "abcdef", "0" * 36])
    def test_not_found(self, store: Store, name: str) -> None:
        """The error is the same for a missing run and for another submitter's."""
        with pytest.raises(NotFound, match=r"No run id|does not exist") as refusal:
            find_run(store, ANN, name)
        assert refusal.value.code == "run_not_found"

    @pytest.mark.parametrize(
        ("name", "words"),
        [("5b0c", "More than one run"), ("5b0", "too short"), ("", "not a run id"), ("shop", "not a run id")],
    )
    def test_refused(self, store: Store, name: str, words: str) -> None:
        """A prefix of several runs, too few characters, and an invalid id are refused."""
        with pytest.raises(InvalidRequest, match=words):
            find_run(store, ANN, name)


def test_latest_of_none(store: Store) -> None:
    """Without any run there is no latest one."""
    with pytest.raises(NotFound):
        find_run(store, OPERATOR, "latest")


def test_recent_repositories(store: Store, make_run: MakeRun) -> None:
    """The most recently used first."""
    for repository in ("acme/shop", "acme/site", "acme/shop"):
        store.runs.insert(make_run(repository=repository))
    assert recent_repositories(store) == ["acme/shop", "acme/site"]
