"""Requests that write do not keep those that read waiting, nor each other."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

import pytest
from litestar import Litestar, get, post
from litestar.datastructures import State
from litestar.testing import TestClient

from moonmind_appliance.api.request import ApiRequest
from moonmind_appliance.api.writing import WriteThreads, writes
from moonmind_appliance.store import DATABASE_NAME
from tests.api.served import REQUEST, Served


@get("/", sync_to_thread=True)
def reads(request: ApiRequest) -> str:
    del request
    return threading.current_thread().name


@post("/")
@writes
def changes(request: ApiRequest) -> str:
    """It says what it does."""
    del request
    return threading.current_thread().name


@asynccontextmanager
async def _threads(patience: float = 0.02) -> AsyncIterator[WriteThreads]:
    threads = WriteThreads(patience)
    try:
        yield threads
    finally:
        threads.close()


def test_handlers_that_write_have_threads_of_their_own() -> None:
    """The description is that of the handler."""
    threads = WriteThreads()
    api = Litestar(
        [reads, changes],
        state=State({"write_threads": threads}),
        request_class=ApiRequest,
        on_shutdown=[threads.close],
    )
    with TestClient(api) as client:
        assert client.post("/").text.startswith("write_")
        assert not client.get("/").text.startswith("write_")
    assert changes.fn.__doc__ == "It says what it does."


def test_calls_that_come_together_have_one_thread_and_keep_their_order() -> None:
    """Two threads that work slow each other down."""
    seen: list[tuple[int, str]] = []

    def call(number: int) -> Callable[[], int]:
        def function() -> int:
            seen.append((number, threading.current_thread().name))
            return number * 2

        return function

    async def run() -> list[int]:
        async with _threads(patience=60.0) as threads:
            return await asyncio.gather(*(threads.call(call(number)) for number in range(50)))

    assert asyncio.run(run()) == [number * 2 for number in range(50)]
    assert [number for number, _ in seen] == list(range(50))
    assert len({name for _, name in seen}) == 1


def test_a_call_that_waits_gets_another_thread() -> None:
    """Otherwise the calls behind it would have to wait, too."""
    release = threading.Event()

    async def run() -> list[str]:
        async with _threads() as threads:
            stuck = [asyncio.create_task(threads.call(release.wait)) for _ in range(3)]
            after = await asyncio.wait_for(threads.call(lambda: "done"), 20)
            assert not any(task.done() for task in stuck)
            release.set()
            return [after, *(str(found) for found in await asyncio.gather(*stuck))]

    assert asyncio.run(run()) == ["done", "True", "True", "True"]


def test_a_thread_that_is_not_needed_ends() -> None:
    """Its database connection is closed with it. A later call gets a new thread."""
    release = threading.Event()

    async def run() -> None:
        threads = WriteThreads(idle=0.5)
        try:
            stuck = [asyncio.create_task(threads.call(release.wait)) for _ in range(3)]
            await asyncio.wait_for(threads.call(threading.current_thread), 20)
            release.set()
            await asyncio.gather(*stuck)
            assert await asyncio.to_thread(_have_ended)
            assert await threads.call(lambda: "done") == "done"
        finally:
            threads.close()
            threads.close()

    before = set(threading.enumerate())

    def _alive() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each not in before and each.name.startswith("write_")]

    def _have_ended() -> bool:
        for each in _alive():
            each.join(20)
        return _alive() == []

    asyncio.run(run())
    assert _have_ended()


def test_a_result_does_not_wait_for_the_call_behind_it() -> None:
    """A caller whose change is stored gets its answer, even if the next call waits for another program's lock."""
    release, behind = threading.Event(), threading.Event()

    def first() -> str:
        behind.wait(20)
        return "first"

    async def run() -> None:
        async with _threads() as threads:
            calls = [asyncio.create_task(threads.call(first)), asyncio.create_task(threads.call(release.wait))]
            await asyncio.sleep(0)
            behind.set()
            assert await asyncio.wait_for(calls[0], 20) == "first"
            assert not calls[1].done()
            release.set()
            await calls[1]

    asyncio.run(run())


def test_a_thread_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's limit on threads delays a call, and no call after it is lost."""
    start, fails = threading.Thread.start, iter([True] * 40)

    def starts(thread: threading.Thread) -> None:
        if thread.name.startswith("write_") and next(fails, False):
            raise RuntimeError("can't start new thread")
        start(thread)

    async def run() -> list[int]:
        async with _threads(patience=0.001) as threads:
            return await asyncio.gather(*(threads.call(partial(int, number)) for number in range(5)))

    monkeypatch.setattr(threading.Thread, "start", starts)
    assert asyncio.run(asyncio.wait_for(run(), 30)) == [0, 1, 2, 3, 4]


def test_an_error_is_raised_where_the_answer_is_awaited() -> None:
    """The calls after it are made."""

    def fail() -> None:
        raise KeyError("name")

    async def run() -> str:
        async with _threads() as threads:
            failing = asyncio.create_task(threads.call(fail))
            after = asyncio.create_task(threads.call(lambda: "done"))
            with pytest.raises(KeyError, match="name"):
                await failing
            return await after

    assert asyncio.run(run()) == "done"


def test_a_caller_that_gave_up_does_not_disturb_the_others() -> None:
    """What has begun is finished."""
    begun, release, made = threading.Event(), threading.Event(), list[str]()

    def slow() -> None:
        begun.set()
        release.wait()
        made.append("slow")

    async def run() -> None:
        async with _threads() as threads:
            task = asyncio.create_task(threads.call(slow))
            await asyncio.to_thread(begun.wait)
            task.cancel()
            release.set()
            await threads.call(lambda: made.append("next"))
            assert task.cancelled()

    asyncio.run(run())
    assert sorted(made) == ["next", "slow"]


def test_reads_do_not_wait_for_a_lock_on_the_database(served: Served) -> None:
    """More submissions than there are threads for other requests wait for it; a token's use is saved later."""
    path = served.parts.resources.settings.moonmind_data_dir / DATABASE_NAME
    run_id = served.submit()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("UPDATE tokens SET last_used_at = NULL")
    other.execute("BEGIN IMMEDIATE")
    clients = [served.client() for _ in range(16)]
    with ThreadPoolExecutor(len(clients)) as callers:
        answers = [callers.submit(client.post, "/runs", json=REQUEST) for client in clients]
        assert served.client().get(f"/runs/{run_id}").status_code == 200
        assert not any(answer.done() for answer in answers)
        other.execute("ROLLBACK")
        assert [answer.result().status_code for answer in answers] == [202] * len(clients)
    other.close()
