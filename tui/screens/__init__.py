"""The screens, by name; each is imported when it is first opened."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.screen import Screen

SCREENS: dict[str, str] = {
    "runs": "tui.screens.runs:RunsScreen",
    "run": "tui.screens.run:RunScreen",
    "new_run": "tui.screens.new_run:NewRunScreen",
    "shards": "tui.screens.shards:ShardsScreen",
    "login": "tui.screens.login:LoginScreen",
    "checks": "tui.screens.checks:ChecksScreen",
    "help": "tui.screens.help:HelpScreen",
}


def make_screen(name: str, *arguments: Any) -> "Screen[Any]":  # noqa: ANN401 - passed on to the screen
    """Create the screen with that name."""
    module, class_name = SCREENS[name].split(":")
    made: Screen[Any] = getattr(import_module(module), class_name)(*arguments)
    return made
