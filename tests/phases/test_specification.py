"""The parts of a specification that reviewers see, in the forms in which people and agents write Markdown."""

import pytest

from moonmind_appliance.phases.specification import clarifications, section, title


def test_open_questions_come_once_and_in_order() -> None:
    """Over several lines, in any case, with or without a colon or text."""
    text = "a [NEEDS CLARIFICATION: who\n  pays?] b [needs clarification when?]"
    text += " [NEEDS CLARIFICATION: who pays?] [NEEDS CLARIFICATION]"
    assert clarifications(text) == ["who pays?", "when?", "unspecified"]


def test_all_questions_are_counted() -> None:
    """The caller shortens the list and needs the number."""
    assert len(clarifications("".join(f"- [NEEDS CLARIFICATION: {n}?]\n" for n in range(250)))) == 250


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[NEEDS CLARIFICATION: which of [German, English](../x.md) do [guests] choose?]",
            "which of [German, English](../x.md) do [guests] choose?",
        ),
        ("[NEEDS CLARIFICATION: is `]` or `a[0]` kept?]", "is `]` or `a[0]` kept?"),
        ("[NEEDS CLARIFICATION: is \\] kept?]", "is \\] kept?"),
        ("[NEEDS CLARIFICATION: who?](#q1)", "who?"),
        ("[NEEDS CLARIFICATION: who?]: guests", "who?"),
        ("[**NEEDS CLARIFICATION**: who?]", "who?"),
        ("**[NEEDS CLARIFICATION: who?]**", "who?"),
        ("[NEEDS CLARIFICATION - who?]", "who?"),
        ("[NEEDS\nCLARIFICATION: who?]", "who?"),
        ("[NEEDS_CLARIFICATION: who?]", "who?"),
        ("[NEEDS CLARIFICATION\uff1awho?]", "who?"),
        ("- one\n  - two [NEEDS CLARIFICATION: who,\n    and when?]", "who, and when?"),
        ("> [NEEDS CLARIFICATION: who,\n> and when?]", "who, and when?"),
        ("## Payment [NEEDS CLARIFICATION: who?]", "who?"),
        ("Payment [NEEDS CLARIFICATION: who?]\n---", "who?"),
        ("| a | b |\n|---|---|\n| x | [NEEDS CLARIFICATION: who?] |", "who?"),
        ("<table><tr><td>[NEEDS CLARIFICATION: who?]</td></tr></table>", "who?"),
        ("- [ ] Decide [NEEDS CLARIFICATION: who?]", "who?"),
        ("[NEEDS CLARIFICATION: who?\n\nAnother paragraph.", "who?"),
        ("- [NEEDS CLARIFICATION: who?\n- next", "who?"),
        ("a\r\n[NEEDS CLARIFICATION: who\r\npays?]\r\n", "who pays?"),
        ("[NEEDS CLARIFICATION: wer\u202e zahlt\u200b?]", "wer zahlt?"),
        ("[NEEDS CLARIFICATION: who <!-- or what --> pays?]", "who pays?"),
        ("Users sign in with [NEEDS CLARIFICATION]", "unspecified"),
        ("Users sign in with [NEEDS CLARIFICATION: …]", "unspecified"),
    ],
)
def test_a_question_is_read_completely(text: str, expected: str) -> None:
    """With its links, brackets and code; over lines; in any block; also if its bracket is never closed."""
    assert clarifications(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "- [x] No [NEEDS CLARIFICATION] markers remain",
        "- [ ] No [NEEDS CLARIFICATION] markers remain",
        "- [ ] Keine offenen [NEEDS CLARIFICATION] mehr",
        "- [x] Payment: [NEEDS CLARIFICATION: who?] The guest.",
        "No [NEEDS CLARIFICATION] is left.",
        "There is no open [NEEDS CLARIFICATION].",
        "All [NEEDS CLARIFICATION] markers were resolved.",
        "Every **[NEEDS CLARIFICATION]** tag",
        "Mark it with [NEEDS CLARIFICATION: specific question]",
        "`[NEEDS CLARIFICATION: who?]`",
        "``a ` [NEEDS CLARIFICATION: who?]``",
        "```\n[NEEDS CLARIFICATION: who?]\n```",
        "a\n\n    [NEEDS CLARIFICATION: who?]",
        "<!-- [NEEDS CLARIFICATION: who?] -->",
        "text <!-- [NEEDS CLARIFICATION: who?] --> text",
        "<pre>\n[NEEDS CLARIFICATION: who?]\n</pre>",
        "~~[NEEDS CLARIFICATION: who?]~~ the guest",
        "\\[NEEDS CLARIFICATION: who?]",
        "---\nnote: x [NEEDS CLARIFICATION: who?]\n---\n# Title",
        "NEEDS CLARIFICATION: no brackets",
        "[NEEDS CLARIFICATIONX: who?]",
    ],
)
def test_a_mention_of_the_marker_is_no_question(text: str) -> None:
    """Nor one in code, a comment or front matter, nor one that is ticked or struck through."""
    assert clarifications(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Feature Specification: Dark mode\n", "Dark mode"),
        ("\ufeff# Feature Specification: Dark mode\r\n", "Dark mode"),
        ("intro\n#   Dark   `mode`  \n", "Dark mode"),
        ("## Only deeper\n", None),
        ("no heading", None),
        ("", None),
        ("<!--\n# Not this\n-->\n# This\n", "This"),
        ("# " + "x" * 200, "x" * 119 + "…"),
        ("Dark mode\n=========\n", "Dark mode"),
        ("```markdown\n---\na: b\n---\n# Dark mode\n\n```sh\nx\n```\n\nText.\n```\n", "Dark mode"),
        ("```markdown\n# Not this\n```\n# This\n", "This"),
        ("# Dark mode ##\n", "Dark mode"),
        ("---\n# comment\ntitle: x\n---\n# Dark mode\n", "Dark mode"),
        ("---\n\n# Dark mode\n\n---\n", "Dark mode"),
        ("```\n# Not this\n```\n# This\n", "This"),
        ("> # Not this\n\n- # Nor this\n\n# This\n", "This"),
        ("    # Not this\n\n# This\n", "This"),
        ("#No heading\n\n# This\n", "This"),
        (
            "# Feature Specification: *Dark* **mode** with `theme_name` and snake_case\n",
            "Dark mode with theme_name and snake_case",
        ),
        ("# [Dark](https://example.invalid) mode &amp; more\n", "Dark mode & more"),
        ("# Dark\u202e mo\u200bde\u2066\u00ad\ufeff\n", "Dark mode"),
        ("# \u200b\u3164\n# Dark mode\n", "Dark mode"),
        ("# Dark\u00a0mode \x1b[31m\n", "Dark mode"),
        ("# Feature Specification: [FEATURE NAME]\n", None),
        ("# **Feature Specification**: Dark mode\n", "Dark mode"),
        ("# 暗色模式 – größer\n", "暗色模式 – größer"),  # noqa: RUF001 - the dash is what is tested
        ("# Dark mode <!-- draft -->\n", "Dark mode"),
        ("# [Beta] Export as [CSV]\n", "[Beta] Export as [CSV]"),
        ("# Feature Specification:\n", None),
        ("~~~Markdown\n# Dark mode\n~~~\n", "Dark mode"),
        ("````md\n# Dark mode\n\n```sh\nx\n```\n````\n", "Dark mode"),
    ],
)
def test_the_title_is_the_first_heading(text: str, expected: str | None) -> None:
    """Without Spec Kit's prefix, marks, invisible characters and extra blanks; None without a heading."""
    assert title(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("## Assumptions\n\n- one\n- two\n\n## Next\n\nx", "- one\n- two"),
        ("## assumptions *(mandatory)*\n- one", "- one"),
        ("### Assumptions\n<!-- fill\nme -->\n- one\n", "- one"),
        ("## Assumptions\n## Next", ""),
        ("## Other\n- one", ""),
        ("# Assumptions are no section\n- one", ""),
        ("# Title\n# Assumptions\n- one\n# Next", "- one"),
        ("## Assumptions\n### Users\n- one\n#### Deep\n- two\n## Next", "### Users\n- one\n#### Deep\n- two"),
        ("#### Assumptions\n- one\n### Next\n- x", "- one"),
        ("Assumptions\n-----------\n- one\n\nNext\n----\nx", "- one"),
        ("## 5.1 Assumptions & Dependencies\n- one", "- one"),
        ("## Dependencies and Assumptions\n- one", "- one"),
        ("## **Assumptions**:\n- one", "- one"),
        ("**Assumptions**:\n\n- one\n\n**Next**\n\nx", "- one"),
        ("**Assumptions**\n\n- one\n\n## Next\n\nx", "- one"),
        ("## Risks and Assumptions\n- x\n## Assumptions\n- one", "- one"),
        ("## Assumptions\n\n## Assumptions\n- one", "- one"),
        ("## Reassumptions\n- one", ""),
        ("```\n## Assumptions\n- x\n```\n## Assumptions\n- one", "- one"),
        ("## Assumptions\n```\n## Next\n```\n- one\n## Next", "```\n## Next\n```\n- one"),
        ("## Assumptions\n```\n<!-- kept -->\n```\n<!-- gone -->", "```\n<!-- kept -->\n```"),
        ("---\na: b\n---\n\n## Assumptions\r\n- one\r\n", "- one"),
    ],
)
def test_a_section_has_its_subsections(text: str, expected: str) -> None:
    """Up to the next heading of its level; in every form of a heading; without comments."""
    assert section(text, "Assumptions") == expected


@pytest.mark.parametrize("text", ["- a\n" * 20_000, "- - - - a [NEEDS CLARIFICATION: b]\n" * 9_000])
def test_a_text_that_is_too_large_to_parse_has_nothing(text: str) -> None:
    """`accept` has already refused such a text; no exception is raised."""
    assert (title(text), section(text, "Assumptions"), clarifications(text)) == (None, "", [])
