"""The page of a run: every key and tab, with real logs and artifacts."""

import pytest
from textual.widgets import Input, Static

from moonmind_appliance.models import PhaseName, RunStatus
from moonmind_appliance.views.changes import Change
from tests.tui.attached import settle, until
from tests.tui.sample_runs import CODEX, PULL_REQUEST, item, runs_in_every_state
from tui.feed import DataChanged
from tui.log_view import LogView
from tui.screens import make_screen
from tui.screens.confirm import Confirm
from tui.screens.new_run import NewRunScreen
from tui.screens.run import TABS, RunScreen
from tui.screens.runs import RunsScreen

pytestmark = pytest.mark.anyio

SIZE = (100, 32)


@pytest.fixture
def runs(attached):
    return runs_in_every_state(attached)


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


async def open_run(app, pilot, run, tab=""):
    await settle(pilot)
    page = make_screen("run", run.run_id, tab)
    await app.push_screen(page)
    await settle(pilot)
    assert isinstance(page, RunScreen)
    return page


def shown(page, name):
    return str(page.query_one(f"#{name}", Static).content)


def texts(page):
    """The visible rows."""
    lines = page.shown
    if isinstance(lines, LogView):
        return [row.text for row in lines._window.rows]
    return [lines.plain(y) for y in range(lines.line_count)]


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


async def test_phases_show_state_time_bar_and_attempt(attached, runs):
    """One line per phase, in order."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        lines = [page.timeline.plain(y) for y in range(9)]
        assert lines[4].split()[:3] == ["✓", "speckit_plan", "2m10s"]
        assert "━" in lines[4]
        assert lines[6].split()[:3] == ["✗", "commit_push", "1.3s"]
        assert lines[7].split() == ["·", "open_pr", "-"]
        assert page.timeline.selected.phase is PhaseName.COMMIT_PUSH


async def test_a_failed_run_opens_at_the_end_of_the_failed_log(attached, runs):
    """The reason is usually there."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: texts(page))
        assert shown(page, "state").startswith("commit_push stderr")
        assert "-301 of 301" in shown(page, "state")
        assert page.log_view.plain(page.log_view.cursor) == "remote: error: GH006"


async def test_a_big_log_opens_at_its_real_end(attached, runs):
    """Although only its first part is read before the first line is shown."""
    path = attached.folder / f"runs/{runs['failed'].run_id}/artifacts/commit_push.stderr.log"
    path.write_bytes(b"".join(b"%09d a line of a log\n" % number for number in range(500_000)) + b"the last line\n")
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: page.log_view.plain(page.log_view.cursor) == "the last line")
        await until(pilot, lambda: "-500,001 of 500,001" in shown(page, "state"))
        await pilot.press("g", "slash", *"LAST", "enter")
        await until(pilot, lambda: "find: LAST 1/1" in shown(page, "state"))
        assert page.log_view.plain(page.log_view.cursor) == "the last line"


async def test_a_running_run_is_followed(attached, runs):
    """New lines appear, events as text, and the last line stays visible."""
    app = attached.app()
    run = runs["running"]
    log = attached.folder / f"runs/{run.run_id}/artifacts/speckit_specify.stdout.jsonl"
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, run)
        await until(pilot, lambda: texts(page))
        assert page.log_view.follow
        assert texts(page)[:2] == ["$ cat one.md  → 0", "  text of one"]
        with log.open("ab") as file:
            file.write(item(type="agent_message", text="Hello\x1b[2J from \u202ethe agent"))
        await until(pilot, lambda: texts(page)[-1] == "Hello from the agent")
        assert page.log_view.plain(page.log_view.cursor) == "Hello from the agent"
        await pilot.press("k")
        await settle(pilot)
        assert not page.log_view.follow
        with log.open("ab") as file:
            file.write(item(type="agent_message", text="More") * 200)
        await until(pilot, lambda: "of 208" in shown(page, "state"))
        assert page.log_view.plain(page.log_view.cursor) != "More"
        await pilot.press("f")
        await until(pilot, lambda: page.log_view.plain(page.log_view.cursor) == "More")


async def test_raw_and_wrap(attached, runs):
    """`v` shows the raw events, `w` wraps them."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        await until(pilot, lambda: texts(page))
        await pilot.press("v")
        await until(pilot, lambda: len(texts(page)) == CODEX.count(b"\n"))
        assert texts(page) == CODEX.decode().splitlines()
        await pilot.press("w")
        await until(pilot, lambda: len(texts(page)) > CODEX.count(b"\n"))
        assert max(map(len, texts(page))) <= page.log_view.size.width
        assert "".join(texts(page)) == CODEX.decode().replace("\n", "")
        await pilot.press("w", "v")
        await until(pilot, lambda: texts(page)[0] == "$ cat one.md  → 0")


async def test_search(attached, runs):
    """Slash, text and Enter in one burst; `n` and `N` go forwards and backwards; Escape ends the search."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: texts(page))
        view = page.log_view
        await pilot.press("slash", *"LINE", "space", *"1", "enter")
        await until(pilot, lambda: view.plain(view.cursor) == "remote: line 1")
        assert "find: LINE 1 1/111" in shown(page, "state")
        await pilot.press("n")
        await until(pilot, lambda: view.plain(view.cursor) == "remote: line 10")
        await pilot.press("N")
        await until(pilot, lambda: view.plain(view.cursor) == "remote: line 1")
        await pilot.press("N")
        await until(pilot, lambda: view.plain(view.cursor) == "remote: line 199")
        await pilot.press("escape")
        await settle(pilot)
        assert "find" not in shown(page, "state")
        assert app.screen is page


