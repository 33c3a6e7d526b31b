"""Whether a phase's file exists and is filled in. Pure. An agent's exit code 0 does not prove success."""

import re

from moonmind_appliance.models import Failure, FailureCode, PhaseName, failure
from moonmind_appliance.phases.markdown import Markdown, UnreadableMarkdown, inlines, read_markdown, shown
from moonmind_appliance.phases.template import is_unfilled
from moonmind_appliance.printable import is_blank

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

# Characters at the beginning of a task that are searched for its id.
_LONGEST_TASK_ID = 100
# Spec Kit's form is `T001`; agents also write `[T001]`, and set it in bold or as code.
# Its labels `[P]` and `[US1]` may come first.
_TASK_ID = re.compile(r"(?:\[[A-Z0-9]{1,8}\] ?){0,3}[\[(]{0,2}T\d{2,}\b")

LONGEST_FILE = 512 * 1024
"""Most characters of a phase's file. Spec Kit's documents have about ten thousand; longer files are not examined."""


def accept(phase: PhaseName, name: str, text: str | None, template: str | None) -> Failure | None:
    """None if the phase's file is accepted, else why not. `template` is None if the repository has none."""
    if text is None or is_blank(text):
        defect = "is missing, or larger than 4 MiB" if text is None else "is empty"
        return failure(FailureCode.PHASE_OUTPUT_MISSING, f"{phase.value} completed, but {name} {defect}.")
    if len(text) > LONGEST_FILE:
        return failure(
            FailureCode.PHASE_OUTPUT_TOO_LARGE, f"{name} has {len(text)} characters; the limit is {LONGEST_FILE}."
        )
    try:
        markdown = read_markdown(text)
    except UnreadableMarkdown as error:
        return failure(FailureCode.PHASE_OUTPUT_TOO_LARGE, f"{name} {error}.")
    if template is not None and len(template) <= LONGEST_FILE and is_unfilled(text, template):
        return failure(FailureCode.TEMPLATE_LEFT, f"{name} is still the unfilled template.")
    if phase is PhaseName.SPECKIT_TASKS and not has_task_id(markdown):
        return failure(FailureCode.TASKS_WITHOUT_IDS, f"{name} contains no task such as `- [ ] T001 …`.")
    return None


def has_task_id(markdown: Markdown) -> bool:
    """Whether a list item begins with a check box and a task id, in any syntax that GitHub shows as a task."""
    tasks = (inline.source for inline in inlines(markdown) if inline.ticked is not None)
    return any(_TASK_ID.match(shown(source[:_LONGEST_TASK_ID])) for source in tasks if "T" in source[:_LONGEST_TASK_ID])
