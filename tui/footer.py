"""The last line: the keys of the shown screen."""

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Footer
from textual.widgets._footer import FooterKey


class KeyFooter(Footer):
    """A compact footer that replaces its keys only when other keys are available.

    Textual's own binds each key's `compact` to the footer's, and the footer then keeps a reference to every key that
    it replaced, until `compact` is set (Textual 8.2: `reactive._watch`). Here `compact` never changes, and a key is
    compact by default, so nothing is bound.
    """

    def __init__(self) -> None:
        super().__init__(compact=True, show_command_palette=False)
        self._keys: list[tuple[str, str, str, str, bool, str]] = []

    def compose(self) -> ComposeResult:
        """One entry for each action that has a label."""
        for key, shown, label, action, disabled, tooltip in self._keys:
            yield FooterKey(key, shown, label, action, disabled=disabled, tooltip=tooltip)

    def bindings_changed(self, screen: Screen[object]) -> None:
        """Textual calls this when other keys may be available. They are read after the refresh, as in `Footer`."""
        if self.is_attached and screen is self.screen:
            self.call_after_refresh(self._show_keys)

    async def _show_keys(self) -> None:
        # The screen may have been closed since the refresh was requested.
        if not self.is_attached:
            return
        keys = self._available()
        if keys != self._keys:
            self._keys = keys
            await self.recompose()

    def _available(self) -> list[tuple[str, str, str, str, bool, str]]:
        first_of_action = {}
        for _, binding, enabled, tooltip in self.screen.active_bindings.values():
            if binding.show and binding.action not in first_of_action:
                shown = self.app.get_key_display(binding)
                first_of_action[binding.action] = (
                    binding.key,
                    shown,
                    binding.description,
                    binding.action,
                    not enabled,
                    tooltip,
                )
        return list(first_of_action.values())
