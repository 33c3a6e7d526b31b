"""A page with one document and one change."""

from textual.app import ComposeResult

from tests.tui.attached import settle
from tui.diff_view import DiffView
from tui.document import Document
from tui.screens.page import Page


class Texts(Page):
    """A page with one of each view."""

    def body(self) -> ComposeResult:
        yield Document(id="document")
        yield DiffView(id="diff")


async def open_texts(app, pilot):
    await settle(pilot)
    page = Texts()
    await app.push_screen(page)
    await settle(pilot)
    return page.query_one("#document", Document), page.query_one("#diff", DiffView)


def lines_of(view):
    return [view.plain(y).rstrip() for y in range(view.line_count)]
