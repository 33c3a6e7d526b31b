"""The texts of the sign-in screen at each step. Pure."""

from datetime import datetime

from rich.text import Text

from moonmind_appliance.runs.sign_in import SignedIn, SignInFailed, SignInPrompt, SignInStep, SignInWaiting
from tui.signs import Palette
from tui.text import countdown, one_line


def instructions(shard: int, prompt: SignInPrompt | None, palette: Palette, *, done: bool = False) -> Text:
    """What the user has to do; `done`: nothing more."""
    text = Text.assemble((f"Sign shard {shard} in to ChatGPT\n\n", "bold"))
    if done:
        text.rstrip()
        return text.append("\n")
    if prompt is None:
        return text.append("Asking OpenAI for a code. This takes some seconds.", palette.muted)
    return text.append_text(
        Text.assemble(
            "1  Open in any browser:\n   ",
            (one_line(prompt.address), palette.link),
            "\n\n2  Log in with the account for this shard.\n\n3  Type the code:\n   ",
            (one_line(prompt.code), palette.strong),
            "\n",
        )
    )


def outcome(shard: int, step: SignInStep | None, expires_at: datetime | None, now: datetime, palette: Palette) -> Text:
    """The current state, or the outcome."""
    if isinstance(step, SignedIn):
        email, plan = one_line(step.shard.account_email or ""), one_line(step.shard.plan or "")
        who = (f" as {email}" if email else "") + (f" ({plan.capitalize()})" if plan else "")
        return Text(
            f"✓ Shard {shard} is signed in{who}. Waiting runs start automatically. Enter goes back.", palette.good
        )
    if isinstance(step, SignInFailed):
        message = " ".join(part for part in (one_line(step.message), one_line(step.hint)) if part)
        return Text(f"✗ {message} Press r to try again, Enter to go back.", palette.bad)
    if isinstance(step, SignInWaiting):
        return Text(
            f"‖ Confirmed. The new login is stored when {one_line(step.holder)} ends. Esc keeps the old login.",
            palette.waiting,
        )
    if expires_at is None:
        return Text("Esc stops, and keeps the old login.", palette.muted)
    left = countdown((expires_at - now).total_seconds())
    return Text(f"‖ Waiting for the confirmation, {left} left. Esc stops, and keeps the old login.", palette.waiting)
