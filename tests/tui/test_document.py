"""A Markdown text on the screen: rendered in a thread, painted line by line."""

import pytest

from tests.tui.attached import settle, until
from tests.tui.text_page import lines_of, open_texts

pytestmark = pytest.mark.anyio


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
