"""A text field with a history."""

import pytest

from tests.tui.form_page import open_form, shown, write

pytestmark = pytest.mark.anyio


async def test_earlier_repositories_are_offered(attached):
    """The most recent first; Up restores what was typed."""
    for repository in ("acme/one", "acme/two", "other/three"):
        attached.submit(repository=repository)
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        assert "other/three, acme/two" in shown(form, "repository-problem")
        await write(pilot, "acme")
        await pilot.press("down")
        assert form.draft.repository == "acme/two"
        await pilot.press("down")
        assert form.draft.repository == "acme/one"
        await pilot.press("up", "up")
        assert form.draft.repository == "acme"
