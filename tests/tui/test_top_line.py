"""The top line."""

import msgspec
import pytest

from tests.tui.attached import settle
from tests.tui.runs_page import SIZE

pytestmark = pytest.mark.anyio


async def test_serve_is_shown(attached, runs):
    """Every page shows whether `serve` is running."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        assert "serve: running" in app.serve_text.plain
        attached.served = msgspec.structs.replace(attached.served, answers=False)
        app.check_serve()
        await settle(pilot)
        assert "serve: not running" in app.screen.top.render().plain
