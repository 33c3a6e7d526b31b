import pytest

from moonmind_appliance.models import PhaseName
from moonmind_appliance.rehearsal.openai.accounts import made_up_accounts
from moonmind_appliance.rehearsal.openai.response_script import NORMAL, Play, Programme, Scenario

LIMIT = Scenario(Play.USAGE_LIMIT)
FAILS = Scenario(Play.AGENT_FAILS)
ANN, BOB = made_up_accounts(2)


def _plays(programme: Programme, *skills: str) -> list[Play]:
    return [programme.take(f"speckit-{skill}", ANN).play for skill in skills]


def test_a_scenario_holds_for_every_turn() -> None:
    """Until the next one is put on."""
    programme = Programme(LIMIT)
    assert _plays(programme, "specify", "plan") == [Play.USAGE_LIMIT, Play.USAGE_LIMIT]
    programme.play(NORMAL)
    assert _plays(programme, "tasks") == [Play.NORMAL]


@pytest.mark.parametrize("phase", ["speckit-plan", PhaseName.SPECKIT_PLAN])
def test_a_scenario_may_begin_with_a_phase(phase: str) -> None:
    """The phases before it stay as they were; a skill's name and the phase's say the same."""
    programme = Programme(NORMAL)
    programme.play(FAILS, phase=phase)
    assert _plays(programme, "specify", "plan", "tasks") == [Play.NORMAL, Play.AGENT_FAILS, Play.AGENT_FAILS]


def test_a_scenario_may_hold_for_some_turns() -> None:
    """Then what was on before is on again."""
    programme = Programme(NORMAL)
    programme.play(FAILS, times=2)
    assert _plays(programme, "specify", "specify", "specify") == [Play.AGENT_FAILS, Play.AGENT_FAILS, Play.NORMAL]


def test_phase_and_times_go_together() -> None:
    """Only turns of the phase count."""
    programme = Programme(NORMAL)
    programme.play(LIMIT, phase="speckit-plan", times=1)
    plays = _plays(programme, "specify", "plan", "plan", "tasks")
    assert plays == [Play.NORMAL, Play.USAGE_LIMIT, Play.NORMAL, Play.NORMAL]


def test_a_scenario_may_be_one_accounts() -> None:
    """The turns of other accounts stay as they were."""
    programme = Programme(NORMAL)
    programme.play(FAILS, account=BOB)
    plays = [programme.take("speckit-plan", account).play for account in (ANN, BOB, ANN, BOB)]
    assert plays == [Play.NORMAL, Play.AGENT_FAILS] * 2


def test_a_new_scenario_for_all_turns_forgets_the_older_ones() -> None:
    """So a test can say: from here on, a good day."""
    programme = Programme(NORMAL)
    programme.play(LIMIT, phase="speckit-specify", times=5)
    programme.play(NORMAL)
    assert _plays(programme, "specify", "plan") == [Play.NORMAL, Play.NORMAL]


def test_an_unknown_phase_is_said() -> None:
    """With the phases that there are."""
    with pytest.raises(ValueError, match="speckit-specify, speckit-plan, speckit-tasks"):
        Programme(NORMAL).play(FAILS, phase="plan")
