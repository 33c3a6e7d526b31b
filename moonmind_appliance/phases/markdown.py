"""Reads Markdown from an agent or a repository with a CommonMark parser. Pure.

Fences, indented code, comments, front matter and nested lists are recognized as GitHub recognizes them:
https://spec.commonmark.org/0.31.2/ and https://github.github.com/gfm/#task-list-items-extension-.
Tables are not parsed: reading their rows as text is sufficient and much faster.
"""

import logging
import re
from collections.abc import Iterator
from itertools import pairwise

import msgspec
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from moonmind_appliance.printable import strip, without_blank_letters

MOST_LINES = 10_000
"""Most lines of a text. Spec Kit's documents have some hundreds."""
MOST_ELEMENTS = 50_000
"""Most Markdown elements of a text: headings, lists, list items and paragraphs, where they begin and end."""
MOST_BRACKETS = 20_000
"""Most opening square brackets of a text."""
_MOST_NESTING = 40
# A heading or the beginning of a task needs no more, and some searches of the parser take quadratic time.
_LONGEST_INLINE, _LONGEST_BOLD, _MOST_MARKS = 400, 100, 60

# At DEBUG the parser logs every rule for every line: hundreds of thousands of lines for one text.
logging.getLogger("markdown_it").setLevel(logging.WARNING)

_FRONT_MATTER_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*[ \t]*:(?:[ \t]|$)")
_MARKDOWN_FENCE = re.compile(r"(`{3,8}|~{3,8})\s?(?:markdown|md)", re.IGNORECASE)
_COMMENT_BEGINS, _COMMENT_ENDS = "<!--", "-->"
_CODE = frozenset({"fence", "code_block"})
_HIDDEN = ("<pre", "<script", "<style")
_BOLD = frozenset({"strong_open", "strong_close"})


class UnreadableMarkdown(Exception):
    """The text is too large or too deeply nested to be read. The message says what is wrong, without a subject."""


class Markdown(msgspec.Struct, frozen=True):
    """A parsed text. `lines` are those of the source, with empty lines in place of its front matter."""

    lines: list[str]
    blocks: list[Token]


class Heading(msgspec.Struct, frozen=True):
    """A heading outside lists and quotes. `level` is 1 to 6, and 7 for a line in bold that is used as a heading.

    `source` includes the marks. The heading has the lines from `begin` up to `end`; the text below it begins at `end`.
    """

    level: int
    source: str
    begin: int
    end: int

    @property
    def text(self) -> str:
        """The heading as shown, see `shown`."""
        return shown(self.source)


class Inline(msgspec.Struct, frozen=True):
    """The text of a paragraph, heading, or block of HTML, with its marks. `line` is its first line.

    `ticked` is None unless the text is that of a list item that begins with a check box. The text then follows the box.
    """

    source: str
    line: int
    ticked: bool | None = None


class Bracket(msgspec.Struct, frozen=True):
    """A bracket pair in an inline text, outside code spans, comments and escapes; the slice `begin:end` of the text.

    `end` is None if the bracket is never closed. `struck`: the text is struck through.
    """

    begin: int
    end: int | None
    struck: bool


