"""Opens the checks screen, and reads what it shows."""

from moonmind_appliance.checks import Finding, Level
from tests.tui.attached import settle, until
from tui.screens.checks import ChecksScreen
from tui.text_lines import TextLines

FINDINGS = [
    Finding("disk", Level.OK, "75 GiB free"),
    Finding("login of shard 1", Level.WRONG, "Dead since 09:12.", "moonmind-appliance login-shard 1"),
    Finding("clock", Level.NOTE, "Not compared."),
]


async def open_checks(app, pilot):
    await settle(pilot)
    await pilot.press("3")
    await until(pilot, lambda: isinstance(app.screen, ChecksScreen))
    return app.screen


def shown(screen):
    lines = screen.query_one("#findings", TextLines)
    return [" ".join(lines.plain(y).split()) for y in range(lines.line_count)]
