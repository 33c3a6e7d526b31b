"""Title and body of the pull request. Pure."""

import re
from typing import Any

import msgspec

from moonmind_appliance.phases.diff_summary import cell

# GitHub takes 65,536 characters of body and 256 of title.
_LONGEST_BODY = 60_000
_LONGEST_TITLE = 250
_LONGEST_SECTION = 8_000


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
        body += [f"- [ ] {quiet(question)}" for question in story.clarifications]
        body += [""]
    if story.assumptions:
        body += ["## Assumptions", "", quiet(story.assumptions[:_LONGEST_SECTION]), ""]
    body += ["## Files", "", *[f"- `{cell(path)}`" for path in story.files[:100]], ""]
    if len(story.files) > 100:  # noqa: PLR2004 - as many as are listed above
        body += [f"… and {len(story.files) - 100} more.", ""]
    if story.left_out:
        body += ["Left out of the commit:", ""]
        body += [f"- `{cell(entry['path'])}`: {entry['reason']}" for entry in story.left_out[:50]] + [""]
    body += ["## How it was made", "", f"Agent: {story.agent}. Phases: specify, plan, tasks.", f"Run: `{story.run_id}`"]
    if story.external_ref:
        body += [f"Reference: `{cell(story.external_ref)}`"]
    text = "\n".join(body)
    if len(text) > _LONGEST_BODY:
        text = text[:_LONGEST_BODY] + "\n\n… (shortened)"
    title = " ".join((story.heading or f"Specification {feature.removeprefix('specs/')}").split())
    return PullRequestText(title[:_LONGEST_TITLE], text + "\n")


def quiet(text: str) -> str:
    """Text of the agent's that calls nobody: `@name` and `#12` would notify people and link issues."""
    text = re.sub(r"<!--.*?(?:-->|$)", "", text, flags=re.DOTALL)
    return re.sub(r"(?<![\w`])([@#])(?=\w)", "\\1\u200b", text)
