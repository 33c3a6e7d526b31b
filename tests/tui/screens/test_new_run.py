"""The new-run form: every key, every field, the draft, and the submitted request."""

import pytest
from textual.widgets import Input, TextArea

from moonmind_appliance.checks import ServeState
from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import RunStatus
from moonmind_appliance.views.run_summary import RunFilter, RunOrder, run_ids
from tests.known_tokens import REAL
from tests.tui.attached import attached_to, settle, until
from tests.tui.form_page import open_form, shown, write
from tui.drafts import Draft, draft_file
from tui.feed import DataFound, DataLost
from tui.screens import make_screen
from tui.screens.confirm import Confirm

pytestmark = pytest.mark.anyio

DRAFT = Draft(repository="acme/billing", specify_text="# Kept\n", base_branch="next", shard=1, dry_run=True)


@pytest.fixture
def saved_draft(attached):
    """The draft's file."""
    return draft_file(attached.resources.settings.moonmind_data_dir, {"XDG_STATE_HOME": str(attached.folder / "state")})


async def fill_in(form, pilot, **fields):
    values = {"repository": "acme/shop", "specify_text": "# Basket\n"} | fields
    for name, value in values.items():
        field = form.query_one(f"#{name}")
        if isinstance(field, TextArea):
            field.text = value
        else:
            assert isinstance(field, Input)
            field.value = value
    await until(pilot, lambda: form._saved is not None and form._saved.same_as(form.draft))


def runs_of(attached):
    return [attached.store.runs.get(run_id) for run_id in run_ids(attached.store, RunFilter(), RunOrder.NEWEST)]


async def test_ctrl_s_submits_the_fields_and_opens_the_run(attached):
    """One queued run has exactly the typed values."""
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        await write(pilot, "acme/shop")
        await pilot.press("tab")
        form.query_one("#base_branch", Input).value = ""
        await write(pilot, "next")
        await pilot.press("tab")
        await write(pilot, "ticket 7")
        await pilot.press("tab", "right", "tab", "space", "tab")
        await write(pilot, "# Basket")
        await pilot.press("enter")
        await write(pilot, "Text")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is not form)
    (run,) = runs_of(attached)
    assert (run.repository, run.base_branch, run.external_ref) == ("acme/shop", "next", "ticket 7")
    assert (run.specify_text, run.shard_pin, run.dry_run) == ("# Basket\nText", 0, True)
    assert (run.status, run.created_by.subject) == (RunStatus.QUEUED, "os:olga")
    assert attached.wakeups.woken


async def test_tab_and_enter_move_between_fields(attached):
    """Shift-Tab moves back; in the editor Enter is a new line."""
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        seen = []
        for key in ("tab", "enter", "down", "tab", "tab", "shift+tab", "up"):
            await pilot.press(key)
            seen.append(app.focused.id)
        assert seen == ["base_branch", "external_ref", "shard", "dry_run", "specify_text", "dry_run", "shard"]
        app.set_focus(form.query_one("#specify_text"))
        await pilot.press("enter")
        assert form.draft.specify_text == "\n"


async def test_an_invalid_field_is_marked(attached):
    """While it is typed; a field that was never filled in is not marked yet."""
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        await write(pilot, "shop")
        await until(pilot, lambda: "owner/name" in shown(form, "repository-problem"))
        assert "✗" not in shown(form, "text-head")
        form.query_one("#base_branch", Input).value = "a b"
        await until(pilot, lambda: "✗" in shown(form, "base_branch-problem"))
        form.query_one("#repository", Input).value = "acme/shop"
        await until(pilot, lambda: "✗" not in shown(form, "repository-problem"))


async def test_nothing_is_submitted_while_a_field_is_invalid(attached):
    """The first invalid field gets the focus, and every problem is shown."""
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Not submitted: 2 fields" in shown(form, "message"))
        assert "✗" in shown(form, "repository-problem")
        assert "✗" in shown(form, "text-head")
        assert app.focused is form.query_one("#repository")
    assert runs_of(attached) == []


async def test_a_repository_that_is_not_allowed_is_marked(tmp_path):
    """The settings define which are allowed."""
    with attached_to(tmp_path / "data", spec_workflow_github_repository=("acme/only",)) as attached:
        app = attached.app()
        async with app.run_test() as pilot:
            form = await open_form(app, pilot)
            await write(pilot, "acme/shop")
            await until(pilot, lambda: "not configured for acme/shop" in shown(form, "repository-problem"))


async def test_a_limit_is_said_plainly_and_the_form_stays(tmp_path):
    """The text is kept for a later attempt."""
    with attached_to(tmp_path / "data", max_queued_runs_per_user=1) as attached:
        app = attached.app()
        async with app.run_test() as pilot:
            form = await open_form(app, pilot)
            await fill_in(form, pilot)
            await pilot.press("ctrl+s")
            await until(pilot, lambda: app.screen is not form)
            form = await open_form(app, pilot)
            await fill_in(form, pilot)
            await pilot.press("ctrl+s")
            await until(pilot, lambda: "MAX_QUEUED_RUNS_PER_USER" in shown(form, "message"))
            assert app.screen is form
            assert form.draft.specify_text == "# Basket\n"
        assert len(runs_of(attached)) == 1


async def test_pressing_submit_twice_submits_one_run(attached):
    """A repeated key does not create a second pull request."""
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        await fill_in(form, pilot)
        await pilot.press("ctrl+s", "ctrl+s")
        await until(pilot, lambda: app.screen is not form)
        await settle(pilot)
    assert len(runs_of(attached)) == 1


