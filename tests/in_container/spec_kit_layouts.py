"""Small repositories with shortened files in the form of real Spec Kit versions: path to text."""

import json
from collections.abc import Mapping
from pathlib import Path

from moonmind_appliance.in_container.spec_kit import choose
from moonmind_appliance.in_container.spec_kit_files import WorkTree

_COMMON = """#!/usr/bin/env bash
get_repo_root() { git rev-parse --show-toplevel; }
get_current_branch() { echo "${SPECIFY_FEATURE:-$(git rev-parse --abbrev-ref HEAD)}"; }
check_feature_branch() {
    [[ "$1" =~ ^[0-9]{3}- ]] || { echo "ERROR: Not on a feature branch. Current branch: $1" >&2; return 1; }
}
get_feature_paths() {
    echo "FEATURE_DIR='$(get_repo_root)/specs/$(get_current_branch)'"
}
"""
_SETUP_PLAN = """#!/usr/bin/env bash
set -e
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
eval "$(get_feature_paths)"
check_feature_branch "$(get_current_branch)"
cp .specify/templates/plan-template.md "$FEATURE_DIR/plan.md"
printf '{"FEATURE_SPEC":"%s","FEATURE_DIR":"%s"}\\n' "$FEATURE_DIR/spec.md" "$FEATURE_DIR"
"""
_CREATE = """#!/usr/bin/env bash
set -e
name=""
for word in "$@"; do [ "$word" = --json ] || name="$word"; done
git checkout -q -b "001-$name"
mkdir -p "specs/001-$name"
cp .specify/templates/spec-template.md "specs/001-$name/spec.md"
printf '{"BRANCH_NAME":"%s","SPEC_FILE":"%s"}\\n' "001-$name" "$PWD/specs/001-$name/spec.md"
"""
SPEC_TEMPLATE = """# Feature Specification: [FEATURE NAME]

## User Scenarios & Testing *(mandatory)*

[Describe this user journey in plain language]

## Requirements *(mandatory)*

- **FR-001**: System MUST [specific capability]

## Success Criteria *(mandatory)*

- **SC-001**: [Measurable metric]
"""
PLAN_TEMPLATE = """# Implementation Plan: [FEATURE]

## Summary

[Extract from feature spec: primary requirement]

## Technical Context

**Language/Version**: [e.g., Python 3.11]

## Constitution Check

[Gates determined based on constitution file]

## Project Structure

[Document the selected structure]
"""
TASKS_TEMPLATE = """# Tasks: [FEATURE NAME]

## Phase 1: Setup

- [ ] T001 [Create project structure per implementation plan]
"""
TEMPLATES = {
    ".specify/templates/spec-template.md": SPEC_TEMPLATE,
    ".specify/templates/plan-template.md": PLAN_TEMPLATE,
    ".specify/templates/tasks-template.md": TASKS_TEMPLATE,
}
BASH = {
    ".specify/scripts/bash/common.sh": _COMMON,
    ".specify/scripts/bash/setup-plan.sh": _SETUP_PLAN,
    ".specify/scripts/bash/create-new-feature.sh": _CREATE,
}
CONSTITUTION = {".specify/memory/constitution.md": "# Shop Constitution\n\n## Small steps\n"}


def skills(scripts: Mapping[str, str]) -> dict[str, str]:
    """A skill for Codex in each phase, which calls these scripts by phase."""
    return {
        f".agents/skills/speckit-{phase}/SKILL.md": (
            f"---\nname: speckit-{phase}\ndescription: The phase {phase}.\n---\n\n"
            f"Run `{scripts.get(phase, 'nothing')}` from the repository's root.\n"
        )
        for phase in ("specify", "plan", "tasks")
    }


def of_0_3() -> dict[str, str]:
    """0.3 for Codex: scripts that know the feature by `SPECIFY_FEATURE` or the branch; no record, no setup-tasks."""
    calls = {
        "specify": '.specify/scripts/bash/create-new-feature.sh --json "$ARGUMENTS"',
        "plan": ".specify/scripts/bash/setup-plan.sh --json",
    }
    options = {"ai": "codex", "script": "sh", "speckit_version": "0.3.0"}
    return {**BASH, **TEMPLATES, **CONSTITUTION, **skills(calls), **init_options(options)}


def of_0_0_60() -> dict[str, str]:
    """0.0.60 for Copilot: prompts, old templates, and no options."""
    old = SPEC_TEMPLATE.partition("## Success Criteria")[0]
    return {
        **BASH,
        **TEMPLATES,
        **CONSTITUTION,
        ".specify/templates/spec-template.md": old,
        ".github/prompts/specify.prompt.md": "Run `.specify/scripts/bash/create-new-feature.sh --json`.\n",
        ".github/prompts/plan.prompt.md": "Run `.specify/scripts/bash/setup-plan.sh --json`.\n",
    }


def of_0_9(version: str = "0.9.4") -> dict[str, str]:
    """0.9 for Codex: a committed record, an extension with hooks, manifests of both parts."""
    manifest = {"version": version, "files": {}}
    return {
        **of_0_3(),
        **init_options({"integration": "codex", "script": "sh", "speckit_version": "0.9.4"}),
        ".specify/feature.json": '{"feature_directory": "specs/001-old"}\n',
        ".specify/extensions.yml": "hooks:\n  before_specify:\n    - {extension: git, command: speckit.git.feature}\n",
        ".specify/integrations/codex.manifest.json": json.dumps(manifest),
        ".specify/integrations/speckit.manifest.json": json.dumps({**manifest, "version": "0.9.4"}),
        "specs/001-old/spec.md": "# Feature Specification: Old\n\n## Requirements\n\n- it is old\n",
    }


def of_1_1_powershell() -> dict[str, str]:
    """1.1 for Codex on Windows."""
    calls = dict.fromkeys(("specify", "plan", "tasks"), ".specify/scripts/powershell/setup-plan.ps1 -Json")
    options = {"integration": "codex", "script": "ps", "speckit_version": "1.1.3"}
    scripts = {".specify/scripts/powershell/setup-plan.ps1": "Write-Output '{}'\n"}
    return {**scripts, **TEMPLATES, **CONSTITUTION, **skills(calls), **init_options(options)}


def init_options(options: Mapping[str, str]) -> dict[str, str]:
    """`.specify/init-options.json`."""
    return {".specify/init-options.json": json.dumps(options)}


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write the files into a folder; returns it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def chosen(root: Path, integration: str = "codex") -> tuple[str, str, str]:
    """What is used in that folder, the kind, and the reason."""
    choice = choose(WorkTree(root), integration)
    return choice["used"], choice["kind"], choice["reason"]
