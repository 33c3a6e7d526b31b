"""Copies text to the clipboard of the user's terminal, also over ssh."""

import base64
import subprocess
from collections.abc import Callable, Mapping

_TMUX_SECONDS = 5


def send(text: str, environment: Mapping[str, str], write: Callable[[str], None]) -> str:
    """Send a text to the terminal's clipboard; returns how, for people.

    Outside tmux it uses OSC 52 (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html). tmux ignores that unless
    `set-clipboard` is `on`, so inside tmux it uses tmux's own command. Terminals do not report whether they accept
    the text. May block for some seconds: call it in a thread.

    Args:
        text: what to copy.
        environment: for TMUX.
        write: writes to the terminal.
    """
    if environment.get("TMUX") and _by_tmux(text):
        return "sent to your terminal through tmux"
    write(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a")
    return "sent to your terminal"


def _by_tmux(text: str) -> bool:
    try:
        done = subprocess.run(
            ["tmux", "load-buffer", "-w", "-"],  # noqa: S607 - the tmux of the user
            input=text.encode(),
            capture_output=True,
            timeout=_TMUX_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
