"""The agent turn of each Spec Kit phase."""

import pytest

from moonmind_appliance.agents.adapter import Turn, TurnRequest
from moonmind_appliance.models import ExecSpec, Phase, PhaseName, SpecifyTurn, WrittenFeature
from moonmind_appliance.phases.turns import turn_of
from tests.appliance_under_test import ScriptedAgent
from tests.phases.contexts import make_context


class RecordingAgent(ScriptedAgent):
    def turn(self, request: TurnRequest) -> Turn:
        self.request = request
        return Turn({}, ExecSpec(command=["x"]))


@pytest.mark.parametrize(
    ("phase", "text", "document"),
    [
        (PhaseName.SPECKIT_SPECIFY, "Dark mode, please.", "spec.md"),
        (PhaseName.SPECKIT_PLAN, "", "plan.md"),
        (PhaseName.SPECKIT_TASKS, "", "tasks.md"),
    ],
)
def test_only_the_first_turn_has_the_submitters_text(phase: PhaseName, text: str, document: str) -> None:
    """Each turn reports its document and both templates; the limits are the settings'. Later ones know the feature."""
    agent = RecordingAgent()
    written = SpecifyTurn(feature=WrittenFeature("docs/specs/001-x"))
    run = {"phases": [Phase(phase=PhaseName.SPECKIT_SPECIFY, output=written)]}
    turn_of(phase, make_context(agent=agent, run=run, settings={"phase_time_limit": 9, "phase_silence_limit": 8}))
    request = agent.request
    assert (request.text, request.feature) == (text, None if text else "docs/specs/001-x")
    assert request.report[0] == f"{{feature}}/{document}"
    assert [name.startswith("/opt/") for name in request.report[1:]] == [False, True]
    assert (request.time_limit, request.silence_limit) == (9, 8)
