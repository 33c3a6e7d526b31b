"""A run: outcome, phases, and its log, change, documents, artifacts and events."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import ContentSwitcher, Input, Static

from moonmind_appliance.models import Event, PhaseStatus
from moonmind_appliance.views.changes import Change
from moonmind_appliance.views.run_detail import RunDetail, run_detail
from tui.cancel import cancel
from tui.diff_view import DiffView
from tui.document import Document
from tui.explain import about_text, outcome_text
from tui.keys import KEYS, Where, bindings
from tui.lines import Lines
from tui.log_view import LogView
from tui.retry import RETRYABLE, retry
from tui.row_views import ArtifactsView, EventsView
from tui.run_logs import LogFile, log_files, log_of_phase, log_to_show, neighbour
from tui.run_texts import RunTexts, artifact_path, read_texts, save, text_artifacts
from tui.screens import make_screen
from tui.screens.page import Page
from tui.screens.runs import open_address
from tui.signs import run_sign
from tui.static import update
from tui.tab_line import TabLine
from tui.text import one_line
from tui.timeline import Timeline

TABS = ("log", "diff", "spec", "plan", "tasks", "questions", "artifacts", "events")

_POLL_SECONDS = 0.25
_MOST_EVENTS = 2_000
_LOG_ACTIONS = frozenset(key.action.partition("(")[0] for key in KEYS[Where.LOG])


class Loaded(NamedTuple):
    """The current state of a run: its row, its logs on disk, its new events."""

    run: RunDetail
    logs: list[LogFile]
    events: list[Event]


class RunScreen(Page):
    """One run."""

    WHERE = Where.RUN
    MODE = "runs"
    BINDINGS = [*bindings(Where.RUN), *bindings(Where.LOG)]  # noqa: RUF012 - as Textual has it
    AUTO_FOCUS = "#log"

    def __init__(self, run_id: str, tab: str = "") -> None:
        super().__init__()
        self._run_id = run_id
        self._tab = tab or TABS[0]
        self._run: RunDetail | None = None
        self._logs: list[LogFile] = []
        self._log: LogFile | None = None
        self._opened = ("", Path())
        self._chosen = False
        self._texts_of: list[tuple[str, int]] | None = None
        self._texts: RunTexts | None = None
        self._asking = ""
        self._needle = ""
        self._search_result = ""

    def body(self) -> ComposeResult:
        """Header, phases, tabs; below 120 columns one above the other."""
        yield Static("", id="header", markup=False)
        yield Static("", id="about", markup=False)
        with Horizontal(id="panels"):
            yield Timeline(id="timeline")
            with Vertical(id="right"):
                yield TabLine(TABS, id="tabs")
                with Horizontal(id="state-line"):
                    yield Static("", id="state", markup=False)
                    yield Static("", id="asked", markup=False)
                    field = Input(id="field", compact=True)
                    field.cursor_blink = False
                    yield field
                with ContentSwitcher(id="switcher", initial=self._tab):
                    yield LogView(id="log")
                    yield DiffView(id="diff")
                    for name in ("spec", "plan", "tasks", "questions"):
                        yield Document(id=name)
                    yield ArtifactsView(id="artifacts")
                    yield EventsView(id="events")

    def on_mount(self) -> None:
        """Start to check whether the log grows."""
        super().on_mount()
        self.query_one("#field", Input).display = False
        self.set_interval(_POLL_SECONDS, self._poll)
        self._show_tab(self._tab)

    # Parts.

    @property
    def log_view(self) -> LogView:
        """The log."""
        return self.query_one("#log", LogView)

    @property
    def timeline(self) -> Timeline:
        """The phases."""
        return self.query_one("#timeline", Timeline)

    @property
    def shown(self) -> Lines:
        """The widget that the tab shows."""
        return self.query_one(f"#{self._tab}", Lines)

    # Data.

    def read(self) -> None:
        """Read the run again."""
        last = self.query_one("#events", EventsView).last_id
        self.run_in_background("run", partial(self._load, last), self._show)

    def _load(self, last_event: int) -> Loaded:
        resources = self.tui.resources
        run = run_detail(resources, self.tui.actor, self._run_id)
        new = resources.store.events.after(last_event, run_id=run.run_id, limit=_MOST_EVENTS)
        return Loaded(run, log_files(run.artifacts, resources.files), new)

    def changed(self, change: Change) -> None:
        """Read again if the change may concern this run."""
        if change.other or self._run_id in change.run_ids:
            self.read()

    def tick(self) -> None:
        """Update ages, countdowns and running phases."""
        self._show_header()
        self.timeline.repaint_changed()

    def _poll(self) -> None:
        if self._run is not None and not self._run.final and self._tab == "log":
            self.log_view.poll()

    def _show(self, loaded: Loaded) -> None:
        was_running = self._run is None or not self._run.final
        old_status = None if self._run is None else self._run.status
        had_address = self._run is not None and bool(self._run.pull_request_url)
        if old_status is not None and loaded.run.final and was_running:
            # The message was about the run while it was running.
            self.show_message("")
        self._run, self._logs = loaded.run, loaded.logs
        self._show_header()
        self.timeline.show(loaded.run.phases)
        self.query_one("#artifacts", ArtifactsView).show(loaded.run.artifacts)
        self.query_one("#events", EventsView).add(loaded.events)
        self._choose_log()
        if was_running:
            self.log_view.poll()
        if self._tab not in {"log", "artifacts", "events"}:
            self._read_texts()
        self._show_state()
        if (old_status, had_address) != (loaded.run.status, bool(loaded.run.pull_request_url)):
            self.refresh_bindings()

    def _choose_log(self) -> None:
        """Show the log of the running phase, until the user chooses another one."""
        if self._run is None or self._chosen:
            return
        log = log_to_show(self._logs, self._run.phases, self._log)
        if log is None or (self._log is not None and log.path == self._log.path):
            return
        if self._log is not None and not self.log_view.follow:
            # The user is reading this log.
            return
        self._open_log(log, follow=not self._run.final)

    def _open_log(self, log: LogFile, *, follow: bool) -> None:
        self._log = log
        self._opened = (log.title, log.path)
        phases = self._run.phases if self._run else []
        number, phase = next((n, phase) for n, phase in enumerate(phases) if phase.phase is log.phase)
        # The reason of a failure is at the end.
        failed = phase.status is PhaseStatus.FAILED
        self.log_view.open(log.path, events_in_it=log.has_events, follow=follow, from_end=failed)
        with self.prevent(Lines.CursorMoved):
            self.timeline.go_to(number)
        self._show_state()

    def _read_texts(self) -> None:
        run = self._run
        if run is None or (self._texts is not None and self._texts_of == text_artifacts(run)):
            return
        self._texts_of = text_artifacts(run)
        self.run_in_background("texts", partial(read_texts, self.tui.resources, self.tui.actor, run), self._show_texts)

    def _show_texts(self, texts: RunTexts) -> None:
        self._texts = texts
        run = self._run
        self.query_one("#diff", DiffView).show(texts.patch, texts.diff_summary)
        later = "Not written yet." if run is not None and not run.final else "The run did not write this file."
        self.query_one("#spec", Document).show(texts.spec if texts.spec is not None else texts.submitted)
        self.query_one("#plan", Document).show(texts.plan if texts.plan is not None else later)
        self.query_one("#tasks", Document).show(texts.tasks if texts.tasks is not None else later)
        questions = run.clarifications if run is not None else []
        listed = "\n".join(f"{number}. {question}" for number, question in enumerate(questions, 1))
        none = "The agent asked no questions." if run is not None and run.final else "No questions so far."
        self.query_one("#questions", Document).show(listed or none)
        self._show_state()

    # Painting.

    def _show_header(self) -> None:
        run = self._run
        if run is None:
            return
        palette = self.tui.palette
        sign = run_sign(run.status, waiting=run.waiting_for is not None)
        right = Text(f"{sign.mark} {sign.word.upper()} ", palette.tone(sign.tone))
        left = Text.assemble(" ", (run.short_id, palette.strong), "  ", (one_line(run.repository), palette.strong))
        left.append(f"  {one_line(run.base_branch)}", palette.muted)
        if run.branch_name:
            left.append(f" → {one_line(run.branch_name)}", palette.muted)
        left.append("  dry run" if run.dry_run else "")
        left.append(f"  {one_line(run.external_ref)}" if run.external_ref else "", palette.muted)
        width = self.size.width - right.cell_len
        left.truncate(max(0, width - 1), overflow="ellipsis", pad=False)
        left.append(" " * max(1, width - left.cell_len))
        left.append_text(right)
        left.no_wrap = True
        update(self.query_one("#header", Static), left)
        now = self.tui.now()
        statuses = [phase.status for phase in run.phases]
        about = Text(outcome_text(run, statuses, now, serve_is_running=self.tui.serve_is_running, message=True))
        if run.failure is not None:
            about.stylize(palette.bad, 0, len(run.failure.code.value))
        update(self.query_one("#about", Static), about.append(f"\n{about_text(run, now)}", palette.muted))

    def _show_state(self) -> None:
        view, (title, _) = self.log_view, self._opened
        match self._tab:
            case "log" if not title:
                state = "No output yet." if self._run is not None and not self._run.final else "No output was kept."
            case "log":
                follow = "  follow" if view.follow else ""
                how = "  raw" if view.shows_events and view.raw else ""
                wrap = "  wrap" if view.wrap else ""
                # Search results come first: a narrow panel cuts the end.
                state = f"{title}  {view.state}{self._search_text()}{follow}{wrap}{how}"
            case "spec" if self._texts is not None and self._texts.spec is None:
                state = f"The submitted specification; s saves it.{self._search_text()}"
            case "artifacts":
                state = "Enter opens, s saves, p copies the path."
            case "diff" | "spec" | "plan" | "tasks" if self._saved_name():
                state = f"s saves it as {self._saved_name()}.{self._search_text()}"
            case _:
                state = self._search_text().strip()
        update(self.query_one("#state", Static), Text(state, no_wrap=True, overflow="ellipsis"))

    def _search_text(self) -> str:
        if not self._needle:
            return ""
        found = self.log_view.found
        if self._tab == "log" and found is not None and found.total:
            return f"  find: {self._needle} {found.number}/{found.total}"
        return f"  find: {self._needle}{self._search_result}"

    # Messages of parts.

    def on_log_rows_state_changed(self) -> None:
        """Show the new state of the log."""
        if self._tab == "log":
            self._show_state()

    def on_log_view_searched(self, message: LogView.Searched) -> None:
        """Show the result of a search in the log."""
        self._searched(found=message.found)

    def on_log_view_no_error(self) -> None:
        """Show a message that no line reports an error."""
        self.show_message("This log contains no error.")

    def on_lines_cursor_moved(self, message: Lines.CursorMoved) -> None:
        """Show the log of the selected phase."""
        if message.lines is not self.timeline or (phase := self.timeline.selected) is None:
            return
        log = log_of_phase(self._logs, phase.phase, failed=phase.status is PhaseStatus.FAILED)
        if log is not None and log != self._log:
            self._chosen = True
            self._open_log(log, follow=phase.completed_at is None)
            if self._tab != "log":
                self._show_tab("log", focus=False)

    def on_lines_opened(self, message: Lines.Opened) -> None:
        """On Enter go to the log of a phase, or show an artifact."""
        if message.lines is self.timeline:
            self.action_show_tab("log")
        elif isinstance(message.lines, ArtifactsView) and (artifact := message.lines.selected) is not None:
            if artifact.name in {"change.patch", "diff_summary.md"}:
                self.action_show_tab("diff")
                return
            work = partial(artifact_path, self.tui.resources.files, artifact)
            self.run_in_background("artifact", work, partial(self._show_artifact, artifact.name))

    def _show_artifact(self, name: str, path: Path) -> None:
        self._chosen = True
        log = next((log for log in self._logs if log.path == path), None)
        if log is not None:
            self._open_log(log, follow=False)
        else:
            self._opened = (name, path)
            self.log_view.open(path, events_in_it=False, follow=False)
        self.action_show_tab("log")

    def on_tab_line_chosen(self, message: TabLine.Chosen) -> None:
        """Show the clicked tab."""
        self.action_show_tab(message.name)

    # Tabs.

    def _show_tab(self, tab: str, *, focus: bool = True) -> None:
        self._tab = tab
        self.query_one("#switcher", ContentSwitcher).current = tab
        self.query_one("#tabs", TabLine).show(tab)
        if focus:
            self.set_focus(self.shown)
        if tab not in {"log", "artifacts", "events"}:
            self._read_texts()
        self._search_result = ""
        self._show_state()
        self.refresh_bindings()

    def action_show_tab(self, tab: str) -> None:
        """Show this tab."""
        self._go_to_tab(tab)

    def action_tab(self, step: int) -> None:
        """Show the next tab, or the previous one."""
        self._go_to_tab(TABS[(TABS.index(self._tab) + step) % len(TABS)])

    def _go_to_tab(self, tab: str) -> None:
        # The message was about the other tab.
        self.show_message("")
        self._show_tab(tab)

    def action_zoom(self) -> None:
        """Maximise the tab, or restore it."""
        self.toggle_class("zoomed")

    # Search and saving use the same field.

    def _ask_text(self, what: str, label: str, value: str) -> None:
        self._asking = what
        field, asked = self.query_one("#field", Input), self.query_one("#asked", Static)
        update(asked, Text(label))
        self.query_one("#state", Static).display = False
        field.value = value
        field.display = True
        field.cursor_position = len(value)
        self.set_focus(field)

    def _end_asking(self) -> None:
        self._asking = ""
        field = self.query_one("#field", Input)
        self.set_focus(self.shown)
        field.display = False
        update(self.query_one("#asked", Static), Text())
        self.query_one("#state", Static).display = True

    def action_submit(self) -> None:
        """Search, or save, after the field has processed all keys typed before."""
        self.set_focus(self.shown)
        self.query_one("#field", Input).call_later(self._submit)

    def _submit(self) -> None:
        what, value = self._asking, self.query_one("#field", Input).value
        self._end_asking()
        if what == "search":
            self._needle = value
            self.shown.show_needle(value)
            if value:
                self._match(1)
            self._show_state()
        elif what == "save" and value.strip():
            self._save(value)

    def action_search(self) -> None:
        """Ask for a text to search for."""
        self._ask_text("search", "find: ", self._needle)

    def action_match(self, step: int) -> None:
        """Go to the next match, or the previous one."""
        self.query_one("#field", Input).call_later(self._match, step)

    def _match(self, step: int) -> None:
        if not self._needle:
            self.action_search()
            return
        shown = self.shown
        if isinstance(shown, LogView):
            shown.search(self._needle, step)
            return
        shown.show_needle(self._needle)
        found = shown.find(self._needle, start=shown.cursor + step, step=step) if shown.line_count else None
        if found is not None:
            shown.go_to(found, middle=True)
        self._searched(found=found is not None)

    def _searched(self, *, found: bool) -> None:
        self._search_result = "" if found else " (not found)"
        self._show_state()

    def action_save(self) -> None:
        """Ask for the path to save the displayed content to."""
        name = self._saved_name()
        if name:
            self._ask_text("save", "save to: ", name)
        else:
            self.show_message("There is nothing to save here.")

    def _saved_name(self) -> str:
        match self._tab:
            case "artifacts":
                artifact = self.query_one("#artifacts", ArtifactsView).selected
                return artifact.name if artifact else ""
            case "log":
                return self._opened[1].name
            case "diff":
                return "change.patch" if self._texts and self._texts.patch else ""
            case "spec" | "plan" | "tasks":
                return f"{self._tab}.md" if self._document() is not None else ""
            case _:
                return ""

    def _document(self) -> str | None:
        texts = self._texts
        if texts is None:
            return None
        return {"spec": texts.spec or texts.submitted, "plan": texts.plan, "tasks": texts.tasks}.get(self._tab)

    def _save(self, target: str) -> None:
        source: Path | bytes | None = None
        if self._tab == "log":
            source = self._opened[1]
        elif self._tab == "diff" and self._texts is not None:
            source = self._texts.patch
        elif self._tab == "artifacts":
            artifact = self.query_one("#artifacts", ArtifactsView).selected
            if artifact is None:
                return
            files = self.tui.resources.files
            self.run_in_background(
                "save", lambda: save(artifact_path(files, artifact), target, Path.cwd()), self._saved
            )
            return
        elif (document := self._document()) is not None:
            source = document.encode()
        if source is not None:
            self.run_in_background("save", partial(save, source, target, Path.cwd()), self._saved)

    def _saved(self, path: Path) -> None:
        self.show_message(f"Saved as {path}")

    def action_copy_path(self) -> None:
        """Copy the path of the selected artifact, or of the shown log."""
        if self._tab == "log" and self._opened[0]:
            self.tui.copy(str(self._opened[1]), "Path")
            return
        artifact = self.query_one("#artifacts", ArtifactsView).selected
        if self._tab != "artifacts" or artifact is None:
            self.show_message("Select an artifact first: a shows them.")
            return
        work = partial(artifact_path, self.tui.resources.files, artifact)
        self.run_in_background("path", work, lambda path: self.tui.copy(str(path), "Path"))

    # Keys of the log.

    def action_follow(self) -> None:
        """Follow the end and the running phase, or stop doing so."""
        self._chosen = False
        self.log_view.set_follow(not self.log_view.follow)
        self._choose_log()

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self.log_view.set_wrap(not self.log_view.wrap)

    def action_raw(self) -> None:
        """Show Codex's events as JSON, or as text."""
        if self.log_view.shows_events:
            self.log_view.set_raw(not self.log_view.raw)
        else:
            self.show_message("This log contains no Codex events, so it is shown unchanged.")

    def action_first_error(self) -> None:
        """Go to the first error."""
        self.log_view.first_error()

    def action_phase(self, step: int) -> None:
        """Show the log of the next phase or of the previous one; in the change, the next or previous file."""
        if self._tab == "diff":
            self.query_one("#diff", DiffView).next_file(step)
            return
        log = neighbour(self._logs, self._log, step)
        if log is not None:
            self._chosen = True
            self._open_log(log, follow=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The log's keys are available while the log is shown; Enter submits while the text field is open."""
        if action == "submit":
            return self.typing
        if action in _LOG_ACTIONS and self._tab != "log":
            return False
        if self.typing and action in _LOG_ACTIONS:
            return False
        run = self._run
        if action == "copy_address" and (run is None or not run.pull_request_url):
            return False
        if (action == "cancel_run" and run is not None and run.final) or (
            action == "retry_run" and run is not None and run.status not in RETRYABLE
        ):
            # Not in the footer; `on_key` shows why.
            return False
        return super().check_action(action, parameters)

    def on_key(self, event: events.Key) -> None:
        """Show why a run cannot be cancelled or retried now, or has no address to copy."""
        if self._run is not None and not self.typing:
            if event.key == "x":
                cancel(self, self._run)
            elif event.key == "r":
                retry(self, self._run)
            elif event.key == "o":
                self.action_copy_address()

    # Keys of the run.

    def action_back(self) -> None:
        """Close the field, else end the search, else go back."""
        if self._asking:
            self._end_asking()
        elif self._needle:
            self._needle = self._search_result = ""
            self.shown.show_needle("")
            self._show_state()
        else:
            self.app.pop_screen()

    def action_again(self) -> None:
        """Open the form, filled in from this run."""
        self.app.push_screen(make_screen("new_run", self._run_id))

    def action_cancel_run(self) -> None:
        """Cancel the run, after a confirmation."""
        if self._run is not None:
            cancel(self, self._run)

    def action_retry_run(self) -> None:
        """Queue the run again."""
        if self._run is not None:
            self._chosen = False
            retry(self, self._run)

    def action_copy_id(self) -> None:
        """Copy the run's id."""
        self.tui.copy(self._run_id, "Run id")

    def action_copy_line(self) -> None:
        """Copy the line under the cursor."""
        shown = self.shown
        if shown.line_count:
            text = shown.copied_line() if isinstance(shown, LogView) else shown.plain(shown.cursor)
            self.tui.copy(text.strip(), "Line")

    def action_copy_address(self) -> None:
        """Copy the address of the pull request."""
        if self._run is None:
            return
        if self._run.pull_request_url:
            self.tui.copy(self._run.pull_request_url, "Address")
        else:
            self.show_message(f"Run {self._run.short_id} has no pull request.")

    def action_open_address(self) -> None:
        """Open the pull request in a browser on this machine."""
        if self._run is not None:
            open_address(self, self._run.short_id, self._run.pull_request_url)
