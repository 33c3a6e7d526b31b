"""Whether a file is still its template: for Spec Kit's templates and for those with brackets that are meant to stay."""

import re

import pytest

from moonmind_appliance.phases.template import is_unfilled

# Four bracketed lines of seven stay in every specification of this repository.
OWN = """\
# [FEATURE]

> [INTERNAL] Not for customers.

## Goal

[What the feature is for]

## Behaviour

<!-- One line for each rule. -->

[What it does]

## Sign-off

- [Product] reads it first
- [Security] reads it last
- [Legal] reads it if data leaves the country
"""
OWN_FILLED = (
    OWN.replace("[FEATURE]", "Dark mode")
    .replace("[What the feature is for]", "People read at night.")
    .replace("[What it does]", "A switch in the menu changes the colours.")
)
# In the form of Spec Kit's templates: mandatory sections, stories, a table, sample tasks, a tree of files.
STORIES = "".join(
    f"### User Story {n} - [Title] (Priority: P{n})\n\n[Describe the journey]\n\n**Why this priority**: [Explain {n}]\n"
    f"\n**Independent Test**: [How to test {n}]\n\n1. **Given** [state {n}], **When** [action], **Then** [outcome]\n\n"
    for n in (1, 2, 3)
)
SPEC = f"""\
# Feature Specification: [FEATURE NAME]

**Branch**: `[###-feature-name]`

**Created**: [DATE]

## User Scenarios *(mandatory)*

{STORIES}
### Edge Cases

- What happens when [condition]?
- How does the system handle [error]?

## Requirements *(mandatory)*

### Functional Requirements

- **FR-001**: System MUST [capability]
- **FR-002**: Users MUST [interaction]

### Key Entities *(if data is involved)*

- **[Entity]**: [What it represents]

## Success Criteria *(mandatory)*

### Measurable Outcomes

- **SC-001**: [Metric one]
- **SC-002**: [Metric two]

## Assumptions

- [Assumption about users]
"""
PLAN = """\
# Implementation Plan: [FEATURE]

**Branch**: `[###-feature]` | **Date**: [DATE] | **Spec**: [link]

## Summary

[Extract from the specification: requirement and approach]

## Technical Context

**Language**: [e.g., Python or NEEDS CLARIFICATION]
**Storage**: [e.g., PostgreSQL or N/A]
**Testing**: [e.g., pytest or NEEDS CLARIFICATION]
**Platform**: [e.g., Linux server or NEEDS CLARIFICATION]

## Constitution Check

[Gates of the constitution]

## Project Structure

```text
# [REMOVE IF UNUSED] Option 1
src/
└── [same as above]
```

**Structure Decision**: [Document the selected structure]
"""
TASKS = """\
---
description: "Task list"
---

# Tasks: [FEATURE NAME]

## Format: `[ID] [P?] [Story] Description`

- **[P]**: can run in parallel
- **[Story]**: the story of the task

## Phase 1: Setup

- [ ] T001 Create the structure of the plan
- [ ] T002 Initialize [language] with [framework]

## Phase 2: User Story 1 - [Title]

**Goal**: [What this story delivers]

- [ ] T003 [P] [US1] Test [endpoint] in tests/[name].py
- [ ] T004 [US1] Implement [endpoint] in src/[name].py
"""
TO_DO = "".join(
    f"## {part}\n\nTODO: describe the {part} and how people find it in the product, in a few sentences\n\n"
    for part in ("goal", "scope", "risks")
)
SPEC_KIT = {"spec": SPEC, "plan": PLAN, "tasks": TASKS}


def filled(template: str, share: float = 1.0) -> str:
    """The template with the placeholders of the first lines filled in."""
    lines = template.splitlines()
    until = round(len(lines) * share)
    words = [re.sub(r"\[[^\[\]\n]{3,}\]", "the basket is kept for a week", line) for line in lines[:until]]
    return "\n".join([*words, *lines[until:]])


def test_bracketed_lines_that_are_meant_to_stay_are_accepted() -> None:
    """Four of seven are left, and every section with something to fill in is filled in."""
    assert not is_unfilled(OWN_FILLED, OWN)


