"""The page of a run: every key and tab, with real logs and artifacts."""

import pytest
from textual.widgets import Input, Static

from moonmind_appliance.models import RunStatus
from tests.tui.attached import settle, until
from tests.tui.run_page import SIZE, open_run, shown, texts
from tests.tui.sample_runs import PULL_REQUEST
from tui.screens.confirm import Confirm
from tui.screens.new_run import NewRunScreen
from tui.screens.runs import RunsScreen

pytestmark = pytest.mark.anyio


@pytest.fixture
def sent(monkeypatch):
    texts = []

    def send(text, _environment, _write):
        texts.append(text)
        return "sent to your terminal"

    monkeypatch.setattr("tui.clipboard.send", send)
    return texts


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


async def test_header(attached, runs):
    """Outcome, code, who acts and next step; what the run waits for and until when; who submitted it."""
    app = attached.app()
    async with app.run_test(size=(140, 40)) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        assert "acme/billing" in shown(page, "header")
        assert "FAILED" in shown(page, "header")
        about = shown(page, "about")
        assert about.startswith(
            "push_rejected: remote: error: GH006: Protected branch. GitHub admin: Read GitHub's message"
        )
        assert "Submitted by olga 12:05" in about
        await pilot.press("escape")
        await settle(pilot)
        page = await open_run(app, pilot, runs["waiting"])
        assert "WAITING" in shown(page, "header")
        assert "Waits for quota until 14:" in shown(page, "about")


async def test_copy(attached, runs, sent):
    """The id, the address, the line, the path."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        await until(pilot, lambda: texts(page))
        await pilot.press("y", "o", "c", "p")
        await until(pilot, lambda: len(sent) == 4)
        path = attached.folder / f"runs/{runs['succeeded'].run_id}/artifacts/speckit_specify.stdout.jsonl"
        assert sorted(sent) == sorted([runs["succeeded"].run_id, PULL_REQUEST, "$ cat one.md  → 0", str(path)])
        await pilot.press("a", "p")
        await until(pilot, lambda: len(sent) == 5)
        assert sent[4].startswith(str(attached.folder / "runs"))


async def test_zoom(attached, runs):
    """The log fills the screen; the same key restores the layout."""
    app = attached.app()
    async with app.run_test(size=(80, 24)) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        before = page.log_view.size.height
        await pilot.press("z")
        await settle(pilot)
        assert page.log_view.size.height >= before + 5
        await pilot.press("z")
        await settle(pilot)
        assert page.log_view.size.height == before


async def test_cancel_and_retry(attached, runs):
    """A key without effect is not in the footer, and explains itself when pressed."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        assert "x" not in app.active_bindings
        await pilot.press("x")
        await settle(pilot)
        assert "has ended" in shown(page, "message")
        await pilot.press("r")
        await until(pilot, lambda: attached.store.runs.get(runs["failed"].run_id).status is RunStatus.QUEUED)
        await until(pilot, lambda: "x" in app.active_bindings)
        await pilot.press("r")
        await settle(pilot)
        assert "Only failed and cancelled" in shown(page, "message")
        await pilot.press("x")
        await settle(pilot)
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await until(pilot, lambda: attached.store.runs.get(runs["failed"].run_id).status is RunStatus.CANCELLED)


async def test_again_and_back(attached, runs):
    """`A` opens the form with the run's values; Escape goes back to the list."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await open_run(app, pilot, runs["failed"])
        await pilot.press("A")
        await settle(pilot)
        assert isinstance(app.screen, NewRunScreen)
        await until(pilot, lambda: app.screen.draft.repository == "acme/billing")
        await pilot.press("escape")
        await settle(pilot)
        await pilot.press("escape")
        await settle(pilot)
        assert isinstance(app.screen, RunsScreen)


async def test_an_artifact_is_shown_from_its_start_under_its_name(attached, runs):
    """Also after another log; s saves the shown artifact."""
    run = runs["succeeded"]
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_run(app, pilot, run)
        await until(pilot, lambda: screen.log_view.line_count > 0)
        path = attached.folder / "environment.json"
        path.write_text("".join(f"line {number}\n" for number in range(400)))
        screen._show_artifact("environment.json", path)
        await until(pilot, lambda: "environment.json  1-" in str(screen.query_one("#state", Static).content))
        await pilot.press("s")
        assert screen.query_one("#field", Input).value == "environment.json"
