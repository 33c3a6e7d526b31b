"""What an agent wrote does not make a run's row, or a list of runs, large."""

import json

from moonmind_appliance.models import PhaseName
from tests.appliance_under_test import FEATURE, ApplianceUnderTest


def specification(text: str) -> object:
    record = {".specify/feature.json": json.dumps({"feature_directory": FEATURE})}
    return lambda _: {"files": record | {f"{FEATURE}/spec.md": text}}


def test_forty_thousand_questions(appliance: ApplianceUnderTest) -> None:
    """The first ones, and how many more there are."""
    text = "# Dark mode\n\n" + "".join(f"[NEEDS CLARIFICATION: number {n}?]\n" for n in range(4000))
    appliance.agent.acts[PhaseName.SPECKIT_SPECIFY] = [specification(text)]  # type: ignore[list-item]
    run = appliance.run()
    assert len(run.clarifications) == 30
    assert run.clarifications[-1] == "and 3971 more, see the specification"


def test_one_long_question(appliance: ApplianceUnderTest) -> None:
    """Is cut."""
    appliance.agent.acts[PhaseName.SPECKIT_SPECIFY] = [  # type: ignore[list-item]
        specification(f"# Dark mode\n\n[NEEDS CLARIFICATION: {'why ' * 1000}]\n")
    ]
    (question,) = appliance.run().clarifications
    assert len(question) == 401


def test_what_was_left_out_is_bounded_in_the_row(appliance: ApplianceUnderTest) -> None:
    """Also if the git container reported too much."""
    many = [{"path": f"{'x' * 500}/{n}", "reason": "a link that points outside the repository"} for n in range(5000)]
    appliance.git_acts["stage"] = [lambda _: {"left_out": many}]
    run = appliance.run()
    assert len(json.dumps(run.phase(PhaseName.COMMIT_PUSH).metadata["left_out"])) < 1024 * 1024
