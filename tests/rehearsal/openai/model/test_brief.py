import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonmind_appliance.rehearsal.openai.model import documents
from moonmind_appliance.rehearsal.openai.model.brief import read_specification, read_text


@pytest.mark.parametrize(
    ("text", "title", "short_name"),
    [
        ("# Add a health page\n\nIt shows whether we are up.", "Add a health page", "health-page"),
        ("title: Export of invoices\nformat: CSV\n", "Export of invoices", "export-invoices"),
        ('{"title": "Dark mode", "why": "eyes"}', "Dark mode", "dark-mode"),
        ("We want people to reset their password.", "We want people to reset their password", "people-reset-password"),
        ("# Größe der Übersicht\n", "Größe der Übersicht", "groe-der-ubersicht"),
        ("日本語のページ", "日本語のページ", "feature"),
        ("--help", "--help", "help"),
        ("", "Requested feature", "requested-feature"),
        ("---\n***\n", "Requested feature", "requested-feature"),
    ],
)
def test_a_title_is_found_in_every_kind_of_text(text: str, title: str, short_name: str) -> None:
    """Markdown, YAML, JSON, sentences, other scripts, nothing."""
    brief = read_text(text)
    assert (brief.title, brief.short_name) == (title, short_name)


def test_bullets_are_requirements() -> None:
    """Any bullet style, without the marks; at most eight."""
    brief = read_text("# T\n\n- one\n* two\n1. three\n- [ ] four\n" + "".join(f"- more {n}\n" for n in range(9)))
    assert brief.requirements[:4] == ("one", "two", "three", "four")
    assert len(brief.requirements) == 8


@given(st.text())
def test_any_text_gives_a_whole_specification(text: str) -> None:
    """One line each, a plain folder name, and no placeholder, mark or open question."""
    brief = read_text(text)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", brief.short_name)
    assert brief.requirements
    for line in (brief.title, brief.goal, *brief.requirements):
        assert line
        assert line.isprintable()
        assert not set(line) & set("[]<>")
    spec = documents.specification(brief, "001-x", "2026-11-23")
    assert "[" not in spec
    assert read_specification(spec).requirements[: len(brief.requirements)] == brief.requirements
