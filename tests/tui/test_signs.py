"""How states are displayed."""

from rich.cells import cell_len

from moonmind_appliance.models import PhaseStatus, RunStatus
from tui.signs import NO_COLOUR, PHASE_SIGNS, RUN_SIGNS


def test_every_state_has_a_sign_of_one_cell_and_a_word():
    """No two states look the same without colour."""
    for signs, states in ((RUN_SIGNS, RunStatus), (PHASE_SIGNS, PhaseStatus)):
        assert set(signs) == set(states)
        assert len({(sign.mark, sign.word) for sign in signs.values()}) == len(states)
        assert all(cell_len(sign.mark) == 1 for sign in signs.values())
    assert all(style.color is None and style.bgcolor is None for style in NO_COLOUR)
