"""Lines that are rendered again for each width."""

import pytest

from moonmind_appliance.checks import Finding, Level
from tests.tui.attached import until
from tests.tui.checks_page import FINDINGS, open_checks, shown
from tui.text_lines import TextLines

pytestmark = pytest.mark.anyio


async def test_unchanged_findings_are_not_repainted(attached):
    """A second pass with the same findings repaints no line."""
    attached.findings = FINDINGS
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_checks(app, pilot)
        await until(pilot, lambda: len(shown(screen)) == 4)
        lines, painted = screen.query_one("#findings", TextLines), []
        lines.refresh = lambda *regions, **_options: painted.append(regions)
        screen.serve_changed()
        screen.tick()
        assert painted == []


async def test_the_scrollbar_covers_no_text(attached):
    """It appears when there are more findings than lines."""
    attached.findings = [Finding(f"check {number}", Level.OK, "word " * 40) for number in range(20)]
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_checks(app, pilot)
        await until(pilot, lambda: len(shown(screen)) >= 60)
        lines = screen.query_one("#findings", TextLines)
        assert lines.show_vertical_scrollbar
        widest = max(lines.line(y).cell_len for y in range(lines.line_count))
        assert widest <= lines.size.width - lines.scrollbar_size_vertical
