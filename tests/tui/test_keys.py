"""The table of keys."""

from tui.keys import KEYS, Where, bindings, blocked_while_typing


def test_no_key_has_two_meanings_on_one_screen():
    """Including the keys that work everywhere."""
    for where, keys in KEYS.items():
        used = [name for key in keys for name in key.keys.split(",")]
        assert len(used) == len(set(used)), where
    for where in (Where.RUNS, Where.RUN, Where.SHARDS, Where.CHECKS):
        own = {name: key.action.removeprefix("app.") for key in KEYS[where] for name in key.keys.split(",")}
        everywhere = {name: key.action for key in KEYS[Where.EVERYWHERE] for name in key.keys.split(",")}
        assert {name for name in own.keys() & everywhere.keys() if own[name] != everywhere[name]} == set()
    both = [name for where in (Where.RUN, Where.LOG) for key in KEYS[where] for name in key.keys.split(",")]
    assert len(both) == len(set(both))


def test_every_key_is_explained():
    """With a sentence; each binding has an id."""
    for where, keys in KEYS.items():
        assert all(key.help.endswith(".") for key in keys)
        assert len({binding.id for binding in bindings(where)}) == len(keys)


def test_letters_are_blocked_while_typing_and_others_are_not():
    """A filter can contain an x."""
    assert blocked_while_typing(Where.RUNS, "cancel_run")
    assert not blocked_while_typing(Where.RUNS, "clear")
    assert not blocked_while_typing(Where.EVERYWHERE, "help")
