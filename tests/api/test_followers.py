"""Streams are woken by what concerns their run, and by nothing else."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.api.followers import Followers
from moonmind_appliance.models import Actor, Phase, PhaseName, PhaseStatus, Run
from moonmind_appliance.resources import Resources, utc_now
from moonmind_appliance.store import Store
from moonmind_appliance.views.run_tail import Position, RunTail
from tests.appliance_under_test import make_resources

LOOK_EVERY = 0.01
MakeRun = Callable[..., Run]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def resources(data_dir: Path) -> Iterator[Resources]:
    store = Store.open(data_dir)
    yield make_resources(store, data_dir, clock=utc_now)
    store.close()


@pytest.fixture
def make_run() -> MakeRun:
    return lambda: Run(
        run_id=str(uuid.uuid4()),
        repository="acme/shop",
        specify_text="Add a basket.",
        accepted_at=datetime.now(UTC),
        created_by=Actor("local:ann", "ann"),
    )


def tail_of(resources: Resources, run_id: str) -> RunTail:
    """A tail that has been read to its end."""
    tail = RunTail(resources.store, resources.files, run_id, Position())
    while tail.read():
        pass
    return tail


async def woken(event: asyncio.Event) -> bool:
    """Whether it is set within some looks."""
    try:
        async with asyncio.timeout(5):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def some_looks() -> None:
    await asyncio.sleep(10 * LOOK_EVERY)


async def quiet(event: asyncio.Event) -> None:
    """Wait for the first wake-up, which every stream gets, and clear it."""
    assert await woken(event)
    await some_looks()
    event.clear()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def test_an_event_wakes_the_streams_of_its_run(resources: Resources, make_run: MakeRun) -> None:
    """The stream of another run sleeps on."""
    ours, other = (resources.store.runs.insert(make_run()).run_id for _ in range(2))

    async def test() -> None:
        followers = Followers(resources, LOOK_EVERY)
        with (
            followers.follow(tail_of(resources, ours)) as first,
            followers.follow(tail_of(resources, ours)) as second,
            followers.follow(tail_of(resources, other)) as third,
        ):
            for event in (first, second, third):
                await quiet(event)
            resources.store.runs.request_cancel(ours, now=datetime.now(UTC))
            assert await woken(first)
            assert await woken(second)
            await some_looks()
            assert not third.is_set()

    run(test())


def test_a_longer_log_wakes_the_streams_of_its_run(resources: Resources, make_run: MakeRun) -> None:
    """Log lines are not in the database. A log that does not grow wakes nobody."""
    store, now = resources.store, datetime.now(UTC)
    run_id = store.runs.insert(make_run()).run_id
    assert store.queue.claim(0, "lease", now=now, lease_seconds=600)
    log = resources.files.open(run_id, "plan.log", resources.redactor)
    phase = Phase(
        phase=PhaseName.SPECKIT_PLAN,
        status=PhaseStatus.RUNNING,
        attempt=1,
        started_at=now,
        stdout_path=log.storage_path,
    )
    store.progress.save_phase(run_id, "lease", phase)
    log.write(b"one\n")

    async def test() -> None:
        followers = Followers(resources, LOOK_EVERY)
        tail = tail_of(resources, run_id)
        with followers.follow(tail) as event:
            await quiet(event)
            await some_looks()
            assert not event.is_set()
            log.write(b"two\n")
            assert await woken(event)
            assert [message.data["line"] for message in tail.read()] == ["two"]

    run(test())
    log.close()


def test_a_stop_wakes_all(resources: Resources, make_run: MakeRun) -> None:
    """The streams end with the server."""
    run_id = resources.store.runs.insert(make_run()).run_id

    async def test() -> None:
        followers = Followers(resources, LOOK_EVERY)
        with followers.follow(tail_of(resources, run_id)) as event:
            await quiet(event)
            resources.stopping.set()
            assert await woken(event)

    run(test())


def test_a_database_that_cannot_be_read_wakes_all(resources: Resources, make_run: MakeRun, data_dir: Path) -> None:
    """The streams report it themselves. When the file is back, changes are noticed again."""
    run_id = resources.store.runs.insert(make_run()).run_id
    path = data_dir / "appliance.db"

    async def test() -> None:
        followers = Followers(resources, LOOK_EVERY)
        with followers.follow(tail_of(resources, run_id)) as event:
            await quiet(event)
            path.rename(path.with_suffix(".away"))
            assert await woken(event)
            path.with_suffix(".away").rename(path)
            await quiet(event)
            resources.store.runs.request_cancel(run_id, now=datetime.now(UTC))
            assert await woken(event)

    run(test())


def test_an_unexpected_error_does_not_end_the_task(
    resources: Resources, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All streams are woken, so that they read their runs themselves."""
    run_id = resources.store.runs.insert(make_run()).run_id

    async def test() -> None:
        followers = Followers(resources, LOOK_EVERY)
        with followers.follow(tail_of(resources, run_id)) as event:
            await quiet(event)
            monkeypatch.setattr(followers._changes, "affected", lambda _: 1 / 0)
            await quiet(event)
            monkeypatch.undo()
            await some_looks()
            event.clear()
            resources.store.runs.request_cancel(run_id, now=datetime.now(UTC))
            assert await woken(event)

    run(test())


def test_a_stream_that_comes_during_a_look_is_woken(
    resources: Resources, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have read its run before a change that this look has passed."""
    first, second = (resources.store.runs.insert(make_run()).run_id for _ in range(2))

    async def test() -> None:
        followers = Followers(resources, LOOK_EVERY)
        with followers.follow(tail_of(resources, first)) as event:
            await quiet(event)
            looked, look = asyncio.Event(), followers._affected
            go_on = asyncio.Event()

            async def slow_look(*args: Any) -> Any:
                found = await look(*args)
                looked.set()
                await go_on.wait()
                return found

            monkeypatch.setattr(followers, "_affected", slow_look)
            await looked.wait()
            with followers.follow(tail_of(resources, second)) as late:
                go_on.set()
                assert await woken(late)

    run(test())


def test_nothing_is_looked_at_without_streams(resources: Resources, make_run: MakeRun) -> None:
    """The task ends with the last stream and closes its connection; the next stream starts another one."""
    run_id = resources.store.runs.insert(make_run()).run_id

    async def test() -> None:
        followers = Followers(resources, LOOK_EVERY)
        for _ in range(2):
            with followers.follow(tail_of(resources, run_id)) as event:
                await quiet(event)
                assert len(asyncio.all_tasks()) == 2
            async with asyncio.timeout(5):
                await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
            assert followers._changes._watch is None

    run(test())