@pytest.mark.parametrize(
    "stays",
    [
        "\n## Sign-off\n\n" + "".join(f"- [Reader {n}] agrees\n" for n in range(9)),
        "\n## Law *(mandatory)*\n\n[GDPR]\n## Scope (mandatory)\n\n[Scope]\n\n## Risks (mandatory)\n\n[Risks]\n",
        "\n[DRAFT] until signed\n\n[CONFIDENTIAL]\n",
        "\n> [!NOTE]\n> Read the [guide][1], the [[wiki]] and the note.[^1]\n\n[1]: /guide\n[^1]: A note.\n",
        "\n- [x] Reviewed\n- [ ] Released\n",
        "\n```toml\n[package]\nlist = [one, two]\n```\n\nUse `[dependencies]`.\n",
        "\n| [Who] | [When] |\n| --- | --- |\n| [Product] | [Start] |\n",
    ],
    ids=["nine readers", "mandatory", "labels", "links and notes", "check boxes", "code", "table"],
)
def test_any_own_template_with_brackets_that_stay_is_accepted(stays: str) -> None:
    """A list of readers, a mandatory section, labels, links, check boxes, code, a table."""
    template = f"# [FEATURE]\n\n## Goal\n\n[Goal]\n\n## Behaviour\n\n[Behaviour]\n{stays}"
    text = template.replace("[FEATURE]", "Dark mode").replace("[Goal]", "People read at night.")
    text = text.replace("[Behaviour]", "A switch.").replace("[Scope]", "The web.").replace("[Risks]", "None known.")
    assert not is_unfilled(text, template)


@pytest.mark.parametrize("begin", ["", "\ufeff"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("template", [OWN, *SPEC_KIT.values()])
def test_a_template_is_unfilled(template: str, line_end: str, begin: str) -> None:
    """With any line ends and a byte order mark; also a part of it."""
    text = begin + template.replace("\n", line_end)
    assert is_unfilled(text, template)
    assert is_unfilled(template, text)
    assert is_unfilled(template[: len(template) // 2], text)


@pytest.mark.parametrize("template", [OWN, *SPEC_KIT.values()])
def test_a_template_that_is_nearly_unfilled_is_unfilled(template: str) -> None:
    """Other title and date, another mark of lists, quoted, in a fence, in a comment, with words at its end or start."""
    titled = template.replace("[FEATURE]", "Dark").replace("[FEATURE NAME]", "Dark").replace("[DATE]", "2026-03-01")
    for text in (
        titled,
        titled.replace("- ", "* "),
        "\n".join(f"> {line}" for line in titled.splitlines()),
        f"# Dark\n\n```\n{template}```\n",
        f"# Dark\n\n<!--\n{template}-->\n",
        f"{titled}\n## More\n\nSome words of my own that fill in nothing.\n",
        "\n".join(["# Dark", "", "Some words.", *template.splitlines()[len(template.splitlines()) // 2 :]]),
    ):
        assert is_unfilled(text, template), text


@pytest.mark.parametrize(("template", "begun", "done"), [(SPEC, 0.5, 0.8), (PLAN, 0.2, 0.6), (TASKS, 0.4, 0.9)])
def test_a_template_that_is_filled_in_from_its_start(template: str, begun: float, done: float) -> None:
    """Unfilled until most of its sections have text; the mandatory ones are counted separately."""
    assert is_unfilled(filled(template, begun), template)
    assert not is_unfilled(filled(template, done), template)
    assert not is_unfilled(filled(template), template)


def test_mandatory_sections_must_be_filled_in() -> None:
    """Stories, edge cases and assumptions are most of the sections, but the requirements and measures are missing."""
    begin, end = SPEC.index("## Requirements"), SPEC.index("## Assumptions")
    text = filled(SPEC[:begin]) + SPEC[begin:end] + filled(SPEC[end:])
    assert not is_unfilled(filled(SPEC[:end]) + SPEC[end:], SPEC)
    extended = SPEC.replace(
        "- **SC-001**", "".join(f"- **SC-1{n}**: [Metric {n}]\n" for n in range(30)) + "- **SC-001**"
    )
    assert is_unfilled(text.replace(SPEC[begin:end], extended[begin : extended.index("## Assumptions")]), extended)


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("Own words in an own order, without a heading.", SPEC),
        ("# Spezifikation\n\n## Ziel\n\nNachts lesen.\n\n- [Assumption about users]\n", SPEC),
        ("# Plan\n\nText.\n", ""),
        ("# Plan\n\nText.\n", "# No placeholder\n"),
        ("# Plan\n\n## Goal\n\nText.\n", "# Plan\n\n## Goal\n\n<!-- the goal -->\n"),
        ("# Plan\n\n## Goal\n\nText.\n", "- a\n" * 20_000),
        ("A: people, B: night, C: [later]", "A: [who]\nB: [when]\nC: [later]"),
    ],
)
def test_other_forms_are_accepted(text: str, template: str) -> None:
    """Own headings, another language, a template without placeholders, one that is too large to be read."""
    assert not is_unfilled(text, template)


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("# Plan\n\n## Goal\n", "# Plan\n\n## Goal\n\n<!-- the goal -->\n"),
        ("# Dark mode\n\n" + TO_DO, "# {{title}}\n\n" + TO_DO),
        ("[Aaa]\n[Bbb]\n[Ccc]\nWord", "[Aaa]\n[Bbb]\n[Ccc]\n[Ddd]"),
    ],
)  # fmt: skip
def test_a_file_that_fills_in_nearly_nothing_is_unfilled(text: str, template: str) -> None:
    """Whatever characters mark the template's placeholders."""
    assert is_unfilled(text, template)