async def test_a_draft_survives_a_closed_terminal(attached, saved_draft):
    """It is saved while it is typed, and the next form shows it; submitting removes it."""
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        await fill_in(form, pilot, specify_text="# Half a th")
        assert saved_draft.load().specify_text == "# Half a th"
        # Typed after the last check: the terminal closes before the next one.
        form.query_one("#specify_text", TextArea).insert("# ought\n", (0, 0))
        await pilot.pause()
    assert saved_draft.load().specify_text == "# ought\n# Half a th"
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        assert form.draft.specify_text == "# ought\n# Half a th"
        assert "draft of 12:00" in shown(form, "message")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is not form)
    assert saved_draft.load() is None


async def test_a_draft_is_shown_with_every_field(attached, saved_draft):
    """Including the shard, whose choices are read from the database in the background."""
    saved_draft.save(DRAFT)
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        assert form.draft.same_as(DRAFT)
        assert str(form.query_one("#shard").render()) == "< 1 login not checked yet >"


async def test_a_text_with_a_secret_is_never_written_to_the_draft(attached, saved_draft):
    """The form reports it; the earlier draft stays."""
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        await fill_in(form, pilot)
        form.query_one("#specify_text", TextArea).text = f"token {REAL}"
        await until(pilot, lambda: "not saved: it contains a secret" in shown(form, "head"))
    assert saved_draft.load().specify_text == "# Basket\n"


async def test_escape_goes_back_and_keeps_the_draft(attached, saved_draft):
    """Without a question, as nothing is lost."""
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        await write(pilot, "acme/x")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not form)
    assert saved_draft.load().repository == "acme/x"


async def test_a_run_is_submitted_again_with_changes(attached):
    """The form begins with the run's values."""
    run = attached.submit(
        repository="acme/web", base_branch="next", specify_text="# One\n", external_ref="r", dry_run=True
    )
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot, run.run_id)
        assert form.draft == Draft(
            repository="acme/web", base_branch="next", specify_text="# One\n", external_ref="r", dry_run=True
        )


async def test_a_run_that_no_longer_exists_leaves_a_usable_form(attached, saved_draft):
    """The form reports it and keeps what is typed."""
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot, "0f3a9c1e-0000-4000-8000-000000000000")
        assert "✗" in shown(form, "message")
        await fill_in(form, pilot)
        assert saved_draft.load().repository == "acme/shop"


@pytest.mark.parametrize(("key", "text"), [("y", "# One\n"), ("n", "# Kept\n")])
async def test_submitting_again_asks_before_it_replaces_a_draft(attached, saved_draft, key, text):
    """The draft stays after a no."""
    saved_draft.save(DRAFT)
    run = attached.submit(specify_text="# One\n")
    app = attached.app()
    async with app.run_test() as pilot:
        await settle(pilot)
        form = make_screen("new_run", run.run_id)
        await app.push_screen(form)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press(key)
        await until(pilot, lambda: app.screen is form)
        await settle(pilot)
        assert form.draft.specify_text == text


async def test_ctrl_o_loads_a_file(attached, tmp_path):
    """Ctrl-Z restores the earlier text."""
    (tmp_path / "spec.md").write_bytes("\ufeff# Über\n".encode())
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        await fill_in(form, pilot, specify_text="# Before")
        await pilot.press("ctrl+o")
        form.query_one("#path", Input).value = str(tmp_path / "spec.md")
        await pilot.press("enter")
        await until(pilot, lambda: form.draft.specify_text == "# Über\n")
        await pilot.press("ctrl+z")
        assert form.draft.specify_text == "# Before"


async def test_a_file_that_cannot_be_loaded_is_reported(attached, tmp_path):
    """The text does not change; Escape closes the path field."""
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        await pilot.press("ctrl+o")
        form.query_one("#path", Input).value = str(tmp_path / "none.md")
        await pilot.press("enter")
        await until(pilot, lambda: "cannot be read" in shown(form, "message"))
        await pilot.press("escape")
        assert not form.query_one("#load").display
        assert app.screen is form


async def test_ctrl_n_empties_the_form_after_a_question(attached, saved_draft):
    """And removes the draft."""
    saved_draft.save(DRAFT)
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: form.draft == Draft())
        await until(pilot, lambda: saved_draft.load() is None)


async def test_the_form_warns_if_serve_is_not_running(attached):
    """The run is stored, and the warning is repeated after submitting."""
    attached.served = ServeState(answers=False)
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        assert form.query_one("#notice").display
        assert "The service is not running" in shown(form, "notice")


async def test_nothing_is_submitted_while_the_database_cannot_be_read(attached):
    """The form says why, and promises no run; it can be submitted when the database is back."""
    attached.served = ServeState(answers=False)
    app = attached.app()
    async with app.run_test() as pilot:
        form = await open_form(app, pilot)
        await fill_in(form, pilot)
        app.post_message(DataLost(StoreError("Database appliance.db no longer exists.")))
        await settle(pilot)
        assert not form.query_one("#notice").display
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert shown(form, "message") == "✗ Not submitted: Database appliance.db no longer exists."
        assert runs_of(attached) == []
        app.post_message(DataFound())
        await pilot.press("ctrl+s")
        await until(pilot, lambda: app.screen is not form)
    assert len(runs_of(attached)) == 1
