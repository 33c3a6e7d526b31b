"""Documents and changes on the screen: rendered in a thread, painted line by line."""

import pytest
from textual.app import ComposeResult

from tests.tui.attached import settle, until
from tui.diff_view import DiffView
from tui.document import Document
from tui.screens.page import Page

pytestmark = pytest.mark.anyio

PATCH = b"""diff --git a/a.md b/a.md
new file mode 100644
--- /dev/null
+++ b/a.md
@@ -0,0 +1 @@
+\x1b[2Jone
diff --git a/b.md b/b.md
--- a/b.md
+++ b/b.md
@@ -1 +1 @@
-old
+new
"""


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


async def test_a_document_is_rendered_whole(attached):
    """In any number of parts, and without control sequences."""
    text = "".join(f"## Heading {number}\n\nSome \x1b]0;title\x07text.\n\n" for number in range(900))
    app = attached.app()
    async with app.run_test() as pilot:
        document, _ = await open_texts(app, pilot)
        document.show(text)
        await until(pilot, lambda: "Heading 899" in lines_of(document))
        await settle(pilot)
        assert [line for line in lines_of(document) if line][:2] == ["Heading 0", "Some text."]
        assert len([line for line in lines_of(document) if line.startswith("Heading")]) == 900


async def test_a_document_is_wrapped_again_for_another_width(attached):
    """Only the latest text is shown, whichever is rendered first."""
    app = attached.app()
    async with app.run_test(size=(80, 24)) as pilot:
        document, _ = await open_texts(app, pilot)
        document.show("# Old\n" * 2000)
        document.show("word " * 30)
        await settle(pilot)
        before = document.line_count
        await pilot.resize_terminal(40, 24)
        await until(pilot, lambda: document.line_count > before)
        assert {word for line in lines_of(document) for word in line.split()} == {"word"}


async def test_a_change_begins_with_its_summary(attached):
    """Then the omitted files, then the changed files, without control characters."""
    app = attached.app()
    async with app.run_test() as pilot:
        _, diff = await open_texts(app, pilot)
        diff.show(PATCH, "# Change\n\nLeft out of the commit:\n\n- `x.key`: a secret\n")
        await until(pilot, lambda: diff.line_count > 0)
        assert lines_of(diff) == [
            "2 files changed, 2 lines added, 1 removed.",
            " A +1 -0 +++++      a.md",
            " M +1 -1 +++++----- b.md",
            "",
            "Left out of the commit:",
            "- `x.key`: a secret",
            "",
            "a.md  added, +1 -0",
            "@@ -0,0 +1 @@",
            "+one",
            "",
            "b.md  modified, +1 -1",
            "@@ -1 +1 @@",
            "-old",
            "+new",
        ]


async def test_going_from_file_to_file(attached):
    """It stops at the last one."""
    app = attached.app()
    async with app.run_test() as pilot:
        _, diff = await open_texts(app, pilot)
        diff.show(PATCH)
        await until(pilot, lambda: diff.line_count > 0)
        seen = []
        for step in (1, 1, 1, -1):
            diff.next_file(step)
            seen.append(diff.plain(diff.cursor))
        assert seen == ["a.md  added, +1 -0", "b.md  modified, +1 -1", "b.md  modified, +1 -1", "a.md  added, +1 -0"]
