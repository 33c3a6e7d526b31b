"""The parts of the specification that the pull request shows: title, assumptions and open questions. Pure.

The agent wrote the text, so it is untrusted. A text that cannot be read as Markdown has none of these parts.
"""

import re
from collections.abc import Iterator

from moonmind_appliance.phases.markdown import (
    Heading,
    Inline,
    Markdown,
    UnreadableMarkdown,
    bold_lines,
    brackets,
    headings,
    inlines,
    read_markdown,
    source_between,
    visible,
    without_comments,
)

_TITLE_PREFIX = "feature specification:"
_PLACEHOLDER = re.compile(r"\[[^\[\]]*\]")
_LONGEST_TITLE, _LONGEST_QUESTION = 120, 1_000
# How many sections of one name are searched for one with text.
_MOST_SECTIONS = 5

_MARKER = re.compile(
    r"\[[\s*_]{0,8}NEEDS[\s_-]{1,8}CLARIFICATIONS?\b[\s*_]{0,8}[:,\uff1a\u2013\u2014-]?", re.IGNORECASE
)
# The marker is mentioned, not used: "No [NEEDS CLARIFICATION] markers remain".
_MENTIONED_AFTER = re.compile(r"\W{0,8}(?:marker|tag|label|item|placeholder|note|comment)s?\b", re.IGNORECASE)
_MENTIONED_BEFORE = re.compile(
    r"\b(?:(?:no|zero|without)(?: open| more| further)?|any|all|every|each|remaining|unresolved)\W{0,8}$", re.IGNORECASE
)
# The example of Spec Kit's first templates: "Mark with [NEEDS CLARIFICATION: specific question]".
_EXAMPLES = frozenset({"specific question", "question", "your question"})
# The words next to a marker.
_NEIGHBOURHOOD = 40


def title(text: str) -> str | None:
    """The first heading of level 1, without Spec Kit's own prefix; None if there is none, or only a placeholder."""
    markdown = _read(text)
    for heading in headings(markdown) if markdown else []:
        if heading.level == 1:
            own = heading.text
            if own.casefold().startswith(_TITLE_PREFIX):
                own = own[len(_TITLE_PREFIX) :].lstrip()
            if own and not _PLACEHOLDER.fullmatch(own):
                return _short(own, _LONGEST_TITLE)
    return None


def section(text: str, name: str) -> str:
    """The Markdown below the heading that contains `name`, with its subsections; "" if there is none.

    A heading that begins with the name is preferred. The document's title is not a section. A line in bold counts as
    a heading if no real heading has the name.
    """
    markdown = _read(text)
    if markdown is None:
        return ""
    found = list(headings(markdown))
    first = next((heading for heading in found if heading.level == 1), None)
    sections = [heading for heading in found if heading is not first]
    text_below = _section(markdown, sections, found, name)
    if text_below:
        return text_below
    bold = bold_lines(markdown)
    return _section(markdown, bold, sorted([*found, *bold], key=lambda heading: heading.begin), name)


def clarifications(text: str) -> list[str]:
    """The distinct open questions of `[NEEDS CLARIFICATION: …]` in order, each of at most 1,000 characters.

    A marker without text is "unspecified". Markers in code, in comments, struck through or in a ticked list item are
    not open. A marker without text in a check list is not a question.
    """
    markdown = _read(text)
    found: dict[str, None] = {}
    for inline in inlines(markdown) if markdown else []:
        if "clarification" in inline.source.casefold():
            found |= dict.fromkeys(_questions(inline))
    return list(found)


def _questions(inline: Inline) -> Iterator[str]:
    source, at = inline.source, 0
    if inline.ticked:
        return
    for pair in brackets(source):
        marker = _MARKER.match(source, pair.begin) if pair.begin >= at and not pair.struck else None
        if marker is None:
            continue
        # A marker that is never closed ends with its line.
        line = source.find("\n", marker.end())
        end = pair.end - 1 if pair.end else line if line >= 0 else len(source)
        at = end
        question = visible(without_comments(source[marker.end() : end]))
        if question.casefold() in _EXAMPLES:
            continue
        if any(character.isalnum() for character in question):
            yield _short(question, _LONGEST_QUESTION)
        elif inline.ticked is None and not _mentioned(source, pair.begin, end + 1):
            yield "unspecified"


def _mentioned(source: str, begin: int, end: int) -> bool:
    before, after = source[max(0, begin - _NEIGHBOURHOOD) : begin], source[end : end + _NEIGHBOURHOOD]
    return bool(_MENTIONED_AFTER.match(after) or _MENTIONED_BEFORE.search(before))


def _section(markdown: Markdown, candidates: list[Heading], every: list[Heading], name: str) -> str:
    """The first section of the candidates that has text, of those that begin with the name if there is one."""
    ranked = sorted(
        (rank, heading.begin, number) for number, heading in enumerate(candidates) if (rank := _rank(heading, name))
    )
    for _, _, number in ranked[:_MOST_SECTIONS]:
        heading = candidates[number]
        ends = (other.begin for other in every if other.begin > heading.begin and other.level <= heading.level)
        text = source_between(markdown, heading.end, next(ends, len(markdown.lines)))
        if text:
            return text
    return ""


def _rank(heading: Heading, name: str) -> int:
    """1 if the heading begins with the name, 2 if it contains the name elsewhere, else 0."""
    wanted = name.casefold()
    if wanted not in heading.source.casefold():
        return 0
    text = heading.text.casefold()
    at = text.find(wanted)
    if at < 0 or text[at + len(wanted) : at + len(wanted) + 1].isalnum() or (at and text[at - 1].isalnum()):
        return 0
    return 2 if any(character.isalpha() for character in text[:at]) else 1


def _read(text: str) -> Markdown | None:
    try:
        return read_markdown(text)
    except UnreadableMarkdown:
        return None


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
