"""The sentence that says which Spec Kit a run uses."""

import pytest

from moonmind_appliance.models import SpecKitChoice
from moonmind_appliance.phases.git_answers import ChosenSpecKit
from moonmind_appliance.phases.spec_kit_choice import choice_of, sentence
from moonmind_appliance.redaction import Redactor

TEMPLATES = [".specify/templates/plan-template.md", ".specify/templates/tasks-template.md"]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (SpecKitChoice("repository", "complete", "It is complete.", "0.9.4"), "Spec Kit: the repository's own 0.9.4."),
        (SpecKitChoice("repository", "complete", "It is complete."), "Spec Kit: the repository's own."),
        (
            SpecKitChoice("image", "none", "It has no Spec Kit."),
            "Spec Kit: the appliance's, because the repository has none.",
        ),
        (
            SpecKitChoice("image", "powershell", "Its scripts are for PowerShell.", "1.1.3"),
            "Spec Kit: the appliance's, not the repository's own 1.1.3. Its scripts are for PowerShell.",
        ),
        (
            SpecKitChoice("image", "no_skills", "It has no skills.", constitution=True),
            (
                "Spec Kit: the appliance's, not the repository's own. It has no skills. "
                "The repository's constitution is used."
            ),
        ),
        (
            SpecKitChoice("image", "no_skills", "It has no skills.", templates=TEMPLATES, constitution=True),
            (
                "Spec Kit: the appliance's, not the repository's own. It has no skills. "
                "The repository's constitution, plan-template.md and tasks-template.md are used."
            ),
        ),
    ],
)
def test_one_sentence_says_which_and_why(choice: SpecKitChoice, said: str) -> None:
    """And which of the repository's files are used with the image's."""
    assert sentence(choice) == said


def test_names_from_the_repository_are_made_safe() -> None:
    """They may contain secrets and escape sequences."""
    token = "ghp_worldToken0123456789abcdefghijklmnop"
    chosen = ChosenSpecKit(
        used="image",
        kind="no_skills",
        reason=f"It is made for \x1b[31m{token}.",
        version="1.1.3",
        templates={"plan-template.md": ".specify/presets/\u202e/templates/plan-template.md"},
        constitution=True,
        notes=["x" * 1000],
        problem="",
    )
    choice = choice_of(chosen, Redactor({"GITHUB_TOKEN": token}))
    assert token not in choice.reason
    assert "\\x1b[31m" in choice.reason
    assert choice.templates == [".specify/presets/\\u202e/templates/plan-template.md"]
    assert len(choice.notes[0]) < 1000
