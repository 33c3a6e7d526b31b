"""A run in sentences."""

from datetime import timedelta

from moonmind_appliance.models import PHASE_ORDER, PhaseStatus, WaitReason
from moonmind_appliance.views.run_summary import WaitingForDetail
from tests.tui.attached import NOW
from tests.tui.run_rows import summary
from tui.explain import outcome_text, short_waiting_text, waiting_text


def test_waiting_runs_show_the_reason_and_the_time():
    """Shorter in the table."""
    waiting = WaitingForDetail(WaitReason.QUOTA, NOW + timedelta(hours=2, minutes=5))
    assert waiting_text(waiting, NOW) == "Waits for quota until 14:05 (2 h 5 min)."
    assert short_waiting_text(waiting, NOW) == "quota 14:05"
    assert waiting_text(None, NOW) == "Waits for its turn."


def test_a_queued_run_shows_that_serve_is_not_running():
    """Without `serve` it does not start."""
    phases = (PhaseStatus.PENDING,) * len(PHASE_ORDER)
    assert "`serve` is not running" in outcome_text(summary(), phases, NOW, serve_is_running=False)
    assert "`serve` is not running" not in outcome_text(summary(), phases, NOW, serve_is_running=None)
