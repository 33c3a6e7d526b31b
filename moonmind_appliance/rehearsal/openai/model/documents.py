"""The documents that the stand-in model writes, after Spec Kit 1.2.3's templates, without placeholders.

The same brief gives the same bytes.
"""

from moonmind_appliance.rehearsal.openai.model.brief import Brief

_HEADING_SIZE = 60
_QUESTIONS = (
    "Who may use this: everyone, or only signed-in users?",
    "How long must records be kept?",
)


def specification(brief: Brief, feature: str, created: str, *, questions: bool = False) -> str:
    """`spec.md` of the feature folder `feature`, with two open questions if `questions`."""
    requirements = [f"The product MUST satisfy: {requirement}" for requirement in brief.requirements]
    requirements.append("Each error message MUST explain what went wrong and what to do next.")
    if questions:
        requirements += [f"Access and retention are open. [NEEDS CLARIFICATION: {_QUESTIONS[0]}]"]
        requirements += [f"Records are kept for a limited time. [NEEDS CLARIFICATION: {_QUESTIONS[1]}]"]
    assumptions = [
        "Users reach the feature in the same way as existing features.",
        "Existing behaviour does not change unless a requirement above changes it.",
    ]
    if questions:
        assumptions += [
            "Until it is decided, everyone who can reach the product may use the feature.",
            "Until it is decided, records are kept for 30 days.",
        ]
    stories = [(requirement, f"P{min(number, 3)}") for number, requirement in enumerate(brief.requirements[:3], 1)]
    return "\n".join(
        [
            f"# Feature Specification: {brief.title}",
            "",
            f"**Feature Branch**: `{feature}`",
            "",
            f"**Created**: {created}",
            "",
            "**Status**: Draft",
            "",
            f"**Input**: User description: {brief.goal}",
            "",
            "## User Scenarios & Testing *(mandatory)*",
            "",
            *(line for number, story in enumerate(stories, 1) for line in _story(number, *story, brief)),
            "### Edge Cases",
            "",
            "- The requested item does not exist: an error is reported, and nothing changes.",
            "- Two identical requests arrive at once: the outcome is the same as for one.",
            "",
            "## Requirements *(mandatory)*",
            "",
            "### Functional Requirements",
            "",
            *(f"- **FR-{number:03}**: {text}" for number, text in enumerate(requirements, 1)),
            "",
            "### Key Entities",
            "",
            f"- **Request**: a user's request to “{brief.title}”, with its time and its outcome.",
            "- **Outcome**: `done` or `refused`, with the reason.",
            "",
            "## Success Criteria *(mandatory)*",
            "",
            "### Measurable Outcomes",
            "",
            "- **SC-001**: 95% of users succeed at the first attempt without help.",
            "- **SC-002**: The outcome is shown within 2 seconds in 99% of cases.",
            f"- **SC-003**: All {len(brief.requirements)} requirements of the description pass an acceptance test.",
            "",
            "## Assumptions",
            "",
            *(f"- {text}" for text in assumptions),
            "",
        ]
    )


def _story(number: int, requirement: str, priority: str, brief: Brief) -> list[str]:
    return [
        f"### User Story {number} - {_short(requirement)} (Priority: {priority})",
        "",
        f"A user of “{brief.title}” needs this: {requirement}",
        "",
        f"**Why this priority**: requirement {number} of the description; useful by itself.",
        "",
        f"**Independent Test**: enable only this part, and verify: {requirement}",
        "",
        "**Acceptance Scenarios**:",
        "",
        f"1. **Given** the product is running, **When** a user requests it, **Then** {requirement}",
        "2. **Given** the request cannot be executed, **When** a user requests it, **Then** an error explains why.",
        "",
        "---",
        "",
    ]


def checklist(brief: Brief, created: str, *, questions: bool = False) -> str:
    """`checklists/requirements.md`."""
    open_mark = " " if questions else "x"
    return "\n".join(
        [
            f"# Specification Quality Checklist: {brief.title}",
            "",
            "**Purpose**: Validate specification completeness and quality before proceeding to planning",
            f"**Created**: {created}",
            "**Feature**: spec.md",
            "",
            "## Content Quality",
            "",
            "- [x] No implementation details",
            "- [x] All mandatory sections completed",
            "",
            "## Requirement Completeness",
            "",
            f"- [{open_mark}] No open questions remain",
            "- [x] Requirements are testable and unambiguous",
            "- [x] Success criteria are measurable",
            "",
        ]
    )