async def test_a_search_without_a_result_is_reported(attached, runs):
    """In every kind of tab."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: texts(page))
        await pilot.press("slash", *"nowhere", "enter")
        await until(pilot, lambda: "nowhere (not found)" in shown(page, "state"))
        await pilot.press("right_square_bracket", "n")
        await settle(pilot)
        assert "nowhere (not found)" in shown(page, "state")


async def test_search_in_events_searches_the_shown_text(attached, runs):
    """Text that is only in the JSON is not found."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        await until(pilot, lambda: texts(page))
        view = page.log_view
        await pilot.press("slash", *"three", "enter")
        await until(pilot, lambda: view.plain(view.cursor) == "$ cat three.md  → 0")
        await pilot.press("escape", "slash", *"aggregated", "enter")
        await until(pilot, lambda: "(not found)" in shown(page, "state"))


async def test_first_error(attached, runs):
    """In events the first failed command; in text the first line with an error."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        await until(pilot, lambda: texts(page))
        await pilot.press("e")
        await until(pilot, lambda: page.log_view.plain(page.log_view.cursor) == "$ cat none.md  → 1")
        await pilot.press("escape")
        await settle(pilot)
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: texts(page))
        await pilot.press("g", "e")
        await until(pilot, lambda: page.log_view.plain(page.log_view.cursor) == "remote: error: GH006")


async def test_moving_in_a_log(attached, runs):
    """To both ends, by lines and by pages; the line under the cursor stays the same."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await until(pilot, lambda: texts(page))
        view = page.log_view

        async def after(*keys):
            await pilot.press(*keys)
            await settle(pilot)
            return view.plain(view.cursor)

        height = view.size.height
        assert await after("g") == "remote: line 0"
        assert await after("j", "down", "k") == "remote: line 1"
        assert await after("pagedown") == f"remote: line {height}"
        assert await after("pageup") == "remote: line 1"
        assert await after(*["j"] * 250) == "remote: line 251"
        assert await after(*["k"] * 200) == "remote: line 51"
        assert await after("G") == "remote: error: GH006"
        assert await after("home") == "remote: line 0"
        assert await after("end") == "remote: error: GH006"


async def test_logs_of_other_phases(attached, runs):
    """Plus and minus go through the logs; the cursor in the phases selects one, too."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        await until(pilot, lambda: texts(page))
        assert shown(page, "state").startswith("speckit_specify stdout")
        await pilot.press("plus")
        await settle(pilot)
        assert shown(page, "state").startswith("speckit_plan stdout")
        await pilot.press("plus")
        await settle(pilot)
        assert shown(page, "state").startswith("speckit_specify stdout")
        await pilot.press("minus")
        await settle(pilot)
        assert shown(page, "state").startswith("speckit_plan stdout")
        page.set_focus(page.timeline)
        await pilot.press("k")
        await settle(pilot)
        assert shown(page, "state").startswith("speckit_specify stdout")


async def test_tabs(attached, runs):
    """Brackets go through all tabs; `l` and `a` open two of them."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"])
        seen = []
        for _ in TABS:
            seen.append(page._tab)
            await pilot.press("right_square_bracket")
            await settle(pilot)
        assert tuple(seen) == TABS
        assert page._tab == "log"
        await pilot.press("left_square_bracket")
        await settle(pilot)
        assert page._tab == "events"
        assert any("run queued" in text for text in texts(page))
        await pilot.press("a")
        await settle(pilot)
        assert any("change.patch" in text for text in texts(page))
        await pilot.press("l")
        assert page._tab == "log"


@pytest.mark.parametrize(
    ("tab", "found"),
    [
        ("diff", "+- FR-001: The shop MUST keep a basket."),
        ("spec", "Basket"),
        ("plan", "Plan of the basket"),
        ("tasks", "The run did not write this file."),
        ("questions", " 1 How long is a basket kept?"),
    ],
)
async def test_documents(attached, runs, tab, found):
    """The change, Spec Kit's documents, and the open questions."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["succeeded"], tab)
        await until(pilot, lambda: any(text.rstrip() == found for text in texts(page)))


async def test_before_the_change_the_submitted_text_is_shown(attached, runs):
    """The spec tab says that it shows the submitted text."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        page = await open_run(app, pilot, runs["running"], "spec")
        await until(pilot, lambda: any("Basket" in text for text in texts(page)))
        assert shown(page, "state") == "The submitted specification; s saves it."
        page = await open_run(app, pilot, runs["running"], "plan")
        await until(pilot, lambda: any("Not written yet." in text for text in texts(page)))


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


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48), (10, 3)])
async def test_every_size(attached, runs, size):
    """Every size works, also during a resize."""
    app = attached.app()
    async with app.run_test(size=size) as pilot:
        page = await open_run(app, pilot, runs["failed"])
        await pilot.resize_terminal(100, 30)
        await settle(pilot)
        await pilot.resize_terminal(*size)
        await settle(pilot)
        assert app.screen is page


async def test_a_change_while_the_page_opens_is_safe(attached, runs):
    """The page has no widgets yet, and reads everything when it has them."""
    app = attached.app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        opened = app.push_screen(make_screen("run", runs["queued"].run_id))
        app.on_data_changed(DataChanged(Change(frozenset(), frozenset(), 0, other=True)))
        await opened
        await until(pilot, lambda: runs["queued"].short_id in str(app.screen.query_one("#header", Static).content))


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
