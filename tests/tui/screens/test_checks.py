"""The checks screen: findings as they are found, and whether the service is ready."""

import threading

import pytest
from textual.widgets import Static

from moonmind_appliance.checks import Finding, Level, ServeState
from tests.tui.attached import until
from tests.tui.checks_page import FINDINGS, open_checks, shown

pytestmark = pytest.mark.anyio


def head(screen):
    return str(screen.query_one("#head", Static).content)


async def test_problems_come_first_each_with_what_to_do(attached):
    """Each problem shows the command that fixes it, and the key that does it here."""
    attached.findings = FINDINGS
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_checks(app, pilot)
        await until(pilot, lambda: "checked 12:00" in head(screen))
        assert head(screen).splitlines()[0] == "Checks  1 problem, 1 note, checked 12:00"
        assert shown(screen) == [
            "✗ login of shard 1 Dead since 09:12.",
            "→ moonmind-appliance login-shard 1, or here: 2, then i",
            "! clock Not compared.",
            "✓ disk 75 GiB free",
        ]


async def test_findings_are_shown_as_they_are_found(attached):
    """A slow check does not block others; r is refused meanwhile, and repeats the checks afterwards."""
    go_on = threading.Event()
    made = []

    def slow(_settings, _resources):
        made.append(len(made))
        yield FINDINGS[0]
        assert go_on.wait(60)
        yield Finding("clock", Level.NOTE, f"Look {len(made)}.")

    app = attached.app(checks=slow)
    async with app.run_test() as pilot:
        screen = await open_checks(app, pilot)
        try:
            await until(pilot, lambda: shown(screen) == ["✓ disk 75 GiB free"])
            assert "checking …" in head(screen)
            await pilot.press("r")
            await until(pilot, lambda: "running" in str(screen.query_one("#message", Static).content))
            assert made == [0]
        finally:
            go_on.set()
        await until(pilot, lambda: "! clock Look 1." in shown(screen))
        await pilot.press("r")
        await until(pilot, lambda: "! clock Look 2." in shown(screen))


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (ServeState(answers=True, version="1.2", ready=True), "✓ The service 1.2 is ready for runs."),
        (ServeState(answers=False), "The service is not running"),
        (ServeState(answers=True, problems=["engine: no answer"]), "✗ The service is not ready: engine: no answer"),
    ],
)
async def test_the_services_readiness_is_shown(attached, state, says):
    """With the problems that it reports."""
    attached.served = state
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_checks(app, pilot)
        await until(pilot, lambda: says in head(screen))


async def test_old_findings_are_checked_again_when_the_screen_is_shown(attached):
    """A login may have been renewed meanwhile."""
    attached.findings = FINDINGS
    app = attached.app()
    async with app.run_test() as pilot:
        screen = await open_checks(app, pilot)
        await until(pilot, lambda: "checked 12:00" in head(screen))
        attached.findings = FINDINGS[:1]
        attached.advance(minutes=5)
        await pilot.press("1", "3")
        await until(pilot, lambda: "checked 12:05" in head(screen))
        assert shown(screen) == ["✓ disk 75 GiB free"]
