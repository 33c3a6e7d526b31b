import pytest

from moonmind_appliance.models import PhaseName
from moonmind_appliance.rehearsal.openai.accounts import sample_accounts
from moonmind_appliance.rehearsal.openai.response_script import NORMAL, ResponseKind, ResponseScript, ScriptedResponse

LIMIT = ScriptedResponse(ResponseKind.USAGE_LIMIT)
FAILS = ScriptedResponse(ResponseKind.AGENT_FAILS)
ANN, BOB = sample_accounts(2)


def _kinds(script: ResponseScript, *skills: str) -> list[ResponseKind]:
    return [script.take(f"speckit-{skill}", ANN).kind for skill in skills]


def test_a_response_applies_to_every_turn() -> None:
    """Until another response is set."""
    script = ResponseScript(LIMIT)
    assert _kinds(script, "specify", "plan") == [ResponseKind.USAGE_LIMIT, ResponseKind.USAGE_LIMIT]
    script.add(NORMAL)
    assert _kinds(script, "tasks") == [ResponseKind.NORMAL]


@pytest.mark.parametrize("phase", ["speckit-plan", PhaseName.SPECKIT_PLAN])
def test_a_response_can_start_at_a_phase(phase: str) -> None:
    """Earlier phases keep their response; the name of the skill or of the phase can be used."""
    script = ResponseScript(NORMAL)
    script.add(FAILS, phase=phase)
    assert _kinds(script, "specify", "plan", "tasks") == [
        ResponseKind.NORMAL,
        ResponseKind.AGENT_FAILS,
        ResponseKind.AGENT_FAILS,
    ]


def test_a_response_can_apply_to_a_number_of_turns() -> None:
    """After them the previous response applies again."""
    script = ResponseScript(NORMAL)
    script.add(FAILS, times=2)
    assert _kinds(script, "specify", "specify", "specify") == [
        ResponseKind.AGENT_FAILS,
        ResponseKind.AGENT_FAILS,
        ResponseKind.NORMAL,
    ]


def test_phase_and_times_go_together() -> None:
    """Only turns of the phase count."""
    script = ResponseScript(NORMAL)
    script.add(LIMIT, phase="speckit-plan", times=1)
    kinds = _kinds(script, "specify", "plan", "plan", "tasks")
    assert kinds == [ResponseKind.NORMAL, ResponseKind.USAGE_LIMIT, ResponseKind.NORMAL, ResponseKind.NORMAL]


def test_a_response_can_apply_to_one_account() -> None:
    """Turns of other accounts keep their response."""
    script = ResponseScript(NORMAL)
    script.add(FAILS, account=BOB)
    kinds = [script.take("speckit-plan", account).kind for account in (ANN, BOB, ANN, BOB)]
    assert kinds == [ResponseKind.NORMAL, ResponseKind.AGENT_FAILS] * 2


def test_a_new_response_for_all_turns_replaces_earlier_ones() -> None:
    """So a test can say: from here on, a good scenario."""
    script = ResponseScript(NORMAL)
    script.add(LIMIT, phase="speckit-specify", times=5)
    script.add(NORMAL)
    assert _kinds(script, "specify", "plan") == [ResponseKind.NORMAL, ResponseKind.NORMAL]


def test_an_unknown_phase_is_an_error() -> None:
    """The message lists the known phases."""
    with pytest.raises(ValueError, match="speckit-specify, speckit-plan, speckit-tasks"):
        ResponseScript(NORMAL).add(FAILS, phase="plan")
