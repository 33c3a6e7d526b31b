"""The text for reviewers: complete, short enough for GitHub, and without mentions."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from moonmind_appliance.in_container.git_skipped import AS_IT_IS
from moonmind_appliance.models import LeftOutPath, PathWarning
from moonmind_appliance.phases.pull_request_text import PullRequestFacts, RefusedTarget, pull_request_text, quiet

RUN_ID = "0a1b2c3d-0000-4000-8000-000000000000"
# https://docs.github.com: a body of 65,536 characters, a title of 256.
GITHUBS_BODY, GITHUBS_TITLE = 65_536, 256


def facts(**fields: object) -> PullRequestFacts:
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
    return PullRequestFacts(**(plain | fields))  # type: ignore[arg-type]


def test_githubs_messages_about_the_push_are_quoted() -> None:
    """As text: GitHub repeats names of files that the agent chose."""
    body = pull_request_text(facts(github_messages=["warning: File *x* is 55.00 MB", "<b>@ann</b>"])).body
    assert "## GitHub's messages about the push\n\n> warning: File \\*x\\* is 55.00 MB\\\n> \\<b\\>@ ann" in body
    assert "GitHub's messages" not in pull_request_text(facts()).body


def test_the_text_has_questions_assumptions_and_the_run() -> None:
    """Title, the three documents, questions as check boxes, assumptions, files, omitted files, run, reference."""
    left_out = [LeftOutPath("evil", "a link that points outside the repository")]
    text = pull_request_text(facts(left_out=left_out, warnings=[PathWarning("a.bin", "Git LFS is not applied")]))
    assert text.title == "Dark mode"
    for part in (
        "`specs/001-dark-mode/plan.md`",
        "- [ ] Who may switch?",
        "> \\- People have browsers",
        "- `specs/001-dark-mode/spec.md`",
        "- `evil`: a link that points outside the repository",
        "Check these files:\n\n- `a.bin`: Git LFS is not applied",
        f"Run: `{RUN_ID}`",
        "Reference: `JIRA-7`",
    ):
        assert part in text.body


def test_a_specification_without_a_heading_is_titled_by_its_folder() -> None:
    """A pull request needs a title."""
    assert pull_request_text(facts(heading=None)).title == "Specification 001-dark-mode"


@settings(max_examples=30, deadline=None)
@given(
    heading=st.text(max_size=400),
    clarifications=st.lists(st.text(min_size=1, max_size=30), max_size=4),
    assumptions=st.text(max_size=200),
    files=st.lists(st.text(min_size=1, max_size=40), max_size=4),
    times=st.sampled_from([1, 60, 2000]),
)
def test_long_parts_are_cut_and_the_run_is_always_named(
    heading: str, clarifications: list[str], assumptions: str, files: list[str], times: int
) -> None:
    """In characters, as GitHub counts; each part is cut by itself, never the end."""
    text = pull_request_text(
        facts(
            heading=heading * times,
            clarifications=[question * times for question in clarifications] * times,
            assumptions=assumptions * times,
            files=[path * times for path in files] * times,
            left_out=[LeftOutPath(path * times, "a link that points outside the repository") for path in files] * times,
            github_messages=["*" * 400] * 8,
            warnings=[PathWarning(path * times, f"the filter {'f' * 40} {AS_IT_IS}") for path in files] * times,
        )
    )
    assert len(text.body) < GITHUBS_BODY - 4000
    assert 0 < len(text.title) < GITHUBS_TITLE - len("[Draft] ")
    assert text.body.endswith(f"Run: `{RUN_ID}`\nReference: `JIRA-7`\n")
    assert "\n" not in text.title


def test_the_body_fits_with_marks_in_every_place() -> None:
    """Marks are escaped, and each line of a quote has its own."""
    many = [PathWarning("|" * 300, f"the filter {'f' * 40} {AS_IT_IS}")] * 100
    text = pull_request_text(
        facts(
            clarifications=["*" * 1000] * 100,
            assumptions="*\n" * 6000,
            files=["|" * 300] * 200,
            left_out=[LeftOutPath("|" * 300, "a link that points outside the repository")] * 100,
            github_messages=["*" * 75] * 40,
            spec_kit="*" * 600,
            warnings=many,
            refused=[RefusedTarget(f"{number}" + "|" * 300, 9) for number in range(100)],
        )
    )
    assert len(text.body) < GITHUBS_BODY


def test_a_refused_target_is_listed_once_with_its_count() -> None:
    """The first twenty targets and the number of others are listed. Without any, there is no section."""
    refused = [RefusedTarget("a.b:443", 2), RefusedTarget("a.b:443", 3), RefusedTarget("c.d:443", 1)]
    body = pull_request_text(facts(refused=refused)).body
    assert "- `a.b:443` (5 times)\n- `c.d:443`\n" in body
    body = pull_request_text(facts(refused=[RefusedTarget(f"{number}.b:443", 1) for number in range(25)])).body
    assert "… and 5 more." in body
    assert "tried to reach" not in pull_request_text(facts()).body


def test_many_files_are_counted() -> None:
    """A hundred are listed; of the others only the number."""
    body = pull_request_text(facts(files=[f"specs/{n}" for n in range(250)])).body
    assert "- `specs/99`" in body
    assert "- `specs/100`" not in body
    assert "… and 150 more." in body


@pytest.mark.parametrize(
    ("shortened", "title"),
    [
        ({"files": [f"specs/{n}" for n in range(200)], "file_count": 304}, "Files"),
        ({"clarifications": [f"{n}?" for n in range(30)], "clarification_count": 224}, "Open questions"),
        ({"left_out": [LeftOutPath(f"x/{n}", "a link") for n in range(100)], "left_out_count": 244}, "Files"),
    ],
)
def test_the_count_is_that_of_the_complete_list(shortened: dict[str, object], title: str) -> None:
    """Of 304 files 200 are known by name and 100 are listed: 204 are not."""
    body = pull_request_text(facts(**shortened)).body
    assert body.split(f"## {title}\n")[1].split("\n## ")[0].strip().endswith("… and 204 more.")


def test_a_count_that_was_not_recorded_is_that_of_the_list() -> None:
    """Runs of earlier versions have no counts."""
    body = pull_request_text(facts(files=[f"specs/{n}" for n in range(150)], file_count=0)).body
    assert "… and 50 more." in body


# What GitHub would make a mention, a reference, a closing or a skipped check of, in plain text.
TRIGGERS = {
    "mention": re.compile(r"@[\w-]"),
    "reference": re.compile(r"#\w|\bGH-\d", re.IGNORECASE),
    "address": re.compile(r"://|\bwww\.\w", re.IGNORECASE),
    "skipped check": re.compile(
        r"\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]|skip-checks:\s*true", re.IGNORECASE
    ),
}
GITHUB_MARKDOWN = MarkdownIt("gfm-like")

HOSTILE = [
    "@octocat",
    "ask @octocat, please",
    "(@octocat) _@octocat_ **@org/team**",
    "`@octocat",
    "fixes #12",
    "**fixes** <https://example.invalid/acme/shop/issues/12>",
    "Closes: acme/shop#12",
    "resolved GH-12",
    "fix https://example.invalid/acme/shop/issues/12",
    "see acme/shop#12, gh-7 and acme/shop@0123456789abcdef0123456789abcdef01234567",
    "see acme/shop@0123456",
    "&#64;octocat &commat;octocat &#35;12",
    "<!-- @octocat --> #12 <!-- never closed @octocat",
    "<!-<!-<!-- x -->- y -->- HIDDEN -->",
    "![seen](https://example.invalid/seen.png)",
    "<img src=https://example.invalid/seen.png>",
    "[![seen][1]][1]\n\n[1]: https://example.invalid/seen.png",
    "[click](https://example.invalid) <https://example.invalid> https://example.invalid www.example.invalid",
    "mail a@example.invalid <a@example.invalid> mailto:a@example.invalid xmpp:a@example.invalid",
    "\u202eevil\u2066 z\u200bw \U000e0041\U000e0042 \x1b[31m \xad",
    "[skip ci]",
    "[ci skip] [no ci] [skip actions] [actions skip] [SKIP CI]",
    "[skip\u200b ci] [\u200bskip ci]",
    "skip-checks: true",
    "skip-checks:true",
    "~~~\n# heading\n```\ncode\n<details><summary>x</summary>\n<script>alert(1)</script>",
    "| a | b |\n| - | - |\n| c | d |\n\n---\n\n===\n1. one\n* two\n+ three\n- [x] done",
    "    indented\n\ttab\n> quote\n$math$ :smile: [^1]\n\n[^1]: note",
    "\\[a\\](https://example.invalid) \\<b> \\\\",
    "a\\",
]


def rendered(body: str) -> list[Token]:
    """The inline parts of GitHub's rendering of a text."""
    blocks = GITHUB_MARKDOWN.parse(body)
    return [*blocks, *(child for block in blocks for child in block.children or [])]


