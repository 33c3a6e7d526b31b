"""The form that submits a run: checked as you type, saved as a draft until it is submitted."""

import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Input, Static, TextArea

from moonmind_appliance.errors import ApplianceError, RequestError
from moonmind_appliance.models import Run
from moonmind_appliance.runs.submit import submit_run
from moonmind_appliance.views.run_detail import run_detail, specification
from moonmind_appliance.views.run_summary import recent_repositories
from tui.choice import Choice
from tui.draft_keeper import DraftCheck, DraftKeeper
from tui.drafts import Draft, draft_file
from tui.editor import Editor
from tui.keys import Where, bindings
from tui.new_run_form import FIELDS, request_of, shard_choices, size_text
from tui.recent_input import RecentInput
from tui.screens import make_screen
from tui.screens.page import Page
from tui.spec_file import read_specification
from tui.static import update
from tui.text import clean, clock, one_line

_CHECK_AFTER_SECONDS = 0.3
_LABELS = {
    "repository": "Repository",
    "base_branch": "Base branch",
    "external_ref": "Reference",
    "shard": "Shard",
    "dry_run": "Dry run",
}


class _Opened(NamedTuple):
    """The initial content of the form: the saved draft, and the fields of the run to submit again."""

    kept: Draft | None
    again: Draft | None


