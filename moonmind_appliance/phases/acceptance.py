"""Whether a phase's file exists and is filled in. Pure. An agent's exit code 0 does not prove success."""

import re

from moonmind_appliance.models import Failure, FailureCode, PhaseName, failure

OUTPUT_FILES: dict[PhaseName, str] = {
    PhaseName.SPECKIT_SPECIFY: "spec.md",
    PhaseName.SPECKIT_PLAN: "plan.md",
    PhaseName.SPECKIT_TASKS: "tasks.md",
}
TEMPLATES: dict[PhaseName, str] = {
    PhaseName.SPECKIT_SPECIFY: "spec-template.md",
    PhaseName.SPECKIT_PLAN: "plan-template.md",
    PhaseName.SPECKIT_TASKS: "tasks-template.md",
}
# Other files that a phase writes into the feature directory; removed before the phase is tried again.
SIDE_FILES: dict[PhaseName, tuple[str, ...]] = {
    PhaseName.SPECKIT_SPECIFY: (),
    PhaseName.SPECKIT_PLAN: ("plan.md", "research.md", "data-model.md", "quickstart.md", "contracts"),
    PhaseName.SPECKIT_TASKS: ("tasks.md",),
}

_FEATURE_DIRECTORY = re.compile(r"specs/[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]{3,}\]")
_TASK_ID = re.compile(r"[-*] \[[ xX]\] \**T\d{2,}\b")
_MARKER = re.compile(r"\[NEEDS CLARIFICATION", re.IGNORECASE)
_TITLE_PREFIX = "Feature Specification:"
_COMMENT_BEGINS, _COMMENT_ENDS = "<!--", "-->"
# Largest share of the template's placeholder lines that a filled file may still contain (an example kept on purpose).
_MOST_LEFT = 0.3
_LONGEST_TITLE = 120
_LONGEST_QUESTION, _MOST_QUESTIONS = 1_000, 100

LONGEST_FILE = 512 * 1024
"""Most characters of a phase's file. Spec Kit's documents have about ten thousand; longer files are not examined."""


def feature_directory(recorded: object) -> str | None:
    """The feature directory that Spec Kit recorded, if it is below `specs/`. The agent wrote it, so it is untrusted."""
    text = recorded.removesuffix("/") if isinstance(recorded, str) else ""
    return text if _FEATURE_DIRECTORY.fullmatch(text) else None


def accept(phase: PhaseName, name: str, text: str | None, template: str | None) -> Failure | None:
    """None if the phase's file is accepted, else why not. `template` is None if the repository has none."""
    if text is None or not text.strip():
        defect = "is missing, or larger than 4 MiB" if text is None else "is empty"
        return failure(FailureCode.PHASE_OUTPUT_MISSING, f"{phase.value} completed, but {name} {defect}.")
    if len(text) > LONGEST_FILE:
        return failure(
            FailureCode.PHASE_OUTPUT_TOO_LARGE, f"{name} has {len(text)} characters; the limit is {LONGEST_FILE}."
        )
    if template is not None and is_unfilled(text, template):
        return failure(FailureCode.TEMPLATE_LEFT, f"{name} is still the unfilled template.")
    if phase is PhaseName.SPECKIT_TASKS and not any(_TASK_ID.match(line.lstrip()) for line in text.split("\n")):
        return failure(FailureCode.TASKS_WITHOUT_IDS, f"{name} contains no task such as `- [ ] T001 …`.")
    return None


def is_unfilled(text: str, template: str) -> bool:
    """Whether most of the template's placeholders are still there. A template that is too long is ignored."""
    if len(template) > LONGEST_FILE:
        return False
    lines = {line.strip() for line in text.splitlines()}
    if lines == {line.strip() for line in template.splitlines()}:
        return True
    placeholders = {
        line.strip()
        for line in without_comments(template).splitlines()
        if _PLACEHOLDER.search(line) and "](" not in line
    }
    if not placeholders:
        return False
    return len(placeholders & lines) / len(placeholders) > _MOST_LEFT


def clarifications(text: str) -> list[str]:
    """The distinct questions of `[NEEDS CLARIFICATION: …]`, in order: at most 100, of at most 1,000 characters."""
    found: dict[str, None] = {}
    at = 0
    while len(found) < _MOST_QUESTIONS and (marker := _MARKER.search(text, at)):
        end = text.find("]", marker.end())
        if end < 0:
            break
        question = " ".join(text[marker.end() : end].removeprefix(":").split())
        found[_short(question, _LONGEST_QUESTION) or "unspecified"] = None
        at = end + 1
    return list(found)


def title(text: str) -> str | None:
    """The specification's heading, without Spec Kit's own prefix; None if it has none."""
    for line in without_comments(text.removeprefix("\ufeff")).split("\n"):
        level, heading = _heading(line)
        if level == 1:
            if heading.lower().startswith(_TITLE_PREFIX.lower()):
                heading = heading[len(_TITLE_PREFIX) :].lstrip() or heading
            return _short(" ".join(heading.replace("`", "").split()), _LONGEST_TITLE)
    return None


def section(text: str, name: str) -> str:
    """The text below the heading that begins with `name`, up to the next heading; "" if there is none."""
    inside: list[str] | None = None
    for line in text.split("\n"):
        level, heading = _heading(line)
        if level > 1:
            if inside is not None:
                break
            if heading.lower().startswith(name.lower()):
                inside = []
        elif inside is not None:
            inside.append(line)
    return without_comments("\n".join(inside or [])).strip()


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


def _heading(line: str) -> tuple[int, str]:
    """The heading's number of `#` signs and its text; 0 if the line is not a heading."""
    text = line.lstrip("#")
    level = len(line) - len(text)
    heading = text.strip()
    return (level, heading) if level and heading and text[0].isspace() else (0, "")


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
