"""Title and body of the pull request. Pure.

Nothing that an agent, a repository or a caller wrote is Markdown here: each character that means something to
Markdown or HTML is escaped, so that no link, image, comment, tag or code comes of it. What GitHub looks for in plain
text, in a commit's message too, is separated by a visible blank: `quiet`.
"""

import re
from typing import Any

import msgspec

from moonmind_appliance.phases.diff_summary import cell
from moonmind_appliance.printable import replace

# GitHub takes 65,536 characters of body and 256 of title. Each part has its share, so that none crowds out another.
_LONGEST_TITLE = 240
# Escaping may double a text.
_LONGEST_SECTION, _LONGEST_LINE = 6_000, 2_000
_LONGEST_QUESTION, _MOST_QUESTIONS = 300, 20
_LONGEST_NAME, _MOST_FILES, _MOST_LEFT_OUT = 150, 100, 40

# Where a blank keeps GitHub from seeing a mention or a commit of a fork (@), an issue (#1, GH-1), an address, a
# command that skips CI, or a trailer that skips checks. https://docs.github.com/en/get-started/writing-on-github and
# https://docs.github.com/en/actions/how-tos/manage-workflow-runs/skip-workflow-runs
_SEPARATED = (
    (re.compile(r"@(?=\S)"), "@ "),
    (re.compile(r"#(?=\w)"), "# "),
    (re.compile(r"\bGH-(?=\d)", re.IGNORECASE), r"\g<0> "),
    (re.compile(r":(?=//)"), ": "),
    (re.compile(r"\b(?:mailto|xmpp):(?=\S)", re.IGNORECASE), r"\g<0> "),
    (re.compile(r"\bwww\.(?=\S)", re.IGNORECASE), r"\g<0> "),
    (re.compile(r"\[(?=[A-Za-z])"), "[ "),
    (re.compile(r"\bskip-(?=checks)", re.IGNORECASE), r"\g<0> "),
)
# What means something to Markdown, HTML or a renderer that makes links of host names: anywhere, and at a line's start.
# A backslash before it takes the meaning. https://spec.commonmark.org/0.31.2/#backslash-escapes
_MARKDOWN = re.compile(r"[\\`*_\[\]<>&|~$]|/(?=/)|(?<=\w)\.(?=[A-Za-z])|^[-+=#:]")
_LIST_NUMBER = re.compile(r"^(\d{1,9})(?=[.)])")


class PullRequestText(msgspec.Struct, frozen=True):
    """What is sent to GitHub."""

    title: str
    body: str


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What reviewers are told. `files` are rows of the change; `assumptions` is Markdown of the specification."""

    run_id: str
    heading: str | None
    feature_directory: str
    external_ref: str | None
    clarifications: list[str]
    assumptions: str
    files: list[str]
    agent: str
    left_out: list[dict[str, Any]]
    left_out_count: int = 0


def pull_request_text(story: Story) -> PullRequestText:
    """The words for reviewers: what, what is open, what was assumed, how it was made, which run."""
    feature = story.feature_directory
    body = [
        (
            f"Specification, plan and tasks in `{feature}/`, made by GitHub Spec Kit without a person in between. "
            "Please review them before anything is built."
        ),
        "",
        "| read | what it says |",
        "| --- | --- |",
        f"| `{feature}/spec.md` | what is wanted and why |",
        f"| `{feature}/plan.md` | how it would be built |",
        f"| `{feature}/tasks.md` | the steps, in order |",
        "",
    ]
    if story.clarifications:
        body += ["## Open questions", "", "The specification cannot decide these; please answer in the review.", ""]
        body += [f"- [ ] {_prose(question, _LONGEST_QUESTION)}" for question in story.clarifications[:_MOST_QUESTIONS]]
        body += _more(len(story.clarifications), _MOST_QUESTIONS)
    if story.assumptions:
        body += ["## Assumptions", "", *_quoted(story.assumptions), ""]
    body += ["## Files", "", *[f"- {_code(path)}" for path in story.files[:_MOST_FILES]]]
    body += _more(len(story.files), _MOST_FILES)
    if story.left_out:
        body += ["Left out of the commit:", ""]
        body += [f"- {_code(entry['path'])}: {entry['reason']}" for entry in story.left_out[:_MOST_LEFT_OUT]]
        body += _more(max(len(story.left_out), story.left_out_count), _MOST_LEFT_OUT)
    body += ["## How it was made", "", f"Agent: {story.agent}. Phases: specify, plan, tasks.", f"Run: `{story.run_id}`"]
    if story.external_ref:
        body += [f"Reference: {_code(story.external_ref)}"]
    title = quiet(story.heading or "") or f"Specification {feature.removeprefix('specs/')}"
    return PullRequestText(_cut(title, _LONGEST_TITLE), "\n".join(body) + "\n")


def quiet(text: str) -> str:
    """Foreign text as one visible line of plain text that notifies, links, closes and skips nothing.

    For a title and a commit's message, which are no Markdown. What keeps GitHub away is a blank that readers see: a
    zero-width character would hide in what they copy.
    """
    return _separated(" ".join(replace(text, " ").split()))


def _separated(text: str) -> str:
    for pattern, separated in _SEPARATED:
        text = pattern.sub(separated, text)
    return text


def _prose(text: str, longest: int) -> str:
    """Foreign text as one line of Markdown that shows it as it is."""
    return _LIST_NUMBER.sub(r"\g<0>\\", _MARKDOWN.sub(r"\\\g<0>", _cut(quiet(text), longest)))


def _quoted(text: str) -> list[str]:
    """Foreign text as a block quote, line by line."""
    lines, left = [], _LONGEST_SECTION
    for line in text.splitlines():
        if left <= 0:
            lines += ["", "…"]
            break
        lines.append(_prose(line, min(left, _LONGEST_LINE)))
        left -= len(quiet(line)) + 1
    # A backslash at the end of a line breaks it.
    broken = [bool(line and following) for line, following in zip(lines, [*lines[1:], ""], strict=True)]
    return [f"> {line}\\" if breaks else f"> {line}".rstrip() for line, breaks in zip(lines, broken, strict=True)]


def _code(text: str) -> str:
    """A foreign name as a code span, also in a table."""
    return f"`{_cut(cell(_separated(replace(text))), _LONGEST_NAME)}`"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _more(count: int, listed: int) -> list[str]:
    return ["", f"… and {count - listed} more.", ""] if count > listed else [""]