class NewRunScreen(Page):
    """The form. `again` is the id of a run whose fields it is filled with."""

    WHERE = Where.NEW_RUN
    MODE = "runs"
    BINDINGS = bindings(Where.NEW_RUN)
    AUTO_FOCUS = "#repository"
    CSS_PATH = "new_run.tcss"

    def __init__(self, again: str | None = None) -> None:
        super().__init__()
        self._again = again
        self._touched: set[str] = set()
        self._problems: dict[str, str] = {}
        self._recent: list[str] = []
        self._latest = Draft()
        self._saved: Draft | None = None
        self._not_saved = ""
        self._opened = self._submitting = self._submitted = False
        self._timer: Timer | None = None
        self._key = str(uuid.uuid4())

    def body(self) -> ComposeResult:
        """The fields, each with its problem beside it; then the text."""
        yield Static("", id="head", markup=False)
        yield Static("", id="notice", markup=False)
        fields: dict[str, RecentInput | Input | Choice[int | None] | Choice[bool]] = {
            "repository": RecentInput(placeholder="owner/name", id="repository"),
            "base_branch": Input("main", id="base_branch"),
            "external_ref": Input(id="external_ref"),
            "shard": Choice[int | None]([(None, "any")], id="shard"),
            "dry_run": Choice([(False, "no"), (True, "yes")], id="dry_run"),
        }
        for name, field in fields.items():
            if isinstance(field, Input):
                field.cursor_blink = False
            field.add_class("field")
            with Horizontal(classes="row"):
                yield Static(_LABELS[name], classes="label")
                yield field
                yield Static("", id=f"{name}-problem", classes="problem", markup=False)
        with Horizontal(id="load", classes="row"):
            yield Static("File", classes="label")
            path = Input(placeholder="path of a text file on this machine; Enter loads it, Esc closes", id="path")
            path.cursor_blink = False
            yield path
        with Vertical(id="text"):
            yield Static("", id="text-head", markup=False)
            yield Editor(id="specify_text")

    def on_mount(self) -> None:
        """Fill in the draft, or the run to submit again."""
        super().on_mount()
        resources = self.tui.resources
        file = draft_file(resources.settings.moonmind_data_dir, self.tui.environment)
        self._keeper = DraftKeeper(file, resources.settings, resources.redactor, resources.clock)
        self._show()
        self.run_in_background("open", self._open, self._fill, self._not_opened)

    def _open(self) -> _Opened:
        kept = self._keeper.load()
        if self._again is None:
            return _Opened(kept, None)
        resources, actor = self.tui.resources, self.tui.actor
        run = run_detail(resources.store, actor, self._again)
        again = Draft(
            repository=run.repository,
            base_branch=run.base_branch,
            specify_text=specification(resources.store, actor, self._again),
            dry_run=run.dry_run,
            external_ref=run.external_ref or "",
        )
        return _Opened(kept, again)

    def _fill(self, opened: _Opened) -> None:
        self._opened = True
        kept = opened.kept
        if opened.again is None:
            if kept is not None:
                self._saved = kept
                self._put(kept)
                when = f" of {clock(kept.saved_at, self.tui.now())}" if kept.saved_at else ""
                self.show_message(f"This is the draft{when}. Ctrl-N empties the form.")
            self._check()
            return
        again = opened.again
        if kept is None or kept.same_as(again):
            self._put(again)
            return
        self._put(kept)
        self.confirm(
            "Replace the draft?",
            f"The draft for {kept.repository or 'a new run'} is lost when the form is filled in from the run.",
            "Replace it",
            partial(self._put, again),
        )

    def _not_opened(self, error: ApplianceError) -> None:
        """Report that the run could not be read; the form still works."""
        self._opened = True
        self.show_error(error)

    def _put(self, draft: Draft) -> None:
        """Show these fields."""
        self.query_one("#repository", RecentInput).value = draft.repository
        self.query_one("#base_branch", Input).value = draft.base_branch
        self.query_one("#external_ref", Input).value = draft.external_ref
        self._shards.choose(draft.shard)
        self._dry_run.choose(draft.dry_run)
        self._editor.replace(draft.specify_text, (0, 0), self._editor.document.end)
        self._editor.move_cursor((0, 0))
        self._latest = self.draft
        self._touched = {name for name in FIELDS if getattr(draft, name)}
        self._show()
        self._check()

    # The content of the fields.

    @property
    def _editor(self) -> Editor:
        return self.query_one("#specify_text", Editor)

    @property
    def _shards(self) -> "Choice[int | None]":
        return self.query_one("#shard", Choice)

    @property
    def _dry_run(self) -> "Choice[bool]":
        return self.query_one("#dry_run", Choice)

    @property
    def draft(self) -> Draft:
        """The fields as they are now."""
        return Draft(
            repository=self.query_one("#repository", RecentInput).value,
            base_branch=self.query_one("#base_branch", Input).value,
            external_ref=self.query_one("#external_ref", Input).value,
            specify_text=self._editor.text,
            dry_run=self._dry_run.value,
            shard=self._shards.value,
        )

    def read(self) -> None:
        """Offer the current repositories and shards."""
        store, count = self.tui.resources.store, self.tui.settings.codex_shards
        self.run_in_background(
            "offers", lambda: (recent_repositories(store), shard_choices(store.shards.all(count))), self._offer
        )

    def _offer(self, offers: tuple[list[str], Sequence[tuple[int | None, str]]]) -> None:
        self._recent, choices = offers
        self.query_one("#repository", RecentInput).recent = self._recent
        self._shards.offer(choices)
        self._show()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Check what was typed."""
        if event.input.id in FIELDS:
            self._edited(event.input.id)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Check what was typed."""
        if event.text_area.id in FIELDS:
            self._edited(event.text_area.id)

    def on_choice_changed(self, event: "Choice.Changed") -> None:
        """Check what was chosen."""
        self._edited(event.choice.id or "")

    def _edited(self, field: str) -> None:
        # Stored here, as the fields are removed before the screen.
        self._latest = self.draft
        if getattr(self._latest, field):
            self._touched.add(field)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_CHECK_AFTER_SECONDS, self._check)

    def _check(self) -> None:
        if self._opened and not self._submitted:
            self.run_in_background("check", partial(self._keeper.check_and_save, self.draft), self._draft_checked)

    def _draft_checked(self, check: DraftCheck) -> None:
        self._problems = check.checked.problems
        self._not_saved = check.problem
        if not check.problem:
            self._saved = check.draft
        self._show()

    # What is shown.

    def _show(self) -> None:
        """Show the lines around the fields; repaint only what changed."""
        palette = self.tui.palette
        self._line("head", Text.assemble(("New run", "bold"), "  ", (self._draft_text(), palette.muted)))
        for name in _LABELS:
            self._line(f"{name}-problem", self._beside(name))
            self.query_one(f"#{name}-problem").set_class(bool(self._shown_problem(name)), "-wrong")
        head = Text.assemble(("Specification", "bold"), "  ", (size_text(self._editor.text), palette.muted))
        if problem := self._shown_problem("specify_text"):
            head.append(f"  ✗ {problem}", palette.bad)
        self._line("text-head", head)
        notice = self.query_one("#notice", Static)
        notice.display = self.tui.serve_is_running is False
        message = "! The service is not running: the run is queued and waits for `moonmind-appliance serve`."
        self._line("notice", Text(message, palette.waiting))

    def _beside(self, name: str) -> Text:
        palette = self.tui.palette
        if problem := self._shown_problem(name):
            return Text(f"✗ {problem}", palette.bad)
        hint = ""
        if name == "repository" and self._recent:
            hint = f"↓ recent: {', '.join(one_line(repository) for repository in self._recent[:3])}"
        elif name == "dry_run" and (self._dry_run.value or self.tui.settings.spec_workflow_test_mode):
            test_mode = self.tui.settings.spec_workflow_test_mode
            hint = "test mode: nothing is pushed" if test_mode else "commits, but pushes nothing"
        elif name == "external_ref":
            hint = "optional: your own reference"
        elif isinstance(self.focused, Choice) and self.focused.id == name:
            hint = "← → or Space: another value"
        return Text(hint, palette.muted)

    def _shown_problem(self, name: str) -> str:
        """The problem to show: none for a field that was never filled in."""
        return clean(self._problems.get(name, "")) if name in self._touched else ""

    def _draft_text(self) -> str:
        if self._not_saved:
            return f"draft not saved: {self._not_saved}"
        if self._saved is None or self._saved.empty or self._saved.saved_at is None:
            return ""
        return f"draft saved {clock(self._saved.saved_at, self.tui.now())}"

    def _line(self, name: str, text: Text) -> None:
        update(self.query_one(f"#{name}", Static), text)

    def tick(self) -> None:
        """The draft's time may need a date now, and `serve` may run now."""
        self._show()

    def serve_changed(self) -> None:
        """Show whether the run would start at once."""
        self._show()

    # Keys.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enter is the editor's own."""
        if action == "enter":
            return isinstance(self.focused, Input)
        return super().check_action(action, parameters)

    async def action_help(self) -> None:
        """Under the same name as on other screens, so that the footer shows one key for it."""
        await self.tui.action_help()

    def on_descendant_focus(self) -> None:
        """Show the field's hint."""
        self._show_hints()

    def on_descendant_blur(self) -> None:
        """Show the hints again."""
        self._show_hints()

    def _show_hints(self) -> None:
        # Fields lose the focus also when the screen is removed.
        if self.is_current:
            self._show()

    def action_field(self, step: int) -> None:
        """Go to the next field, or the previous one; immediately, so that no key typed ahead reaches the old field."""
        if step > 0:
            self.focus_next()
        else:
            self.focus_previous()

    def action_enter(self) -> None:
        """Go to the next field, or load the file whose path was given."""
        path = self.query_one("#path", Input)
        if path.has_focus:
            # After the keys that were typed before.
            path.call_later(self._load_file)
        else:
            self.focus_next()

    def _load_file(self) -> None:
        path = Path(self.query_one("#path", Input).value).expanduser()
        self.run_in_background("load", partial(read_specification, path), self._loaded)

    def on_key(self, event: events.Key) -> None:
        """Arrows go from field to field, as in any form."""
        step = {"down": 1, "up": -1}.get(event.key)
        if step is not None and isinstance(self.focused, Input | Choice):
            event.stop()
            self.action_field(step)

    def action_load(self) -> None:
        """Ask for the path of a file."""
        self.query_one("#load").display = True
        self.set_focus(self.query_one("#path"))

    def _loaded(self, text: str) -> None:
        self.query_one("#load").display = False
        self._editor.replace(text, (0, 0), self._editor.document.end)
        self._editor.move_cursor((0, 0))
        self.set_focus(self._editor)
        self.show_message("Loaded. Ctrl-Z restores the previous text.")

    def action_clear_form(self) -> None:
        """Empty the form, after a confirmation."""
        if self.draft.empty:
            self._put(Draft())
        else:
            self.confirm("Empty the form?", "The draft is deleted.", "Empty it", self._clear)

    def _clear(self) -> None:
        self._put(Draft())
        self.set_focus(self.query_one("#repository"))

    def action_back(self) -> None:
        """Close the line for a file, else go back; the draft is saved."""
        if self.query_one("#load").display:
            self.query_one("#load").display = False
            self.set_focus(self._editor)
            return
        self.dismiss()

    def on_unmount(self) -> None:
        """Save the text typed since the last check, also when the terminal is closed."""
        if self._opened and not self._submitted:
            self._keeper.check_and_save(self._latest)

    # Submit.

    def action_submit(self) -> None:
        """Submit, unless a field cannot be used; once every field has taken the keys that were typed before."""
        self._after_fields(FIELDS)

    def _after_fields(self, names: Sequence[str]) -> None:
        if names:
            self.query_one(f"#{names[0]}").call_later(self._after_fields, names[1:])
        else:
            self._submit_draft()

    def _submit_draft(self) -> None:
        if self._submitting or not self._opened:
            return
        if self.tui.lost is not None:
            # SQLite would still write to a removed file: the run would be accepted, and lost.
            self.show_message(f"✗ Not submitted: {self.tui.lost}", tone="bad")
            return
        self._submitting = True
        self._touched = set(FIELDS)
        self.run_in_background("submit", partial(self._submit, self.draft), self._accepted, self._refused)

    def _submit(self, draft: Draft) -> Run:
        run = submit_run(
            self.tui.resources,
            self.tui.actor,
            request_of(draft),
            # Submitting the same form twice, as after a lost answer, creates one run.
            idempotency_key=self._key,
        )
        self._submitted = True
        self._keeper.forget()
        return run

    def _accepted(self, run: Run) -> None:
        page = make_screen("run", run.run_id)
        self.app.switch_screen(page)
        message = f"Run {run.short_id} is accepted."
        if self.tui.serve_is_running is False:
            message += " The service is not running: start `moonmind-appliance serve`."
        if isinstance(page, Page):
            page.call_after_refresh(page.show_message, message)

    def _refused(self, error: ApplianceError) -> None:
        self._submitting = False
        if isinstance(error, RequestError):
            # A different text is a different run.
            self._key = str(uuid.uuid4())
        if not isinstance(error, RequestError) or not getattr(error, "fields", ()):
            self.show_error(error)
            self._show()
            return
        self._problems = {problem.field: problem.message for problem in reversed(error.fields)}
        self._show()
        first = next((name for name in FIELDS if name in self._problems), None)
        if first is None:
            self.show_error(error)
            return
        self.set_focus(self.query_one(f"#{first}"))
        message = "1 field" if len(self._problems) == 1 else f"{len(self._problems)} fields"
        self.show_message(f"✗ Not submitted: {message} cannot be used.", tone="bad")
