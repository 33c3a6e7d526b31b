"""The events and artifacts of a run."""

import pytest

from tests.tui.attached import settle
from tests.tui.run_page import SIZE, open_run, shown, texts
from tui.row_views import event_detail

pytestmark = pytest.mark.anyio


async def test_artifacts_can_be_opened(attached, runs):
    """A log opens in the log tab, the patch in the diff tab."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"], "artifacts")
        names = [text.split()[0] for text in texts(page)]
        page.shown.go_to(names.index("speckit_plan.stdout.jsonl"))
        await pilot.press("enter")
        await settle(pilot)
        assert shown(page, "state").startswith("speckit_plan stdout")
        await pilot.press("a")
        page.shown.go_to(names.index("change.patch"))
        await pilot.press("enter")
        await settle(pilot)
        assert page._tab == "diff"


async def test_an_event_with_its_duration():
    """Seconds are shown as a duration, the summary without a name."""
    data = {"status": "failed", "seconds": 61.5, "failure": "push_rejected", "summary": "git failed."}
    assert event_detail(data) == "1 m 01 s, failure push_rejected, git failed."
