"""Requests that write do not keep those that read waiting."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

from litestar import Litestar, get, post
from litestar.datastructures import State
from litestar.testing import TestClient

from moonmind_appliance.api.request import ApiRequest
from moonmind_appliance.api.writing import write_threads, writes
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


def test_handlers_that_write_have_threads_of_their_own() -> None:
    """The description is that of the handler."""
    with write_threads() as threads:
        api = Litestar([reads, changes], state=State({"write_threads": threads}), request_class=ApiRequest)
        with TestClient(api) as client:
            assert client.post("/").text.startswith("write_")
            assert not client.get("/").text.startswith("write_")
    assert changes.fn.__doc__ == "It says what it does."


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