@pytest.mark.parametrize("text", HOSTILE)
def test_external_text_is_shown_literally(text: str) -> None:
    """In any part: no link, image, HTML, emphasis or heading results, and nothing is invisible."""
    honest = pull_request_text(
        facts(
            assumptions="x",
            clarifications=["x"],
            files=["x"],
            left_out=[LeftOutPath("x", "y")],
            refused=[RefusedTarget("x", 1)],
        )
    )
    said = pull_request_text(
        facts(
            heading=text,
            assumptions=text,
            clarifications=[text],
            files=[text],
            left_out=[LeftOutPath(text, "y")],
            external_ref=text,
            refused=[RefusedTarget(text, 1)],
        )
    )
    assert said.title.isprintable()
    assert all(line.isprintable() for line in said.body.split("\n"))
    harmless = {token.type for token in rendered(honest.body)} | {"hardbreak", "softbreak", "text_special"}
    assert {token.type for token in rendered(said.body)} <= harmless
    shown = [token.content for token in rendered(said.body) if token.type in ("text", "code_inline")]
    for words in (said.title, said.body, "".join(shown), *shown):
        for what, trigger in TRIGGERS.items():
            assert not trigger.search(words), what


@pytest.mark.parametrize("text", HOSTILE)
def test_a_commits_message_is_quiet(text: str) -> None:
    """Its subject has the specification's heading."""
    subject = quiet(text)
    assert subject.isprintable()
    assert not any(trigger.search(subject) for trigger in TRIGGERS.values())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("- **Who**: people, 50 % & more_or_less (C# <3)", "- **Who**: people, 50 % & more_or_less (C# <3)"),
        ("a `code` b \\ c | d", "a `code` b \\ c | d"),
        ("hi @octocat, #12", "hi @ octocat, # 12"),
    ],
)
def test_reviewers_see_the_text_as_it_was_written(text: str, shown: str) -> None:
    """Every character; only mentions and links have an extra blank."""
    body = pull_request_text(facts(assumptions=text)).body
    quote = next(line for line in body.splitlines() if line.startswith(">"))
    inline = GITHUB_MARKDOWN.parse(quote)[2].children or []
    assert "".join(token.content for token in inline) == shown


