"""Shows a run: outcome, phases, and its log, change, documents, artifacts and events."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import ContentSwitcher, Static

from moonmind_appliance.models import Event, PhaseStatus
from moonmind_appliance.views.changes import Change
from moonmind_appliance.views.run_detail import RunDetail, run_detail
from tui.diff_view import DiffView
from tui.document import Document
from tui.explain import about_text, outcome_text
from tui.lines import Lines
from tui.log_view import LogView
from tui.row_views import ArtifactsView, EventsView
from tui.run_header import header_text
from tui.run_logs import LogFile, log_files, log_of_phase, log_to_show
from tui.run_texts import RunTexts, artifact_path, read_texts, text_artifacts
from tui.screens.page import Page
from tui.state_line import StateLine
from tui.static import update
from tui.tab_line import TabLine
from tui.timeline import Timeline

TABS = ("log", "diff", "spec", "plan", "tasks", "questions", "artifacts", "events")

_POLL_SECONDS = 0.25
_MOST_EVENTS = 2_000


class Loaded(NamedTuple):
    """The current state of a run: its row, its logs on disk, its new events."""

    run: RunDetail
    logs: list[LogFile]
    events: list[Event]


class RunPage(Page):
    """One run, without the keys."""

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
                yield StateLine(id="state-line")
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
        self.set_interval(_POLL_SECONDS, self._poll)
        self._show_tab(self._tab)

    # Parts.

    @property
    def log_view(self) -> LogView:
        """The log."""
        return self.query_one("#log", LogView)

    @property
    def state_line(self) -> StateLine:
        """The line above the tab."""
        return self.query_one(StateLine)

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
        run = run_detail(resources.store, self.tui.actor, self._run_id)
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
        for name in ("spec", "plan", "tasks"):
            document = texts.document(name)
            self.query_one(f"#{name}", Document).show(later if document is None else document)
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
        update(self.query_one("#header", Static), header_text(run, palette, self.size.width))
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
        self.state_line.show(state)

    def _search_text(self) -> str:
        if not self._needle:
            return ""
        found = self.log_view.found
        if self._tab == "log" and found is not None and found.total:
            return f"  find: {self._needle} {found.number}/{found.total}"
        return f"  find: {self._needle}{self._search_result}"

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
                return f"{self._tab}.md" if self._texts and self._texts.document(self._tab) is not None else ""
            case _:
                return ""

    # Messages of parts.

    def on_log_rows_state_changed(self) -> None:
        """Show the new state of the log."""
        if self._tab == "log":
            self._show_state()

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