def read_markdown(text: str) -> Markdown:
    """Parse a text. A byte order mark is ignored; any line break counts; a fence around the whole text is removed.

    Raises:
        UnreadableMarkdown: It exceeds a limit, or the parser failed.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(lines) > MOST_LINES:
        raise UnreadableMarkdown(f"has {len(lines)} lines; the limit is {MOST_LINES}")
    if (opened := text.count("[")) > MOST_BRACKETS:
        raise UnreadableMarkdown(f"has {opened} opening square brackets; the limit is {MOST_BRACKETS}")
    begin = _unwrap(lines)
    for number in range(begin, _front_matter_end(lines, begin)):
        lines[number] = ""
    try:
        return Markdown(lines, _BLOCKS.parse("\n".join(lines)))
    except UnreadableMarkdown:
        raise
    except Exception as error:
        # A defect of the parser must fail the phase, not the appliance.
        raise UnreadableMarkdown(f"could not be parsed as Markdown ({type(error).__name__})") from error


def headings(markdown: Markdown) -> Iterator[Heading]:
    """The headings in order, of both kinds (`# …`, underlined)."""
    for opened, inline in pairwise(markdown.blocks):
        if opened.type == "heading_open" and opened.level == 0 and opened.map:
            yield Heading(int(opened.tag[1]), inline.content, *opened.map)


def bold_lines(markdown: Markdown) -> list[Heading]:
    """The paragraphs of one bold line, such as `**Assumptions**:`, as headings of level 7."""
    found = []
    for opened, inline in pairwise(markdown.blocks):
        if opened.type == "paragraph_open" and opened.level == 0 and opened.map:
            content = inline.content.rstrip().removesuffix(":")
            bold = content[:2] in ("**", "__") and content.endswith(content[:2])
            if bold and "\n" not in content and len(content) <= _LONGEST_BOLD:
                tokens = [token for token in _inline(content) if token.type != "text" or token.content.strip()]
                marks = [token.type for token in tokens if token.type in _BOLD]
                if len(marks) == len(_BOLD) and [tokens[0].type, tokens[-1].type] == marks:
                    found.append(Heading(7, content, *opened.map))
    return found


def inlines(markdown: Markdown) -> Iterator[Inline]:
    """Every text that readers see, in order: no code, and HTML without its scripts and preformatted text."""
    before: Token | None = None
    item = False
    for token in markdown.blocks:
        if token.type == "inline" and token.map:
            source, ticked = token.content, None
            if item and source[:1] == "[" and source[2:3] == "]" and source[1:2] in " xX" and source[3:4].isspace():
                source, ticked = source[4:].lstrip(" \t"), source[1] != " "
            yield Inline(source, token.map[0], ticked)
        elif token.type == "html_block" and token.map and not token.content[:10].lower().lstrip().startswith(_HIDDEN):
            yield Inline(token.content, token.map[0])
        item = token.type == "paragraph_open" and before is not None and before.type == "list_item_open"
        before = token


def brackets(source: str) -> list[Bracket]:
    """The bracket pairs of an inline text, by their begin, in linear time."""
    opened: list[int] = []
    found: list[tuple[int, bool]] = []
    ends: dict[int, int] = {}
    struck = 0
    for token in _PAIRS.parseInline(source)[0].children or []:
        if token.type == "s_open":
            struck += 1
        elif token.type == "s_close":
            struck -= 1
        elif token.type == "bracket":
            at = int(token.meta["at"])
            if token.content == "[":
                opened.append(at)
                found.append((at, struck > 0))
            elif opened:
                ends[opened.pop()] = at + 1
    return [Bracket(begin, ends.get(begin), crossed) for begin, crossed in found]


def shown(source: str) -> str:
    """The first 400 characters of an inline text as readers see them: no marks, link targets, tags and images.

    Characters that are invisible or change the direction of the text are removed, and blanks are joined.
    """
    parts = []
    for token in _inline(source[:_LONGEST_INLINE]):
        if token.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif token.type in ("text", "code_inline", "image"):
            parts.append(token.content)
    return visible("".join(parts))


def visible(text: str) -> str:
    """The text on one line, without characters that are invisible or change its direction, and with single blanks."""
    return " ".join(strip(without_blank_letters(" ".join(text.split()))).split())


def source_between(markdown: Markdown, begin: int, end: int) -> str:
    """The lines from `begin` up to `end`, without the HTML comments outside code."""
    code = [False] * len(markdown.lines)
    for token in markdown.blocks:
        if token.type in _CODE and token.map:
            first, last = token.map
            code[first:last] = [True] * (last - first)
    parts: list[str] = []
    start = begin
    for number in range(begin, end + 1):
        if number == end or code[number] != code[start]:
            part = "\n".join(markdown.lines[start:number])
            parts.append(part if start < end and code[start] else without_comments(part))
            start = number
    return "\n".join(parts).strip()


def without_comments(text: str) -> str:
    """The text without HTML comments; an unclosed comment is kept."""
    parts, at = [], 0
    while (begin := text.find(_COMMENT_BEGINS, at)) >= 0:
        end = text.find(_COMMENT_ENDS, begin + len(_COMMENT_BEGINS))
        if end < 0:
            break
        parts.append(text[at:begin])
        at = end + len(_COMMENT_ENDS)
    return "".join([*parts, text[at:]])


def _unwrap(lines: list[str]) -> int:
    """Remove a fence of Markdown around the whole text, as some models write it; returns where the text begins."""
    filled = [number for number, line in enumerate(lines) if line.strip()]
    opened = _MARKDOWN_FENCE.fullmatch(lines[filled[0]].strip()) if len(filled) > 1 else None
    if opened and lines[filled[-1]].strip() == opened[1]:
        lines[filled[0]] = lines[filled[-1]] = ""
        return filled[0] + 1
    return 0


def _front_matter_end(lines: list[str], begin: int) -> int:
    """Where the text after the YAML front matter begins; `begin` if there is none."""
    if lines[begin].rstrip() != "---":
        return begin
    inside = False
    for number, line in enumerate(lines[begin + 1 :], begin + 1):
        if line.rstrip() in ("---", "..."):
            return number + 1 if inside else begin
        if not inside and line.strip() and not line.startswith("#"):
            if not _FRONT_MATTER_KEY.match(line):
                return begin
            inside = True
    return begin


def _inline(source: str) -> list[Token]:
    # The parser compares the marks of emphasis in pairs, which takes milliseconds for a heading that consists of them.
    many = sum(source.count(mark) for mark in "*_~") > _MOST_MARKS
    return (_WITHOUT_EMPHASIS if many else _INLINES).parseInline(source)[0].children or []


def _limit(state: StateBlock, _line: int, _end: int, _silent: bool) -> bool:  # noqa: FBT001 - the parser's signature
    if len(state.tokens) > MOST_ELEMENTS:
        raise UnreadableMarkdown(f"has more than {MOST_ELEMENTS} Markdown elements")
    return False


def _bracket(state: StateInline, silent: bool) -> bool:  # noqa: FBT001 - the parser's signature
    if state.src[state.pos] not in "[]":
        return False
    if not silent:
        token = state.push("bracket", "", 0)
        token.content, token.meta = state.src[state.pos], {"at": state.pos}
    state.pos += 1
    return True


def _comment(state: StateInline, _silent: bool) -> bool:  # noqa: FBT001 - the parser's signature
    if not state.src.startswith(_COMMENT_BEGINS, state.pos) or state.env.get("no comment ends"):
        return False
    end = state.src.find(_COMMENT_ENDS, state.pos + len(_COMMENT_BEGINS), state.posMax)
    if end < 0:
        state.env["no comment ends"] = True
        return False
    state.pos = end + len(_COMMENT_ENDS)
    return True


def _blocks_parser() -> MarkdownIt:
    # Keep link reference definitions as paragraphs: `[NEEDS CLARIFICATION: who?]: nobody` has the form of one.
    parser = MarkdownIt("commonmark", {"maxNesting": _MOST_NESTING}).disable(["inline", "reference"])
    parser.block.ruler.before("code", "limit", _limit)
    return parser


def _pairs_parser() -> MarkdownIt:
    parser = MarkdownIt("zero").enable(["escape", "backticks", "strikethrough"])
    parser.inline.ruler.push("bracket", _bracket)
    parser.inline.ruler.push("comment", _comment)
    return parser


_BLOCKS = _blocks_parser()
_INLINES = MarkdownIt("commonmark").enable("strikethrough")
_WITHOUT_EMPHASIS = MarkdownIt("commonmark").disable("emphasis")
_PAIRS = _pairs_parser()
