"""The texts of a run, and saving a text to a file."""

import pytest
from textual.widgets import Input

from tests.tui.attached import settle, until
from tests.tui.run_page import SIZE, open_run, shown, texts
from tests.tui.sample_runs import CODEX

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


async def test_before_the_change_the_submitted_text_is_shown(attached, runs):
    """The spec tab says that it shows the submitted text."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["running"], "spec")
        await until(pilot, lambda: any("Basket" in text for text in texts(page)))
        assert shown(page, "state") == "The submitted specification; s saves it."
        page = await open_run(app, pilot, runs["running"], "plan")
        await until(pilot, lambda: any("Not written yet." in text for text in texts(page)))


async def test_save(attached, runs, folder):
    """To the typed path; an existing file is not overwritten."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        await until(pilot, lambda: texts(page))
        await pilot.press("s")
        field = page.query_one("#field", Input)
        assert field.value == "speckit_specify.stdout.jsonl"
        await pilot.press("enter")
        await settle(pilot)
        assert shown(page, "message") == f"Saved as {folder / 'speckit_specify.stdout.jsonl'}"
        assert (folder / "speckit_specify.stdout.jsonl").read_bytes() == CODEX
        await pilot.press("s", "enter")
        await settle(pilot)
        assert "exists. Give another name." in shown(page, "message")
        await pilot.press("s", "escape")
        await settle(pilot)
        assert app.screen is page
        assert not field.display


@pytest.mark.parametrize(("tab", "name"), [("diff", "change.patch"), ("spec", "spec.md"), ("artifacts", None)])
async def test_save_other_tabs(attached, runs, folder, tab, name):
    """Saves what the tab shows."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"], tab)
        await settle(pilot)
        wanted = name or page.shown.selected.name
        await pilot.press("s", "enter")
        await until(pilot, lambda: shown(page, "message").startswith("Saved"))
        assert (folder / wanted).stat().st_size > 0
