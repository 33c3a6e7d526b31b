"""Describes which Spec Kit a run uses: for the clone's event, the pull request, and `doctor`. Pure."""

from moonmind_appliance.models import SpecKitChoice
from moonmind_appliance.phases.git_answers import ChosenSpecKit
from moonmind_appliance.printable import escape
from moonmind_appliance.redaction import Redactor

_LONGEST_REASON, _LONGEST_PATH = 600, 200


def choice_of(chosen: ChosenSpecKit, redactor: Redactor) -> SpecKitChoice:
    """What the git container reported, with names from the repository made safe to show."""

    def safe(text: str, longest: int) -> str:
        return redactor.redact_text(escape(text))[:longest]

    return SpecKitChoice(
        used=chosen.used,
        kind=chosen.kind,
        reason=safe(chosen.reason, _LONGEST_REASON),
        version=safe(chosen.version, _LONGEST_PATH),
        templates=sorted(safe(path, _LONGEST_PATH) for path in chosen.templates.values()),
        constitution=chosen.constitution,
        notes=[safe(note, _LONGEST_REASON) for note in chosen.notes],
    )


def sentence(choice: SpecKitChoice) -> str:
    """Which Spec Kit the run uses and why, in one line.

    Omits the version of the image's Spec Kit: it is the agent's `prompt_pack_version`.
    """
    version = f" {choice.version}" if choice.version else ""
    if choice.used == "repository":
        return f"Spec Kit: the repository's own{version}."
    if choice.kind == "none":
        return "Spec Kit: the appliance's, because the repository has none."
    why = choice.reason.removesuffix(".")
    kept = [
        *(["constitution"] if choice.constitution else []),
        *(path.rpartition("/")[2] for path in choice.templates),
    ]
    own = f" The repository's {_listed(kept)} {'is' if len(kept) == 1 else 'are'} used." if kept else ""
    return f"Spec Kit: the appliance's, not the repository's own{version}. {why}.{own}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
