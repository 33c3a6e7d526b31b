"""The findings of the checks as lines of text."""

import pytest

from moonmind_appliance.checks import Finding, Level, ServeState
from tests.tui.attached import NOW
from tui.check_lines import check_lines, head_text, service_text
from tui.signs import DARK

OK, NOTE = Finding("disk", Level.OK, "75 GiB free"), Finding("clock", Level.NOTE, "Not compared.")
WRONG = Finding("login of shard 1", Level.WRONG, "Dead.", "moonmind-appliance login-shard 1")


@pytest.mark.parametrize(
    ("findings", "running", "text"),
    [
        (None, True, "not checked yet"),
        ([], True, "checking …"),
        ([OK], False, "no problem, checked 12:00"),
        ([OK, NOTE, NOTE], False, "no problem, 2 notes, checked 12:00"),
        ([WRONG, WRONG], True, "2 problems, checking …"),
        ([WRONG, NOTE], False, "1 problem, 1 note, checked 12:00"),
    ],
)
def test_the_overall_result(findings, *, running, text):
    """It claims that there is no problem only after all checks."""
    assert head_text(findings, running=running, at=NOW, now=NOW) == text


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (None, "· Checking the service."),
        (ServeState(answers=False), "‖ The service is not running: runs wait for `moonmind-appliance serve`."),
        (
            ServeState(answers=True, problems=["No login.", "moonmind-appliance login-shard 0"]),
            "✗ The service is not ready: No login. moonmind-appliance login-shard 0, or here: 2, then i",
        ),
        (ServeState(answers=True, version="1.2", ready=True), "✓ The service 1.2 is ready for runs."),
    ],
)
def test_the_state_of_the_service(state, text):
    """With the keys that help, where the interface has any."""
    assert service_text(state, DARK).plain == text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_problems_come_first_and_no_line_is_too_wide(width):
    """Texts of others cannot control the terminal."""
    hostile = Finding("x\x1b[2J", Level.WRONG, "long " * 40 + "\x1b]0;t\x07", "do")
    lines = [line.plain for line in check_lines([OK, NOTE, hostile], DARK, width)]
    assert max(map(len, lines)) <= width
    assert [line[1] for line in lines if line[1] in "✗!✓"] == ["✗", "!", "✓"]
    assert "\x1b" not in "".join(lines)
