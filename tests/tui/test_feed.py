"""Changes of the database reach the pages."""

import queue
import threading
from types import SimpleNamespace

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.store import Watch
from tests.tui.attached import WAIT_SECONDS, settle
from tests.tui.runs_page import SIZE, shown, table
from tui.feed import DataChanged, DataFound, DataLost, Feed

pytestmark = pytest.mark.anyio


async def test_a_lost_database_is_reported_and_the_old_rows_stay(attached, runs):
    """The message disappears when the database is back."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        app.post_message(DataLost(StoreError("Database appliance.db: another process held a lock for too long.")))
        await settle(pilot)
        assert "another process held a lock for too long. Shown: state of 12:" in shown(app, "message")
        assert len(table(app).ids) == 6
        assert "✗ database: not readable" in app.screen.top.render().plain
        assert "serve:" not in app.screen.top.render().plain
        app.post_message(DataFound())
        await settle(pilot)
        assert shown(app, "message") == "The database can be read again."
        assert "serve: running" in app.screen.top.render().plain


async def test_a_removed_database_stays_lost_until_its_file_is_back(attached, runs, monkeypatch):
    """It is reported once, and not as found with every new try."""
    monkeypatch.setattr("tui.feed._TRY_AGAIN_SECONDS", 0.01)
    # All events are news: the first message shows that the file is open.
    monkeypatch.setattr("tui.feed.latest", lambda _: 0)
    tries, said = threading.Semaphore(0), queue.SimpleQueue()
    monkeypatch.setattr("tui.feed.Watch", lambda database: (tries.release(), Watch(database))[1])
    feed = Feed(SimpleNamespace(post_message=lambda message: said.put(type(message))), attached.store)
    feed.start()
    assert said.get(timeout=WAIT_SECONDS) is DataChanged
    file = attached.folder / "appliance.db"
    kept = file.rename(attached.folder / "kept.db")
    assert said.get(timeout=WAIT_SECONDS) is DataLost
    for _ in range(3):
        assert tries.acquire(timeout=WAIT_SECONDS)
    assert said.empty()
    kept.rename(file)
    assert said.get(timeout=WAIT_SECONDS) is DataFound
    feed.stop()
