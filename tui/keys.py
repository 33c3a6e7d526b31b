"""Every key in one table, the source of the bindings, the footer, the palette and the help screen."""

from enum import StrEnum
from typing import NamedTuple

from textual.binding import Binding, BindingType


class Where(StrEnum):
    """The part of the interface that a key belongs to; the value is the heading on the help screen."""

    EVERYWHERE = "Everywhere"
    LINES = "Lists and texts"
    RUNS = "Runs"
    RUN = "A run"
    LOG = "Log of a run"
    NEW_RUN = "New run"
    SHARDS = "Shards"
    LOGIN = "Sign-in"
    CHECKS = "Checks"
    HELP = "Help"
    CONFIRM = "Questions"


class Key(NamedTuple):
    """One key.

    `keys` are Textual's names, comma-separated; `shown` is their form for display. `label` is for the footer ("": the
    footer leaves it out), `help` is a sentence. A key that is not for `typing` does nothing while a text field has
    the focus, so that its letter reaches the field.
    """

    name: str
    keys: str
    shown: str
    action: str
    label: str
    help: str
    typing: bool = False


KEYS: dict[Where, tuple[Key, ...]] = {
    Where.EVERYWHERE: (
        Key("runs", "1", "1", "show('runs')", "", "Show the runs."),
        Key("shards", "2", "2", "show('shards')", "", "Show the shards: logins and quotas."),
        Key("checks", "3", "3", "show('checks')", "", "Show what runs need and what is missing."),
        Key("help", "question_mark,4", "?", "help", "Help", "Show every key."),
        Key("help_typing", "f1", "F1", "help", "", "Show every key, also while you type.", typing=True),
        Key("palette", "ctrl+p", "Ctrl-P", "command_palette", "", "Find a command by its name.", typing=True),
        Key("palette_colon", "colon", ":", "command_palette", "", "Find a command by its name."),
        Key("theme", "ctrl+t", "Ctrl-T", "next_theme", "", "Switch between dark, light and no colour.", typing=True),
        Key(
            "suspend",
            "ctrl+z",
            "Ctrl-Z",
            "suspend_process",
            "",
            "Suspend to the shell; `fg` returns. In the editor: undo.",
            typing=True,
        ),
        Key("leave", "q", "q", "leave", "", "Leave. Runs continue."),
        Key("leave_typing", "ctrl+q", "Ctrl-Q", "leave", "", "Leave, also while you type. Runs continue.", typing=True),
    ),
    Where.LINES: (
        Key("down", "down,j", "↓ j", "cursor(1)", "", "One line down."),
        Key("up", "up,k", "↑ k", "cursor(-1)", "", "One line up."),
        Key("page_down", "pagedown,ctrl+f,space", "PgDn", "page(1)", "", "One page down."),
        Key("page_up", "pageup,ctrl+b", "PgUp", "page(-1)", "", "One page up."),
        Key("first", "home,g", "Home g", "first", "", "Go to the first line."),
        Key("last", "end,G", "End G", "last", "", "Go to the last line."),
        Key("left", "left", "←", "sideways(-8)", "", "Scroll to the left."),
        Key("right", "right", "→", "sideways(8)", "", "Scroll to the right."),
        Key("open", "enter", "Enter", "open", "", "Open the selected line."),
    ),
    Where.RUNS: (
        Key("open", "enter", "Enter", "open_run", "Open", "Open the run. In the filter: go to the list.", typing=True),
        Key("list", "down", "↓", "to_list", "", "Go from the filter to the list.", typing=True),
        Key("filter", "slash", "/", "filter", "Filter", "Show only runs that contain a text."),
        Key("new", "n", "n", "new_run", "New", "Submit a new run."),
        Key("again", "N,A", "N A", "again", "", "Submit again with changes: the form is filled in from this run."),
        Key("cancel", "x", "x", "cancel_run", "Cancel", "Cancel the run. It asks first."),
        Key("retry", "r", "r", "retry_run", "Retry", "Queue a failed or cancelled run again."),
        Key("logs", "l", "l", "open_run('log')", "Log", "Open the run's log."),
        Key("artifacts", "a", "a", "open_run('artifacts')", "", "Open the run's artifacts."),
        Key("copy", "y", "y", "copy_id", "", "Copy the run's id."),
        Key("address", "o", "o", "copy_address", "", "Copy the pull request's address."),
        Key("browse", "O", "O", "open_address", "", "Open the pull request in a browser on this machine."),
        Key("sort", "s", "s", "sort", "Sort", "Next order: active, newest, oldest, repository, status, duration."),
        Key("follow", "f", "f", "follow", "Follow", "Keep the cursor on the first run when new runs arrive."),
        Key("clear", "escape", "Esc", "clear", "", "Clear the filter.", typing=True),
        Key("leave", "q", "q", "app.leave", "Leave", "Leave. Runs continue."),
    ),
    Where.RUN: (
        Key("back", "escape", "Esc", "back", "Back", "Close the search line, else go back to the runs.", typing=True),
        Key("next_tab", "right_square_bracket", "]", "tab(1)", "Tab", "Next tab."),
        Key("previous_tab", "left_square_bracket", "[", "tab(-1)", "", "Previous tab."),
        Key("search", "slash", "/", "search", "Search", "Find a text."),
        Key("cancel", "x", "x", "cancel_run", "Cancel", "Cancel the run. It asks first."),
        Key("retry", "r", "r", "retry_run", "Retry", "Queue a failed or cancelled run again."),
        Key("zoom", "z", "z", "zoom", "Zoom", "Show the tab on the whole screen, or restore the layout."),
        Key("next_phase", "plus,J", "+", "phase(1)", "", "Log of the next phase; next file of the diff."),
        Key(
            "previous_phase",
            "minus,K",
            "-",
            "phase(-1)",
            "",
            "Log of the previous phase; previous file of the diff.",
        ),
        Key("submit", "enter", "Enter", "submit", "", "In the search line: search.", typing=True),
        Key("next_match", "n", "n", "match(1)", "", "Next match."),
        Key("previous_match", "N", "N", "match(-1)", "", "Previous match."),
        Key("again", "A", "A", "again", "", "Submit again with changes: the form is filled in from this run."),
        Key("logs", "l", "l", "show_tab('log')", "", "Show the log."),
        Key("artifacts", "a", "a", "show_tab('artifacts')", "", "Show the artifacts."),
        Key("save", "s", "s", "save", "", "Save the selected artifact, or what the tab shows, to a file."),
        Key("copy_path", "p", "p", "copy_path", "", "Copy the path of the selected artifact."),
        Key("copy", "y", "y", "copy_id", "", "Copy the run's id."),
        Key("copy_line", "c", "c", "copy_line", "", "Copy the line under the cursor."),
        Key("address", "o", "o", "copy_address", "Copy PR", "Copy the pull request's address."),
        Key("browse", "O", "O", "open_address", "", "Open the pull request in a browser on this machine."),
    ),
    Where.LOG: (
        Key("follow", "f", "f", "follow", "Follow", "Follow the end of the log as it grows."),
        Key("wrap", "w", "w", "wrap", "Wrap", "Wrap long lines, or cut them off."),
        Key("error", "e", "e", "first_error", "Error", "Go to the first error."),
        Key("raw", "v", "v", "raw", "Raw", "Show Codex's events as stored, or as readable text."),
    ),
    Where.NEW_RUN: (
        Key("submit", "ctrl+s", "Ctrl-S", "submit", "Submit", "Submit the run.", typing=True),
        Key("next", "tab", "Tab", "field(1)", "", "Next field.", typing=True),
        Key("previous", "shift+tab", "Shift-Tab", "field(-1)", "", "Previous field.", typing=True),
        Key("enter", "enter", "Enter", "enter", "", "Next field. In the editor: a new line.", typing=True),
        Key("load", "ctrl+o", "Ctrl-O", "load", "Load", "Load the specification from a file.", typing=True),
        Key("clear", "ctrl+n", "Ctrl-N", "clear_form", "Clear", "Empty the form. It asks first.", typing=True),
        Key("back", "escape", "Esc", "back", "Back", "Go back. The draft is kept.", typing=True),
        Key("help", "f1", "F1", "help", "Help", "Show every key.", typing=True),
    ),
    Where.SHARDS: (
        Key("open", "enter", "Enter", "open_run", "Run", "Open the run in progress."),
        Key("sign_in", "i", "i", "sign_in", "Sign in", "Sign the shard in to ChatGPT."),
        Key("sign_out", "X", "X", "sign_out", "Sign out", "Revoke and remove the shard's login. It asks first."),
        Key("check", "c", "c", "check", "Check", "Check the shard's login now."),
        Key("pause", "p", "p", "pause", "Pause/resume", "Pause the shard, or resume it. It asks first."),
        Key("drain", "D", "D", "drain", "", "Drain the appliance (it starts no runs), or resume it. It asks first."),
    ),
    Where.LOGIN: (
        Key("copy", "c", "c", "copy_code", "Copy code", "Copy the code."),
        Key("address", "o", "o", "copy_address", "Copy address", "Copy the address."),
        Key("again", "r", "r", "again", "Again", "Try again after a failure."),
        Key("done", "enter", "Enter", "done", "Done", "Go back after the sign-in has ended.", typing=True),
        Key("back", "escape", "Esc", "back", "Back", "Stop. The old login is unchanged.", typing=True),
    ),
    Where.CHECKS: (Key("again", "r", "r", "again", "Check again", "Run all checks again."),),
    Where.HELP: (Key("back", "escape", "Esc", "back", "Back", "Close the help."),),
    Where.CONFIRM: (
        Key("yes", "y", "y", "answer(True)", "", "Yes."),
        Key("no", "n,escape", "n Esc", "answer(False)", "", "No."),
        Key("other", "left,right,h,l", "← →", "other", "", "Switch to the other button."),
    ),
}

_NOT_WHILE_TYPING = frozenset(
    (where, key.action.partition("(")[0]) for where, keys in KEYS.items() for key in keys if not key.typing
) - frozenset((where, key.action.partition("(")[0]) for where, keys in KEYS.items() for key in keys if key.typing)


def bindings(where: Where, *, priority: bool = True) -> list[BindingType]:
    """Textual's bindings for a part of the interface.

    They have priority over the focused widget, so that keys typed ahead take effect in the order of typing. Without
    it a letter would reach the widget that had the focus before, and `j` would take effect after `x`.
    """
    return [
        Binding(
            key.keys,
            key.action,
            key.label or key.help.rstrip("."),
            show=bool(key.label),
            key_display=key.shown,
            priority=priority,
            tooltip=key.help,
            id=f"{where.name.lower()}.{key.name}",
        )
        for key in KEYS[where]
    ]


def blocked_while_typing(where: Where, action: str) -> bool:
    """Whether the action's key is a letter that a text field with the focus must receive."""
    return (where, action) in _NOT_WHILE_TYPING
