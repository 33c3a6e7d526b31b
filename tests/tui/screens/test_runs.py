"""The list of runs: every key, the filter, live changes, and errors."""

import pytest
from textual.widgets import Input

from moonmind_appliance.models import RunStatus
from tests.tui.attached import settle, until
from tests.tui.runs_page import SIZE, select, shown, table
from tests.tui.sample_runs import PULL_REQUEST, succeeded
from tui.screens.new_run import NewRunScreen
from tui.screens.run import RunScreen
from tui.screens.runs import RunsScreen

pytestmark = pytest.mark.anyio


@pytest.fixture
def sent(attached, monkeypatch):
    """What the terminal's clipboard received."""
    texts = []

    def send(text, _environment, _write):
        texts.append(text)
        return "sent to your terminal"

    monkeypatch.setattr("tui.clipboard.send", send)
    return texts


def statuses(app):
    found = table(app)
    return [found.rows[run_id].summary.status for run_id in found.ids]


async def test_running_and_queued_runs_come_first(attached, runs):
    """The others follow, newest first."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        assert statuses(app) == [
            RunStatus.IN_PROGRESS,
            RunStatus.QUEUED,
            RunStatus.QUEUED,
            RunStatus.CANCELLED,
            RunStatus.FAILED,
            RunStatus.SUCCEEDED,
        ]
        assert shown(app, "count") == "6 runs"


async def test_a_line_explains_the_selected_run(attached, runs):
    """What it waits for and until when; why it failed, who acts and what to do; its pull request."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await select(app, pilot, runs["waiting"])
        assert "Waits for quota until 14:11 (1 h 55 min)" in shown(app, "about")
        await select(app, pilot, runs["failed"])
        assert "push_rejected. GitHub admin: Read GitHub's message, change the rule that rejects the branch" in shown(
            app, "about"
        )
        await select(app, pilot, runs["succeeded"])
        assert PULL_REQUEST in shown(app, "about")


async def test_an_empty_list_shows_what_to_do(attached):
    """A new operator finds the key."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        assert shown(app, "about") == f"No runs in {attached.folder} yet. Press n to submit one."


@pytest.mark.parametrize(
    ("text", "found"),
    [("GLOBEX", 1), ("failed", 1), ("jira-1", 1), ("olga", 6), ("nothing like it", 0), ("acme", 4)],
)
async def test_filter_as_you_type(attached, runs, text, found):
    """Slash and the letters come in one burst; repository, reference, user and status are searched, ignoring case."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("slash", *["space" if letter == " " else letter for letter in text])
        await settle(pilot)
        assert app.screen.query_one("#filter", Input).value == text
        assert len(table(app).ids) == found
        assert shown(app, "count") == f"{found} of 6 runs" if found != 6 else "6 runs"


async def test_enter_and_down_leave_the_filter_and_escape_clears_it(attached, runs):
    """The filter stays until Escape."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        for leave in ("enter", "down"):
            await pilot.press("slash", "g", "l", leave)
            await settle(pilot)
            assert app.focused is table(app)
            assert len(table(app).ids) == 1
            await pilot.press("escape")
            await settle(pilot)
            assert app.focused is table(app)
            assert len(table(app).ids) == 6


async def test_letters_that_are_keys_can_be_typed(attached, runs):
    """x, r, n, q and 1 only appear in the filter."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("slash", "x", "r", "n", "q", "1", "question_mark", "colon")
        await settle(pilot)
        assert app.screen.query_one("#filter", Input).value == "xrnq1?:"
        assert isinstance(app.screen, RunsScreen)


async def test_sort(attached, runs):
    """`s` goes through all orders."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        first = list(table(app).ids)
        seen = []
        for _ in range(6):
            await pilot.press("s")
            await settle(pilot)
            seen.append(shown(app, "sort").split()[1])
        assert sorted(seen) == ["active", "duration", "newest", "oldest", "repository", "status"]
        assert list(table(app).ids) == first


@pytest.mark.parametrize(("key", "tab"), [("enter", "log"), ("l", "log"), ("a", "artifacts")])
async def test_open(attached, runs, key, tab):
    """Enter, `l` and `a` open the run on the right tab."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press(key)
        await settle(pilot)
        assert isinstance(app.screen, RunScreen)
        assert app.screen._tab == tab
        assert app.screen._run_id == runs["running"].run_id


async def test_new_and_again(attached, runs):
    """`n` opens an empty form, `N` one with the run's values."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("n")
        await settle(pilot)
        assert isinstance(app.screen, NewRunScreen)
        await pilot.press("escape")
        await settle(pilot)
        await pilot.press("N")
        await settle(pilot)
        assert isinstance(app.screen, NewRunScreen)
        await until(pilot, lambda: app.screen.draft.repository == "acme/shop")


async def test_copy(attached, runs, sent):
    """`y` copies the id, `o` the pull request's address; a message explains a missing address."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("y", "o")
        await settle(pilot)
        assert "has no pull request" in shown(app, "message")
        await select(app, pilot, runs["succeeded"])
        await pilot.press("o")
        await settle(pilot)
        assert sent == [runs["running"].run_id, PULL_REQUEST]
        assert shown(app, "message") == f"Address sent to your terminal: {PULL_REQUEST}"


async def test_browser(attached, runs, monkeypatch):
    """`O` reports a missing browser, and what to press instead."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await select(app, pilot, runs["succeeded"])
        await pilot.press("O")
        await settle(pilot)
        assert "no browser on this machine. Press o" in shown(app, "message")


async def test_leave(attached, runs):
    """`q` quits; the run continues."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("q")
        await pilot.pause()
    assert app.return_code == 0
    assert attached.store.runs.get(runs["running"].run_id).status is RunStatus.IN_PROGRESS


async def test_ages_change_with_the_clock(attached, runs):
    """A tick repaints only lines whose text changed."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        found, painted = table(app), []
        found.repaint_lines = lambda lines: painted.append(list(lines))
        app.screen.tick()
        attached.advance(minutes=1)
        app.screen.tick()
        assert painted[0] == []
        assert painted[1] != []


async def test_mouse(attached, runs):
    """A click selects, a click on the selected run opens it, the wheel moves."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.click("#runs", offset=(20, 2))
        assert table(app).cursor == 2
        await pilot.click("#runs", offset=(20, 2), times=2)
        await settle(pilot)
        assert isinstance(app.screen, RunScreen)


async def test_a_finished_run_is_updated(attached):
    """A change by another connection is shown without a key."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        run = succeeded(attached)
        await until(pilot, lambda: table(app).rows.get(run.run_id) is not None)
        await until(pilot, lambda: table(app).rows[run.run_id].summary.status is RunStatus.SUCCEEDED)
