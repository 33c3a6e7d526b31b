"""Changes of the database reach the pages."""

import pytest

from moonmind_appliance.errors import StoreError
from tests.tui.attached import settle
from tests.tui.runs_page import SIZE, shown, table
from tui.feed import DataFound, DataLost

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
        app.post_message(DataFound())
        await settle(pilot)
        assert shown(app, "message") == "The database can be read again."
