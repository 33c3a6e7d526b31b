"""The runs: a live table of all, the running and waiting ones first."""

import os
import webbrowser
from functools import partial
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from moonmind_appliance.store import Store
from moonmind_appliance.views.run_summary import RunFilter, RunOrder, RunRow, run_ids, runs_by_id
from tui.cancel import cancel
from tui.explain import outcome_text
from tui.keys import Where, bindings
from tui.retry import retry
from tui.runs_table import RunsTable, Window, heading
from tui.screens import make_screen
from tui.screens.page import Page
from tui.static import update


class Loaded(NamedTuple):
    """The order of all runs that match, how many there are without the filter, and the rows around the window."""

    ids: list[str]
    total: int
    rows: dict[str, RunRow]


def load(store: Store, wanted: RunFilter, order: RunOrder, window: Window) -> Loaded:
    """Read the list. Takes a few milliseconds for 10,000 runs."""
    ids = run_ids(store, wanted, order)
    total = len(run_ids(store, RunFilter(), order)) if wanted.text else len(ids)
    return Loaded(ids, total, runs_by_id(store, window.around(ids)))


class RunsScreen(Page):
    """The list of runs."""

    WHERE = Where.RUNS
    MODE = "runs"
    BINDINGS = bindings(Where.RUNS)
    AUTO_FOCUS: ClassVar[str] = "#runs"

    def __init__(self) -> None:
        super().__init__()
        self._order = RunOrder.ACTIVE
        self._total: int | None = None

    def body(self) -> ComposeResult:
        """The filter line, the table with its heading, and the explanation of the selected run."""
        with Horizontal(id="bar"):
            yield Static("", id="count", markup=False)
            yield Static("filter ", id="filter-label")
            field = Input(id="filter", placeholder="/ repository, ref, id, user, status", compact=True)
            field.cursor_blink = False
            yield field
            yield Static("", id="sort", markup=False)
        yield Static("", id="heading", markup=False)
        yield RunsTable(id="runs")
        yield Static("", id="about", markup=False)

    @property
    def table(self) -> RunsTable:
        """The table."""
        return self.query_one("#runs", RunsTable)

    @property
    def filter_field(self) -> Input:
        """The field that filters as you type."""
        return self.query_one("#filter", Input)

    def read(self) -> None:
        """Read the order, and the rows around what is visible."""
        wanted = RunFilter(text=self.filter_field.value.strip())
        self.run_in_background(
            "runs", partial(load, self.tui.resources.store, wanted, self._order, self.table.window), self._show
        )

    def tick(self) -> None:
        """Update ages and countdowns."""
        self.table.repaint_changed()
        self._show_about()

    def serve_changed(self) -> None:
        """Show which runs wait only for the service."""
        self._show_about()

    def on_runs_table_rows_wanted(self, message: RunsTable.RowsWanted) -> None:
        """Read the rows that the table needs."""
        message.stop()
        self.read()

    def on_lines_cursor_moved(self) -> None:
        """Explain the run under the cursor."""
        self._show_about()

    async def on_lines_opened(self) -> None:
        """Open the run."""
        await self.action_open_run()

    def on_runs_table_resized(self) -> None:
        """Align the heading with the columns."""
        self._show_heading()

    def _show(self, loaded: Loaded) -> None:
        self._total = loaded.total
        self.table.show(loaded.ids, loaded.rows)
        self._show_bar()
        self._show_heading()
        self._show_about()

    def _show_heading(self) -> None:
        update(self.query_one("#heading", Static), Text(heading(self.table.line_width), no_wrap=True))

    def _show_bar(self) -> None:
        found = len(self.table.ids)
        count = f"{found:,} runs" if found == self._total else f"{found:,} of {self._total:,} runs"
        update(self.query_one("#count", Static), Text("1 run" if count == "1 runs" else count))
        follow = "on" if self.table.follow else "off"
        update(self.query_one("#sort", Static), Text(f"sort {self._order.value}  follow {follow}"))

    def _show_about(self) -> None:
        about = self.query_one("#about", Static)
        row = self.table.selected
        palette = self.tui.palette
        if row is not None:
            sentence = outcome_text(row.summary, row.phases, self.tui.now(), serve_is_running=self.tui.serve_is_running)
            text = Text.assemble((row.summary.short_id, palette.strong), " ")
            failed = row.summary.failure
            tone = palette.bad if failed is not None else palette.plain
            code, _, rest = sentence.partition(" ") if failed is not None else (sentence, "", "")
            update(about, text.append(code, tone).append(f" {rest}" if rest else ""))
        elif self.table.ids:
            return
        elif self._total == 0:
            state = self.tui.serve_state
            not_ready = state is not None and state.answers and not state.ready
            first = " A run would wait: the service is not ready for runs. Press 3 to see why." if not_ready else ""
            update(about, Text(f"No runs in {self.tui.settings.moonmind_data_dir} yet. Press n to submit one.{first}"))
        elif self._total is not None:
            update(about, Text("No run contains that text. Esc clears the filter."))

    # Keys.

    async def action_open_run(self, tab: str = "") -> None:
        """Open the run under the cursor, on that tab; from the filter, go back to the list.

        It waits until the page has its widgets: keys that were typed ahead are for them.
        """
        if self.typing:
            self.set_focus(self.table)
        elif (run_id := self.table.selected_id) is not None:
            await self.app.push_screen(make_screen("run", run_id, tab))

    def action_filter(self) -> None:
        """Type a filter."""
        self.set_focus(self.filter_field)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter as you type."""
        event.stop()
        self.read()

    def action_to_list(self) -> None:
        """From the filter down into the list."""
        self.set_focus(self.table)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the list the down key moves the cursor."""
        if action == "to_list" or (action == "open_run" and parameters):
            return self.typing == (action == "to_list")
        return super().check_action(action, parameters)

    def action_clear(self) -> None:
        """Clear the filter and go back to the table."""
        self.filter_field.value = ""
        self.set_focus(self.table)

    async def action_new_run(self) -> None:
        """Open the form; what is typed next is for its first field."""
        await self.app.push_screen(make_screen("new_run"))

    def action_again(self) -> None:
        """Open the form, filled in from the run under the cursor."""
        if (run_id := self.table.selected_id) is not None:
            self.app.push_screen(make_screen("new_run", run_id))

    def action_cancel_run(self) -> None:
        """Cancel the run under the cursor, after a confirmation."""
        if (row := self.table.selected) is not None:
            cancel(self, row.summary)

    def action_retry_run(self) -> None:
        """Queue the run under the cursor again."""
        if (row := self.table.selected) is not None:
            retry(self, row.summary)

    def action_copy_id(self) -> None:
        """Copy the run's id."""
        if (run_id := self.table.selected_id) is not None:
            self.tui.copy(run_id, "Run id")

    def action_copy_address(self) -> None:
        """Copy the address of the pull request."""
        if (row := self.table.selected) is None:
            return
        if row.summary.pull_request_url:
            self.tui.copy(row.summary.pull_request_url, "Address")
        else:
            self.show_message(f"Run {row.summary.short_id} has no pull request.")

    def action_open_address(self) -> None:
        """Open the pull request in a browser on this machine."""
        if (row := self.table.selected) is not None:
            open_address(self, row.summary.short_id, row.summary.pull_request_url)

    def action_sort(self) -> None:
        """Change to the next order."""
        orders = list(RunOrder)
        self._order = orders[(orders.index(self._order) + 1) % len(orders)]
        self.read()

    def action_follow(self) -> None:
        """Keep the cursor on the first run, or stop doing so."""
        self.table.follow = not self.table.follow
        if self.table.follow:
            self.table.action_first()
        self._show_bar()


def open_address(page: Page, short_id: str, address: str | None) -> None:
    """Open the address in a browser on the machine of the interface, or show why that failed."""
    if not address:
        page.show_message(f"Run {short_id} has no pull request.")
        return

    def opened(worked: bool) -> None:  # noqa: FBT001 - an answer
        if worked:
            page.show_message(f"Opened in a browser on this machine: {address}")
        else:
            page.show_message(f"There is no browser on this machine. Press o to copy the address: {address}")

    page.run_in_background("", partial(_browse, address), opened)


def _browse(address: str) -> bool:
    # A text browser would write over the interface.
    if not address.startswith("https://") or not _has_display():
        return False
    return webbrowser.open(address)


def _has_display() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
