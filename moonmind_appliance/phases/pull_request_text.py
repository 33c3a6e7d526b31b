"""Title and body of the pull request. Pure."""

import re
from typing import Any

import msgspec

from moonmind_appliance.phases.diff_summary import cell

# GitHub takes 65,536 characters of body and 256 of title. Each part has its share, so that none crowds out another.
_LONGEST_TITLE = 240
_LONGEST_SECTION = 8_000
_LONGEST_QUESTION, _MOST_QUESTIONS = 400, 30
_LONGEST_PATH, _MOST_FILES, _MOST_LEFT_OUT = 200, 100, 50

_COMMENT = re.compile(r"<!--.*?(?:-->|$)", re.DOTALL)
_ENTITY = re.compile(r"&(?=#|commat;|num;)")
_MENTION = re.compile(r"(?<![^\W_])@(?=\w)")
_REFERENCE = re.compile(r"(#|\bGH-)(?=\d)", re.IGNORECASE)
_CLOSING = re.compile(r"\b(clos|fix|resolv)(?=(?:e|es|ed)?:?\s+\S*(?:#|GH-|://))", re.IGNORECASE)


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
        body += [
            f"- [ ] {_cut(quiet(question), _LONGEST_QUESTION)}" for question in story.clarifications[:_MOST_QUESTIONS]
        ]
        body += _more(story.clarifications, _MOST_QUESTIONS)
    if story.assumptions:
        body += ["## Assumptions", "", *_quoted(story.assumptions), ""]
    body += ["## Files", "", *[f"- {_path(path)}" for path in story.files[:_MOST_FILES]]]
    body += _more(story.files, _MOST_FILES)
    if story.left_out:
        body += ["Left out of the commit:", ""]
        body += [f"- {_path(entry['path'])}: {entry['reason']}" for entry in story.left_out[:_MOST_LEFT_OUT]]
        body += _more(story.left_out, _MOST_LEFT_OUT)
    body += ["## How it was made", "", f"Agent: {story.agent}. Phases: specify, plan, tasks.", f"Run: `{story.run_id}`"]
    if story.external_ref:
        body += [f"Reference: `{cell(story.external_ref)}`"]
    title = quiet(" ".join((story.heading or f"Specification {feature.removeprefix('specs/')}").split()))
    return PullRequestText(_cut(title, _LONGEST_TITLE), "\n".join(body) + "\n")


def quiet(text: str) -> str:
    """Text of the agent's that calls nobody, links no issue and closes none, also as a commit's message.

    GitHub looks for `@name`, `#12` and `fixes #12` in what Markdown and entities have become: code spans and `&#64;`
    do not keep it away. A zero-width space does.
    """
    text = _COMMENT.sub("", text)
    text = _ENTITY.sub("&amp;", text)
    text = _CLOSING.sub("\\1\u200b", text)
    text = _MENTION.sub("@\u200b", text)
    return _REFERENCE.sub("\\1\u200b", text)


def _quoted(markdown: str) -> list[str]:
    """Lines of a block quote: a fence or tag that is left open in it ends with it."""
    return _cut("\n".join(f"> {line}" for line in quiet(markdown).splitlines()), _LONGEST_SECTION).split("\n")


def _path(path: str) -> str:
    return f"`{_cut(cell(path), _LONGEST_PATH)}`"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _more(entries: list[Any], listed: int) -> list[str]:
    return ["", f"… and {len(entries) - listed} more.", ""] if len(entries) > listed else [""]
