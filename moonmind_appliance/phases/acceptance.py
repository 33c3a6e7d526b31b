"""Whether a phase's file is there and filled. Pure: text in, verdict out. Exit 0 of an agent is not success."""

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
# What else a phase writes into the feature directory; taken away before the phase is tried again.
SIDE_FILES: dict[PhaseName, tuple[str, ...]] = {
    PhaseName.SPECKIT_SPECIFY: (),
    PhaseName.SPECKIT_PLAN: ("plan.md", "research.md", "data-model.md", "quickstart.md", "contracts"),
    PhaseName.SPECKIT_TASKS: ("tasks.md",),
}

_FEATURE_DIRECTORY = re.compile(r"specs/[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]{3,}\]")
_TASK_ID = re.compile(r"^\s*[-*] \[[ xX]\] \**T\d{2,}\b", re.MULTILINE)
_CLARIFICATION = re.compile(r"\[NEEDS CLARIFICATION:?\s*([^\]]*)\]", re.IGNORECASE)
_HEADING = re.compile(r"^#\s+(?:Feature Specification:\s*)?(.+?)\s*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SECTION = re.compile(r"^##+\s+(.+?)\s*$", re.MULTILINE)
# Of the template's lines that hold a placeholder, so many may stand on in a filled file (an example kept on purpose).
_MOST_LEFT = 0.3
_LONGEST_TITLE = 120


def feature_directory(recorded: object) -> str | None:
    """The feature directory that Spec Kit recorded, if it is one below `specs/`; the agent wrote it: trust nothing."""
    text = recorded.removesuffix("/") if isinstance(recorded, str) else ""
    return text if _FEATURE_DIRECTORY.fullmatch(text) else None


def accept(phase: PhaseName, name: str, text: str | None, template: str | None) -> Failure | None:
    """None when the phase's file is accepted, else why not. `template` is None where the repository has none."""
    if text is None or not text.strip():
        gone = "is missing" if text is None else "is empty"
        return failure(FailureCode.PHASE_OUTPUT_MISSING, f"{phase.value} ended, but {name} {gone}.")
    if template is not None and is_unfilled(text, template):
        return failure(FailureCode.TEMPLATE_LEFT, f"{name} is still the unfilled template.")
    if phase is PhaseName.SPECKIT_TASKS and not _TASK_ID.search(text):
        return failure(FailureCode.TASKS_WITHOUT_IDS, f"{name} holds no task such as `- [ ] T001 …`.")
    return None


def is_unfilled(text: str, template: str) -> bool:
    """Whether most of the template's placeholders still stand."""
    lines = {line.strip() for line in text.splitlines()}
    if lines == {line.strip() for line in template.splitlines()}:
        return True
    placeholders = {
        line.strip()
        for line in _COMMENT.sub("", template).splitlines()
        if _PLACEHOLDER.search(line) and "](" not in line
    }
    if not placeholders:
        return False
    return len(placeholders & lines) / len(placeholders) > _MOST_LEFT


def clarifications(text: str) -> list[str]:
    """The questions of `[NEEDS CLARIFICATION: …]`, each once, in order."""
    found = (" ".join(match.split()) or "unspecified" for match in _CLARIFICATION.findall(text))
    return list(dict.fromkeys(found))


def title(text: str) -> str | None:
    """The specification's heading, without Spec Kit's own prefix; None where there is none."""
    match = _HEADING.search(_COMMENT.sub("", text.removeprefix("\ufeff")))
    if not match:
        return None
    words = " ".join(match[1].replace("`", "").split())
    return words if len(words) <= _LONGEST_TITLE else words[: _LONGEST_TITLE - 1].rstrip() + "…"


def section(text: str, name: str) -> str:
    """The text below the heading that begins with `name`, up to the next heading; "" where there is none."""
    headings = list(_SECTION.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    for heading, end in zip(headings, ends, strict=False):
        if heading[1].lower().startswith(name.lower()):
            return _COMMENT.sub("", text[heading.end() : end]).strip()
    return ""
