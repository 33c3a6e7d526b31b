"""The screen of a run: what its keys do."""

from functools import partial
from pathlib import Path

from textual import events

from tui.cancel import cancel
from tui.diff_view import DiffView
from tui.keys import KEYS, Where, bindings
from tui.log_view import LogView
from tui.retry import RETRYABLE, retry
from tui.row_views import ArtifactsView
from tui.run_logs import neighbour
from tui.run_texts import artifact_path, save
from tui.screens import make_screen
from tui.screens.run_page import RunPage
from tui.screens.runs import open_address

_LOG_ACTIONS = frozenset(key.action.partition("(")[0] for key in KEYS[Where.LOG])


class RunScreen(RunPage):
    """One run."""

    WHERE = Where.RUN
    MODE = "runs"
    BINDINGS = [*bindings(Where.RUN), *bindings(Where.LOG)]  # noqa: RUF012 - as Textual has it
    AUTO_FOCUS = "#log"

    def on_log_view_searched(self, message: LogView.Searched) -> None:
        """Show the result of a search in the log."""
        self._searched(found=message.found)

    def on_log_view_no_error(self) -> None:
        """Show a message that no line reports an error."""
        self.show_message("This log contains no error.")

    # Search and saving use the same field.

    def _end_asking(self) -> None:
        self.set_focus(self.shown)
        self.state_line.end()

    def action_submit(self) -> None:
        """Search, or save, after the field has processed all keys typed before."""
        self.set_focus(self.shown)
        self.state_line.field.call_later(self._submit)

    def _submit(self) -> None:
        what, value = self.state_line.asking, self.state_line.field.value
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
        self.state_line.ask("search", "find: ", self._needle)

    def action_match(self, step: int) -> None:
        """Go to the next match, or the previous one."""
        self.state_line.field.call_later(self._match, step)

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
            self.state_line.ask("save", "save to: ", name)
        else:
            self.show_message("There is nothing to save here.")

    def _save(self, target: str) -> None:
        source: Path | bytes | None = None
        texts = self._texts
        if self._tab == "log":
            source = self._opened[1]
        elif self._tab == "diff" and texts is not None:
            source = texts.patch
        elif self._tab == "artifacts":
            artifact = self.query_one("#artifacts", ArtifactsView).selected
            if artifact is None:
                return
            files = self.tui.resources.files
            self.run_in_background(
                "save", lambda: save(artifact_path(files, artifact), target, Path.cwd()), self._saved
            )
            return
        elif texts is not None and (document := texts.document(self._tab)) is not None:
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
        if self.state_line.asking:
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