def test_lines_of_the_assumptions_stay_lines() -> None:
    """Without their indentation."""
    body = pull_request_text(facts(assumptions="one\n  - two\n\nthree\\\n- four")).body
    inline = [
        token for block in GITHUB_MARKDOWN.parse(body.split("## Assumptions")[1]) for token in block.children or []
    ]
    shown = "".join("/" if token.type == "hardbreak" else token.content for token in inline)
    assert shown.startswith("one/- twothree\\/- four")


@pytest.mark.parametrize(
    "text", ["C# and F#", "50 % & more", "# Heading", "closing time: 12", "list[0] and a [1]", "größe 漢字 😀"]
)
def test_harmless_text_is_unchanged(text: str) -> None:
    """Languages, ampersands, headings, ordinary words, any script."""
    assert quiet(text) == text


@pytest.mark.parametrize(
    "opened", ["```\ncode", "~~~~", "<details><summary>x", "<table><tr><td>", "<!--", "    code", "$$"]
)
def test_unclosed_markdown_in_assumptions_hides_nothing(opened: str) -> None:
    """They are quoted line by line, which ends any open construct."""
    lines = pull_request_text(facts(assumptions=f"first\n{opened}\n\nlast")).body.splitlines()
    start, end = lines.index("## Assumptions"), lines.index("## Files")
    inside = [line for line in lines[start + 1 : end] if line]
    assert all(line.startswith(">") for line in inside)
    assert lines[end - 1] == ""


@pytest.mark.parametrize(
    "path",
    ["a`b", "a|b", "a\nb", "a\r\n## Heading", "a\u202egnp.exe", "a\u200bb", "a\x1b[31mb", "a\u2028b", "`](https://x)"],
)
def test_a_files_name_stays_in_its_line_and_code_span(path: str) -> None:
    """No break, no mark that ends the span, no character that changes the direction."""
    body = pull_request_text(facts(files=[path], left_out=[LeftOutPath(path, "why")], external_ref=path)).body
    listed = next(line for line in body.splitlines() if line.startswith(("- `a", "- `'")))
    assert listed.count("`") == 2
    assert listed.isprintable()
    assert "\n## Heading" not in body


def test_the_spec_kit_of_the_run_is_one_line() -> None:
    """Its text comes from the repository, so it links and mentions nothing."""
    body = pull_request_text(facts(spec_kit="Spec Kit: the appliance's. It is made for @acme [x](http://y).")).body
    assert "\nSpec Kit: the appliance's. It is made for @ acme" in body
    assert "[x]" not in body
    assert "http://" not in body


def test_a_feature_folder_of_any_name_is_one_table_row() -> None:
    """Also with characters that have a meaning in Markdown."""
    body = pull_request_text(facts(feature_directory="docs/specs/001-größe `x`|y")).body
    assert "| `docs/specs/001-größe 'x'\\|y/plan.md` | how to build it |" in body
