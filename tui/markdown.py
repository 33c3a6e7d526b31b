"""Renders Markdown to terminal lines with Rich, in a thread and in parts, so that the first screen appears at once.

Textual's Markdown widget creates a widget for every paragraph: 200 kB took 26 s and 686 MiB.
"""

import io
import re
from collections.abc import Iterator
from typing import ClassVar

from rich import markdown as rich_markdown
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.markdown import Markdown, MarkdownElement
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text
from rich.theme import Theme

# The first part fills any screen; the size of later parts balances the cost per part against the delay.
_FIRST_PART = 6_000
_PART = 50_000
_HEADING = re.compile(r"#{1,6}\s")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")

# Only the terminal's colours: they work on dark, on light and without colour.
_THEME = Theme(
    {
        "markdown.h1": "bold underline",
        "markdown.h2": "bold",
        "markdown.h3": "bold italic",
        "markdown.h4": "italic",
        "markdown.h5": "italic",
        "markdown.h6": "italic",
        "markdown.code": "bold",
        "markdown.code_block": "none",
        "markdown.block_quote": "italic",
        "markdown.item.bullet": "bold",
        "markdown.item.number": "bold",
        "markdown.link": "underline",
        "markdown.link_url": "underline",
        "markdown.hr": "dim",
        "markdown.table.border": "dim",
        "markdown.table.header": "bold",
    },
    inherit=True,
)


class _Heading(rich_markdown.Heading):
    """A left-aligned heading of any level."""

    LEVEL_ALIGN: ClassVar[dict[str, JustifyMethod]] = {f"h{level}": "left" for level in range(1, 7)}


class _CodeBlock(rich_markdown.CodeBlock):
    """A code block, with a line at its left instead of a background colour."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = Text(str(self.text).rstrip(), "", no_wrap=False, overflow="fold")
        for line in console.render_lines(Padding(code, (0, 0)), options.update(width=max(options.max_width - 2, 1))):
            yield Segment("│ ")
            yield from line
            yield Segment.line()


class _Image(rich_markdown.ImageItem):
    """An image's text and address, as a terminal shows no image."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = self.text.plain or "without a text"
        yield Text(f"[image: {text}, {self.destination}]")


class _Markdown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _Heading,
        "fence": _CodeBlock,
        "code_block": _CodeBlock,
        "image": _Image,
    }


def markdown_lines(text: str, width: int) -> Iterator[list[list[Segment]]]:
    """The lines of each part, as lists of segments; the first part comes within some milliseconds.

    Args:
        text: Markdown, cleaned of control characters. Definitions of links are known in their own part only.
        width: columns, at least 1.
    """
    console = Console(
        file=io.StringIO(),
        width=max(width, 1),
        height=25,
        theme=_THEME,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        _environ={},
    )
    options = console.options
    for part in parts(text):
        lines = console.render_lines(_Markdown(part, hyperlinks=False), options, pad=False)
        yield [_trimmed(line) for line in lines]
        # An empty line between the parts, as between blocks.
        yield [[]]


def parts(text: str, first: int = _FIRST_PART, later: int = _PART) -> list[str]:
    """The text cut before headings outside of code blocks, each part at least that many characters long."""
    found: list[list[str]] = [[]]
    size, fence = 0, ""
    for line in text.splitlines(keepends=True):
        if size >= (first if len(found) == 1 else later) and not fence and _HEADING.match(line):
            found.append([])
            size = 0
        if mark := _FENCE.match(line):
            if not fence:
                fence = mark[1]
            elif mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        found[-1].append(line)
        size += len(line)
    return ["".join(lines) for lines in found]


def _trimmed(line: list[Segment]) -> list[Segment]:
    """The line without the blanks that Rich appends: they would be copied, too."""
    kept = list(line)
    while kept and not kept[-1].text.strip():
        kept.pop()
    if kept:
        kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
    return kept


def plain(line: list[Segment]) -> str:
    """A line's text without its styles."""
    return "".join(segment.text for segment in line)
