"""The nine phases as lines with bars."""

from datetime import timedelta

import pytest

from moonmind_appliance.models import PhaseName, PhaseStatus
from moonmind_appliance.views.run_detail import PhaseDetail
from tests.tui.attached import NOW
from tui.signs import DARK
from tui.timeline import bar, phase_text


@pytest.mark.parametrize(("share", "shown"), [(0, "    "), (0.01, "╸   "), (0.5, "━━  "), (0.6, "━━╸ "), (1, "━━━━")])
def test_bar(share, shown):
    """In halves of a cell; the shortest bar is visible."""
    assert bar(share, 4) == shown


@pytest.mark.parametrize("width", [20, 44, 79])
def test_a_phase_fits_its_width(width):
    """Also with an attempt number."""
    phase = PhaseDetail(PhaseName.START_JOB_CONTAINER, PhaseStatus.RUNNING, 3, NOW, None, None, None, {})
    text = phase_text(phase, 60, width, NOW + timedelta(minutes=3), DARK)
    assert "3m" in text.plain
    if width > 40:
        assert text.cell_len == width
        assert "try 3" in text.plain