def plan(brief: Brief, feature: str, created: str) -> str:
    """`plan.md`."""
    module = _module(brief)
    return "\n".join(
        [
            f"# Implementation Plan: {brief.title}",
            "",
            f"**Branch**: `{feature}` | **Date**: {created} | **Spec**: spec.md",
            "",
            f"**Input**: Feature specification from `/specs/{feature}/spec.md`",
            "",
            "## Summary",
            "",
            f"{brief.goal} It is built as one small module with tests, and called from the existing entry points.",
            "",
            "## Technical Context",
            "",
            "**Language/Version**: the repository's own, unchanged",
            "",
            "**Primary Dependencies**: no new ones",
            "",
            "**Storage**: the existing store",
            "",
            "**Testing**: the existing test runner, with a test for each acceptance scenario",
            "",
            "**Target Platform**: as today",
            "",
            "**Project Type**: single project",
            "",
            "**Performance Goals**: an outcome within 2 seconds in 99% of cases",
            "",
            "**Constraints**: no change to existing behaviour",
            "",
            f"**Scale/Scope**: {len(brief.requirements)} requirements, one module",
            "",
            "## Constitution Check",
            "",
            "Passed before research and again after design: one module, tests first, nothing speculative.",
            "",
            "## Project Structure",
            "",
            "```text",
            "src/",
            f"└── {module}/",
            "    ├── request",
            "    └── outcome",
            "tests/",
            f"└── {module}/",
            "```",
            "",
            f"**Structure Decision**: one module, `src/{module}/`, with its tests in `tests/{module}/`.",
            "",
        ]
    )


def research(brief: Brief) -> str:
    """`research.md`."""
    return "\n".join(
        [
            f"# Research: {brief.title}",
            "",
            "## Location of the feature",
            "",
            "- **Decision**: a module of its own.",
            "- **Rationale**: it can be built, tested and removed without touching the rest.",
            "- **Alternatives considered**: distribute it over existing modules; harder to review.",
            "",
        ]
    )


def data_model(brief: Brief) -> str:
    """`data-model.md`."""
    return "\n".join(
        [
            f"# Data Model: {brief.title}",
            "",
            "| entity | field | rule |",
            "| --- | --- | --- |",
            "| Request | asked_at | required, UTC |",
            "| Request | text | required, not empty |",
            "| Outcome | state | `done` or `refused` |",
            "| Outcome | reason | required if refused |",
            "",
            "A Request has exactly one Outcome, which never changes.",
            "",
        ]
    )


def contract(brief: Brief) -> str:
    """`contracts/outcomes.md`."""
    return "\n".join(
        [
            f"# Contract: {brief.title}",
            "",
            *(
                f"{number}. Request: {requirement} Response: `done`, or `refused` with a reason."
                for number, requirement in enumerate(brief.requirements, 1)
            ),
            "",
        ]
    )


def quickstart(brief: Brief) -> str:
    """`quickstart.md`."""
    return "\n".join(
        [
            f"# Quickstart: {brief.title}",
            "",
            "1. Run the repository's tests; all pass.",
            *(f"{number}. Verify: {requirement}" for number, requirement in enumerate(brief.requirements, 2)),
            "",
        ]
    )


def tasks(brief: Brief, feature: str) -> str:
    """`tasks.md`, with numbered tasks in order."""
    module = _module(brief)
    lines = [
        f"# Tasks: {brief.title}",
        "",
        f"**Input**: Design documents from `/specs/{feature}/`",
        "",
        "## Phase 1: Setup",
        "",
        f"- [ ] T001 Create the module folder src/{module}/ and its test folder tests/{module}/",
        "",
        "## Phase 2: Foundational",
        "",
        f"- [ ] T002 Implement Request and Outcome from data-model.md in src/{module}/",
        "",
    ]
    number = 3
    for story, requirement in enumerate(brief.requirements[:3], 1):
        lines += [
            f"## Phase {story + 2}: User Story {story} - {_short(requirement)} (Priority: P{story})",
            "",
            f"**Goal**: {requirement}",
            "",
            f"- [ ] T{number:03} [P] [US{story}] Write a failing test for story {story} in tests/{module}/",
            f"- [ ] T{number + 1:03} [US{story}] Implement story {story} in src/{module}/",
            "",
        ]
        number += 2
    return "\n".join(
        [
            *lines,
            "## Final Phase: Polish",
            "",
            f"- [ ] T{number:03} Validate quickstart.md against src/{module}/",
            "",
            "## Dependencies",
            "",
            "Setup, then Foundational, then the stories in order of priority; the stories are independent.",
            "",
        ]
    )


def _short(requirement: str) -> str:
    return requirement if len(requirement) <= _HEADING_SIZE else requirement[:_HEADING_SIZE].rsplit(" ", 1)[0] + "…"


def _module(brief: Brief) -> str:
    return brief.short_name.replace("-", "_")
