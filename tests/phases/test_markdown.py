"""Which parts of a Markdown text are read, and that no text makes the parser fail or take long."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moonmind_appliance.models import PhaseName
from moonmind_appliance.phases.acceptance import accept
from moonmind_appliance.phases.markdown import (
    MOST_BRACKETS,
    MOST_ELEMENTS,
    MOST_LINES,
    UnreadableMarkdown,
    bold_lines,
    brackets,
    headings,
    inlines,
    read_markdown,
    shown,
    visible,
    without_comments,
)
from moonmind_appliance.phases.specification import clarifications, section, title
from moonmind_appliance.phases.template import is_unfilled

# Repeated, these make some Markdown parsers take quadratic time, or nest too deeply.
HOSTILE = [
    "> ",
    "- ",
    "1. ",
    "- > ",
    "[",
    "![",
    "[a](",
    "[[a]",
    "`",
    "`` ` ",
    "*a **b ",
    "~~",
    "<!--",
    "<a ",
    "&#",
    "\\[",
]
HOSTILE += ["# a\n", "a\n===\n", "|a|b|\n|-|-|\n", "```\n", "- a\n  ", "<div>\n", "[NEEDS CLARIFICATION: ", "**a**\n\n"]
MARKS = st.sampled_from(
    [*HOSTILE, "\n", "\r", "\t", " ", "\0", "\ufeff", "---\n", "a: b\n", "[x] T001", "]", "\ud800", "漢"]
)


def test_headings_have_levels_and_lines() -> None:
    """Of both kinds; not in lists, quotes, code, comments or front matter."""
    text = (
        "---\na: b\n---\n# *One*\n\nTwo\n---\n\n- # no\n\n> # no\n\n```\n# no\n```\n<!--\n# no\n-->\n### `Three` ###\n"
    )
    found = [(heading.level, heading.text, heading.begin, heading.end) for heading in headings(read_markdown(text))]
    assert found == [(1, "One", 3, 4), (2, "Two", 5, 7), (3, "Three", 18, 19)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Risks**:\n", ["Risks"]),
        ("__Risks:__\n", ["Risks:"]),
        ("**Risks** are few\n", []),
        ("**Risks**\nare few\n", []),
        ("**One** and **two**\n", []),
        ("- **Risks**\n", []),
        ("****\n", []),
    ],
)
def test_a_line_in_bold_may_be_a_heading(text: str, expected: list[str]) -> None:
    """If nothing else is in its paragraph."""
    assert [heading.text for heading in bold_lines(read_markdown(text))] == expected


def test_check_boxes_are_those_that_github_shows() -> None:
    """At the begin of a list item's first paragraph, followed by a blank."""
    text = "- [ ] a\n- [x] b\n\n  [x] c\n- [X]\td\n- [-] e\n- [ ]f\n\n[ ] g\n"
    found = [(inline.source, inline.ticked) for inline in inlines(read_markdown(text))]
    assert found == [
        ("a", False),
        ("b", True),
        ("[x] c", None),
        ("d", True),
        ("[-] e", None),
        ("[ ]f", None),
        ("[ ] g", None),
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("[a [b] c]", [(0, 9, False), (3, 6, False)]),
        ("[a", [(0, None, False)]),
        ("a]", []),
        ("`[a]` \\[b] [c]", [(11, 14, False)]),
        ("<!-- [a] --> [b]", [(13, 16, False)]),
        ("<!-- [a]", [(5, 8, False)]),
        ("~~[a]~~ [b]", [(2, 5, True), (8, 11, False)]),
        ("[a `]` b]", [(0, 9, False)]),
    ],
)
def test_brackets_are_paired_outside_code_and_comments(
    source: str, expected: list[tuple[int, int | None, bool]]
) -> None:
    """As positions in the source."""
    assert [(pair.begin, pair.end, pair.struck) for pair in brackets(source)] == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("**a** `b*` _c_ ~~d~~ [e](f) <b>g</b> <!-- h -->", "a b* c d e g"),
        ("a  \nb\nc", "a b c"),
        ("![alt](x.png) &lt;a&gt;", "alt <a>"),
        ("a" * 500, "a" * 400),
    ],
)
def test_a_text_is_shown_without_marks(source: str, expected: str) -> None:
    """On one line."""
    assert shown(source) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u202eb\u2066c\u200bd\u200de\u00adf\ufeffg", "abcdefg"),
        ("a\u3164 \u2800b\u034f\ufe0f", "a b"),
        ("a\u00a0\u2028\u3000b", "a b"),
        ("\U000e0041\x00a\x1b[31mb\x7f", "ab"),
        ("größe 漢字 😀", "größe 漢字 😀"),
        ("\u200b\u3164 \u2060", ""),
    ],
)
def test_invisible_characters_are_removed(text: str, expected: str) -> None:
    """Marks of direction, without width, fillers, variation selectors, tags, control characters."""
    assert visible(text) == expected


def test_an_unclosed_comment_is_kept() -> None:
    """A closed one is removed."""
    assert without_comments("a<!-- b -->c<!-- d") == "ac<!-- d"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\n" * MOST_LINES, f"the limit is {MOST_LINES}"),
        ("- - - - a\n" * 9_000, f"more than {MOST_ELEMENTS}"),
        ("[" * (MOST_BRACKETS + 1), f"the limit is {MOST_BRACKETS}"),
    ],
)
def test_a_text_above_a_limit_is_not_parsed(text: str, words: str) -> None:
    """By lines, and by what they contain."""
    with pytest.raises(UnreadableMarkdown, match=words):
        read_markdown(text)


def read_everything(text: str) -> None:
    accept(PhaseName.SPECKIT_TASKS, "tasks.md", text, text[1:])
    is_unfilled(text, f"# [FEATURE]\n{text}")
    title(text), section(text, "Assumptions"), clarifications(text)


@pytest.mark.parametrize("part", HOSTILE)
def test_no_nesting_raises(part: str) -> None:
    """An exception would fail the run as an internal error."""
    read_everything(part * 300)
    read_everything(f"# a\n\n{part * 100} clarification ]\n")


@settings(max_examples=40, deadline=None)
@given(st.lists(MARKS, max_size=40).map("".join))
def test_no_text_raises(text: str) -> None:
    """Any order of marks, line breaks and unusual characters."""
    read_everything(text)


def test_the_parser_logs_no_steps(caplog: pytest.LogCaptureFixture) -> None:
    """Not even at DEBUG: a long text would fill the log."""
    with caplog.at_level(logging.DEBUG):
        assert title("# Due dates\n\nText\n") == "Due dates"
    assert caplog.records == []
