"""The documents that the stand-in model writes, after Spec Kit 1.2.3's templates, without placeholders.

The same brief gives the same bytes.
"""

from moonmind_appliance.rehearsal.openai.model.brief import Brief

_HEADING_SIZE = 60
_QUESTIONS = (
    "Who may use this: everybody, or only people who are signed in?",
    "How long must what it records be kept?",
)


def specification(brief: Brief, feature: str, created: str, *, questions: bool = False) -> str:
    """`spec.md` of the feature folder `feature`; with two open questions on request."""
    requirements = [f"The product MUST satisfy: {wish}" for wish in brief.wishes]
    requirements.append("The product MUST tell a person in plain words what went wrong and what to do next.")
    if questions:
        requirements += [f"Access and retention are open. [NEEDS CLARIFICATION: {_QUESTIONS[0]}]"]
        requirements += [f"Records are kept for a limited time. [NEEDS CLARIFICATION: {_QUESTIONS[1]}]"]
    assumptions = [
        "People reach the feature with the means that they use today; no new device is needed.",
        "What exists stays as it is unless a requirement above changes it.",
    ]
    if questions:
        assumptions += [
            "Until it is decided, everybody who can reach the product may use the feature.",
            "Until it is decided, records are kept for 30 days.",
        ]
    stories = [(wish, f"P{min(number, 3)}") for number, wish in enumerate(brief.wishes[:3], 1)]
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
            "- What is asked for is not there: the person is told so, and nothing is changed.",
            "- The same is asked for twice at once: the outcome is the same as once.",
            "",
            "## Requirements *(mandatory)*",
            "",
            "### Functional Requirements",
            "",
            *(f"- **FR-{number:03}**: {text}" for number, text in enumerate(requirements, 1)),
            "",
            "### Key Entities",
            "",
            f"- **Request**: what a person asks of “{brief.title}”, with the time it was asked and its outcome.",
            "- **Outcome**: done or refused, with the reason in plain words.",
            "",
            "## Success Criteria *(mandatory)*",
            "",
            "### Measurable Outcomes",
            "",
            "- **SC-001**: 95% of people reach their goal at the first attempt without help.",
            "- **SC-002**: A person sees the outcome within 2 seconds in 99% of cases.",
            f"- **SC-003**: All {len(brief.wishes)} wishes of the description can be shown to work in one sitting.",
            "",
            "## Assumptions",
            "",
            *(f"- {text}" for text in assumptions),
            "",
        ]
    )


def _story(number: int, wish: str, priority: str, brief: Brief) -> list[str]:
    return [
        f"### User Story {number} - {_short(wish)} (Priority: {priority})",
        "",
        f"A person wants this of “{brief.title}”: {wish}",
        "",
        f"**Why this priority**: it is wish {number} of the description, and useful by itself.",
        "",
        f"**Independent Test**: show a person only this part and let them reach: {wish}",
        "",
        "**Acceptance Scenarios**:",
        "",
        f"1. **Given** the product is running, **When** a person asks for it, **Then** this holds: {wish}",
        "2. **Given** it cannot be done, **When** a person asks for it, **Then** they read why and what to do.",
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
            f"{brief.goal} It is built as one small module with its tests, behind the entry points that exist.",
            "",
            "## Technical Context",
            "",
            "**Language/Version**: the repository's own, unchanged",
            "",
            "**Primary Dependencies**: none beyond those in use",
            "",
            "**Storage**: the store in use",
            "",
            "**Testing**: the test runner in use, with a test for each acceptance scenario",
            "",
            "**Target Platform**: as today",
            "",
            "**Project Type**: single project",
            "",
            "**Performance Goals**: an outcome within 2 seconds in 99% of cases",
            "",
            "**Constraints**: no change to existing behaviour",
            "",
            f"**Scale/Scope**: {len(brief.wishes)} requirements, one module",
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
            "## Where the feature lives",
            "",
            "- **Decision**: a module of its own.",
            "- **Rationale**: it can be built, tested and removed without touching the rest.",
            "- **Alternatives considered**: spreading it over existing modules; harder to review.",
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
            "| Outcome | reason | required where refused |",
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
                f"{number}. Asked: {wish} Answer: `done`, or `refused` with a reason."
                for number, wish in enumerate(brief.wishes, 1)
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
            *(f"{number}. See that this holds: {wish}" for number, wish in enumerate(brief.wishes, 2)),
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
    for story, wish in enumerate(brief.wishes[:3], 1):
        lines += [
            f"## Phase {story + 2}: User Story {story} - {_short(wish)} (Priority: P{story})",
            "",
            f"**Goal**: {wish}",
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
            f"- [ ] T{number:03} Walk through quickstart.md and write down what differs in src/{module}/",
            "",
            "## Dependencies",
            "",
            "Setup, then Foundational, then the stories in order of priority; each story stands by itself.",
            "",
        ]
    )


def _short(wish: str) -> str:
    return wish if len(wish) <= _HEADING_SIZE else wish[:_HEADING_SIZE].rsplit(" ", 1)[0] + "…"


def _module(brief: Brief) -> str:
    return brief.short_name.replace("-", "_")
