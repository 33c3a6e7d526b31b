"""The texts of the sign-in screen at each step."""

from datetime import timedelta

import pytest

from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.models import LoginState, Shard
from moonmind_appliance.runs.sign_in import SignedIn, SignInFailed, SignInPrompt, SignInWaiting
from tests.tui.attached import NOW
from tui.sign_in_text import instructions, outcome
from tui.signs import DARK

PROMPT = SignInPrompt("https://auth.openai.com/codex/device\x1b[2J", "J7WH-F5B4Q", NOW)


def test_the_prompt_has_address_and_code():
    """Without control characters; before it, and after the end, there is nothing to type."""
    shown = instructions(2, PROMPT, DARK).plain
    assert "https://auth.openai.com/codex/device\n" in shown
    assert "J7WH-F5B4Q" in shown
    assert "\x1b" not in shown
    assert "Asking OpenAI" in instructions(2, None, DARK).plain
    assert instructions(2, PROMPT, DARK, done=True).plain == "Sign shard 2 in to ChatGPT\n"


@pytest.mark.parametrize(
    ("step", "expires", "text"),
    [
        (None, None, "Esc stops, and keeps the old login."),
        (PROMPT, 90, "‖ Waiting for the confirmation, 2 min left. Esc stops, and keeps the old login."),
        (
            SignInWaiting("run r1"),
            90,
            "‖ Confirmed. The new login is stored when run r1 ends. Esc keeps the old login.",
        ),
        (
            SignedIn(Shard(shard=2, login=LoginState.PRESENT, account_email="a@b.test", plan="plus")),
            90,
            "✓ Shard 2 is signed in as a@b.test (Plus). Waiting runs start automatically. Enter goes back.",
        ),
        (
            SignedIn(Shard(shard=2, login=LoginState.PRESENT, by_api_key=True)),
            90,
            "✓ Shard 2 is signed in. Waiting runs start automatically. Enter goes back.",
        ),
        (
            SignInFailed(EngineUnreachable("No engine.", hint="Start it.")),
            None,
            "✗ No engine. Start it. Press r to try again, Enter to go back.",
        ),
    ],
)
def test_each_step_says_what_comes_next(step, expires, text):
    """And which key works."""
    at = None if expires is None else NOW + timedelta(seconds=expires)
    assert outcome(2, step, at, NOW, DARK).plain == text
