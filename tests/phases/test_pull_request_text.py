"""The words for reviewers: whole, short enough for GitHub, and calling nobody."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moonmind_appliance.phases.pull_request_text import Story, pull_request_text, quiet

RUN_ID = "0a1b2c3d-0000-4000-8000-000000000000"
# https://docs.github.com: a body of 65,536 characters, a title of 256.
GITHUBS_BODY, GITHUBS_TITLE = 65_536, 256


def story(**fields: object) -> Story:
    plain: dict[str, object] = {
        "run_id": RUN_ID,
        "heading": "Dark mode",
        "feature_directory": "specs/001-dark-mode",
        "external_ref": "JIRA-7",
        "clarifications": ["Who may switch?"],
        "assumptions": "- People have browsers",
        "files": ["specs/001-dark-mode/spec.md"],
        "agent": "codex 0.169.0, spec-kit 1.2.3",
        "left_out": [],
    }
    return Story(**(plain | fields))  # type: ignore[arg-type]


def test_reviewers_read_what_is_open_what_was_assumed_and_which_run_made_it() -> None:
    """Title, the three documents, questions as boxes to tick, assumptions, files, what was left out, run, reference."""
    text = pull_request_text(story(left_out=[{"path": "evil", "reason": "a link that leaves the repository"}]))
    assert text.title == "Dark mode"
    for part in (
        "`specs/001-dark-mode/plan.md`",
        "- [ ] Who may switch?",
        "> - People have browsers",
        "- `specs/001-dark-mode/spec.md`",
        "- `evil`: a link that leaves the repository",
        f"Run: `{RUN_ID}`",
        "Reference: `JIRA-7`",
    ):
        assert part in text.body


def test_a_specification_without_a_heading_is_titled_by_its_folder() -> None:
    """A pull request needs a title."""
    assert pull_request_text(story(heading=None)).title == "Specification 001-dark-mode"


@settings(max_examples=30, deadline=None)
@given(
    heading=st.text(max_size=400),
    clarifications=st.lists(st.text(min_size=1, max_size=30), max_size=4),
    assumptions=st.text(max_size=200),
    files=st.lists(st.text(min_size=1, max_size=40), max_size=4),
    times=st.sampled_from([1, 60, 2000]),
)
def test_however_long_the_parts_are_github_takes_the_words_and_the_run_is_named(
    heading: str, clarifications: list[str], assumptions: str, files: list[str], times: int
) -> None:
    """In characters, as GitHub counts; what does not fit is cut in its own part, never the end."""
    text = pull_request_text(
        story(
            heading=heading * times,
            clarifications=[question * times for question in clarifications] * times,
            assumptions=assumptions * times,
            files=[path * times for path in files] * times,
            left_out=[{"path": path * times, "reason": "a link that leaves the repository"} for path in files] * times,
        )
    )
    assert len(text.body) < GITHUBS_BODY - 4000
    assert 0 < len(text.title) < GITHUBS_TITLE - len("[Draft] ")
    assert text.body.endswith(f"Run: `{RUN_ID}`\nReference: `JIRA-7`\n")
    assert "\n" not in text.title


def test_many_files_are_counted() -> None:
    """A hundred are named, of the others the number."""
    body = pull_request_text(story(files=[f"specs/{n}" for n in range(250)])).body
    assert "- `specs/99`" in body
    assert "- `specs/100`" not in body
    assert "… and 150 more." in body


# What GitHub would make a mention, a reference or a closing of, in what Markdown has become.
MENTION = re.compile(r"(?:^|[^a-zA-Z0-9])@[a-zA-Z0-9]")
REFERENCE = re.compile(r"(?:#|\bGH-)\d", re.IGNORECASE)
CLOSING = re.compile(
    r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\b:?\s+(?:https?://|[\w./-]*#\u200b?\d)", re.IGNORECASE
)


@pytest.mark.parametrize(
    "text",
    [
        "@octocat",
        "ask @octocat, please",
        "(@octocat)",
        "_@octocat_",
        "`@octocat",
        "**@org/team**",
        "fixes #12",
        "Closes: acme/shop#12",
        "resolved GH-12",
        "fix https://example.invalid/acme/shop/issues/12",
        "see acme/shop#12 and gh-7",
        "<!-- @octocat --> #12 <!-- never closed @octocat",
    ],
)
def test_the_agents_text_calls_nobody_and_closes_nothing(text: str) -> None:
    """In a title, which a squash makes a commit's message, as in the body."""
    said = pull_request_text(story(heading=text, assumptions=text, clarifications=[text]))
    for words in (said.title, said.body):
        assert MENTION.search(words) is None
        assert REFERENCE.search(words) is None
        assert CLOSING.search(words) is None
        assert "<!--" not in words


@pytest.mark.parametrize("entity", ["&#64;octocat", "&#x40;octocat", "&commat;octocat", "&#35;12", "&num;12"])
def test_an_entity_stays_the_text_that_it_is(entity: str) -> None:
    """Once Markdown has become HTML, `&#64;` would be an at sign that calls."""
    assert quiet(entity).startswith("&amp;")


@pytest.mark.parametrize(
    "text", ["mail a@example.invalid", "C# and F#", "50 % & more", "# Heading", "closing time: 12"]
)
def test_harmless_text_stays_as_it_is(text: str) -> None:
    """Addresses, languages, ampersands, headings, plain words."""
    assert quiet(text) == text


@pytest.mark.parametrize(
    "opened", ["```\ncode", "~~~~", "<details><summary>x", "<table><tr><td>", "<!--", "    code", "$$"]
)
def test_what_the_assumptions_leave_open_hides_nothing_behind_them(opened: str) -> None:
    """They stand in a quotation, line by line, which ends whatever is open in it."""
    lines = pull_request_text(story(assumptions=f"first\n{opened}\n\nlast")).body.splitlines()
    start, end = lines.index("## Assumptions"), lines.index("## Files")
    inside = [line for line in lines[start + 1 : end] if line]
    assert all(line.startswith(">") for line in inside)
    assert lines[end - 1] == ""


@pytest.mark.parametrize(
    "path",
    ["a`b", "a|b", "a\nb", "a\r\n## Heading", "a\u202egnp.exe", "a\u200bb", "a\x1b[31mb", "a\u2028b", "`](https://x)"],
)
def test_a_files_name_stays_in_its_line_and_code_span(path: str) -> None:
    """No break, no mark that ends the span, nothing that turns the reading direction."""
    body = pull_request_text(story(files=[path], left_out=[{"path": path, "reason": "why"}], external_ref=path)).body
    listed = next(line for line in body.splitlines() if line.startswith(("- `a", "- `'")))
    assert listed.count("`") == 2
    assert listed.isprintable()
    assert "\n## Heading" not in body
