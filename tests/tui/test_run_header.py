"""The header of a run's screen."""

import msgspec
import pytest

from moonmind_appliance.models import RunStatus
from moonmind_appliance.views.run_detail import RunDetail
from tests.tui.run_rows import summary
from tui.run_header import header_text
from tui.signs import DARK


def detail(**fields):
    return RunDetail(**msgspec.structs.asdict(summary(**fields)), phases=[], artifacts=[], agent=None)


def test_the_status_is_at_the_right_edge():
    """Branches only once they are known."""
    run = detail(status=RunStatus.FAILED, branch_name="speckit/1", dry_run=True, external_ref="T-1")
    shown = header_text(run, DARK, 100)
    assert shown.plain.startswith(" 0f3a9c1e  acme/shop  main → speckit/1  dry run  T-1 ")
    assert shown.plain.endswith(" ✗ FAILED ")
    assert shown.cell_len == 100
    assert "→" not in header_text(detail(), DARK, 100).plain


@pytest.mark.parametrize("width", [30, 60, 80])
def test_a_long_name_is_cut_before_the_status(width):
    """And without control characters."""
    shown = header_text(detail(repository="a\x1b[2J" + "\u6f22" * 90), DARK, width)
    assert shown.cell_len == width
    assert "…" in shown.plain
    assert "\x1b" not in shown.plain
    assert shown.plain.endswith("QUEUED ")
