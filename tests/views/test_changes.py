"""Changes by any process are noticed at once, and nothing is reported without a change."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import Run, Shard
from moonmind_appliance.store import Store
from moonmind_appliance.views.changes import Change, changes, latest
from tests.shard_states import save_shard

MakeRun = Callable[..., Run]

_INSERT = """
import sys, uuid
from datetime import UTC, datetime
from pathlib import Path
from moonmind_appliance.models import Actor, Run
from moonmind_appliance.store import Store

store = Store.open(Path(sys.argv[1]))
sys.stdin.readline()
run = Run(run_id=sys.argv[2], repository="a/b", specify_text="x", accepted_at=datetime.now(UTC),
    created_by=Actor("local:ann", "ann"))
store.runs.insert(run)
store.close()
"""


class Follower:
    """Follows the changes in a thread, as an interface would."""

    def __init__(self, store: Store, since: int) -> None:
        self.seen: list[Change] = []
        self.error: Exception | None = None
        self.stop = threading.Event()
        self._new = threading.Condition()
        self._thread = threading.Thread(target=self._follow, args=(store, since))
        self._thread.start()

    def _follow(self, store: Store, since: int) -> None:
        try:
            for change in changes(store, since, stop=self.stop, every=0.01):
                with self._new:
                    self.seen.append(change)
                    self._new.notify_all()
        except StoreError as error:
            self.error = error

    def wait_for(self, count: int) -> list[Change]:
        with self._new:
            assert self._new.wait_for(lambda: len(self.seen) >= count, timeout=10), self.seen
            return list(self.seen)

    def wait_for_event(self, event_id: int) -> list[Change]:
        """All changes up to the one that has that event."""
        with self._new:
            assert self._new.wait_for(lambda: any(c.last_event >= event_id for c in self.seen), timeout=10), self.seen
            return list(self.seen)

    def end(self) -> None:
        self.stop.set()
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture
def follow(store: Store) -> Iterator[Callable[[], Follower]]:
    """Start to follow from now on; returns when the follower looks."""
    followers: list[Follower] = []

    def start() -> Follower:
        follower = Follower(store, latest(store))
        followers.append(follower)
        time.sleep(0.05)
        return follower

    yield start
    for follower in followers:
        follower.end()


def test_names_runs_and_shards(store: Store, make_run: MakeRun, now: datetime, follow: Callable[[], Follower]) -> None:
    """A change names the runs and shards of its events, and the newest event."""
    one = store.runs.insert(make_run())
    follower = follow()
    two = store.runs.insert(make_run())
    store.queue.claim(2, "mine", now=now, lease_seconds=9)
    save_shard(store, Shard(shard=0), event="shard.looked")
    seen = follower.wait_for_event(latest(store))
    assert frozenset().union(*(change.run_ids for change in seen)) == {one.run_id, two.run_id}
    assert frozenset().union(*(change.shards for change in seen)) == {0, 2}
    assert not any(change.other for change in seen)
    assert seen[-1].last_event == latest(store)


def test_another_process(
    store: Store, in_process: Callable[..., "subprocess.Popen[str]"], follow: Callable[[], Follower]
) -> None:
    """What another process writes is noticed, too."""
    child = in_process(_INSERT, "r1")
    assert child.stdin is not None
    follower = follow()
    child.communicate("\n")
    seen = follower.wait_for_event(1)
    assert seen[-1].run_ids == {"r1"}


def test_without_an_event(store: Store, make_run: MakeRun, now: datetime, follow: Callable[[], Follower]) -> None:
    """A heartbeat has no event: it counts as `other`, and the newest event stays."""
    run = store.runs.insert(make_run())
    store.queue.claim(0, "mine", now=now, lease_seconds=9)
    follower = follow()
    store.queue.heartbeat(run.run_id, "mine", now=now + timedelta(seconds=1), lease_seconds=9)
    assert follower.wait_for(1) == [Change(frozenset(), frozenset(), latest(store), other=True)]


def test_silence(store: Store, make_run: MakeRun, follow: Callable[[], Follower]) -> None:
    """Nothing is yielded while nothing is written; reads have no effect."""
    store.runs.insert(make_run())
    follower = follow()
    for _ in range(20):
        store.run_lists.queued()
        time.sleep(0.01)
    assert follower.seen == []


def test_from_an_earlier_event(store: Store, make_run: MakeRun) -> None:
    """A late follower first gets what happened since that event."""
    since = latest(store)
    run = store.runs.insert(make_run())
    found = next(iter(changes(store, since, stop=threading.Event(), every=0.01)))
    assert found == Change(frozenset({run.run_id}), frozenset(), latest(store), other=False)


def test_stop(store: Store) -> None:
    """It ends after `stop` is set."""
    stop = threading.Event()
    stop.set()
    assert list(changes(store, latest(store), stop=stop)) == []


def test_nothing_is_missed(store: Store, make_run: MakeRun, follow: Callable[[], Follower]) -> None:
    """Each of a hundred quickly submitted runs is reported."""
    follower = follow()
    ids = {store.runs.insert(make_run()).run_id for _ in range(100)}
    seen = follower.wait_for_event(latest(store))
    assert frozenset().union(*(change.run_ids for change in seen)) == ids


@pytest.mark.parametrize(("loss", "words"), [("removed", "no longer exists"), ("replaced", "replaced")])
def test_lost_database(store: Store, data_dir: Path, follow: Callable[[], Follower], loss: str, words: str) -> None:
    """A file that is removed or replaced is an error at once; SQLite alone would continue with the old one."""
    follower = follow()
    path = data_dir / "appliance.db"
    path.rename(data_dir / "aside.db")
    if loss == "replaced":
        path.write_bytes((data_dir / "aside.db").read_bytes())
    follower._thread.join(5)
    assert words in str(follower.error)
