"""The settings' names and sentences, and that a secret is never shown."""

import pytest

from moonmind_appliance.settings import Settings, load, options

TOKEN = "ghp_neverShown0123456789abcdefghijklmnop"
OTHER_FORMS = {"WEBHOOK_SECRET": "whsec_bmV2ZXJTaG93bjAxMjM0NTY3ODlhYmNkZWY="}
SECRETS = [field.upper() for field in Settings.__struct_fields__ if "Secret" in str(Settings.__annotations__[field])]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_shown_only_by_reveal(name: str) -> None:
    """Not in a repr, a format, the settings' repr or the table of `moonmind-appliance settings`."""
    value = OTHER_FORMS.get(name, TOKEN)
    loaded = load({name: value})
    secret = getattr(loaded.settings, name.lower())
    assert secret.reveal() == value
    shown = [repr(secret), str(secret), f"{secret}", repr(loaded.settings), str(loaded), repr(loaded.table())]
    assert not any(value in text for text in shown)
    assert {value.shown for value in loaded.table() if value.name == name} == {"***"}


def test_every_setting_has_a_sentence() -> None:
    """It ends with a full stop, and so does a hint; the name is the field's in capitals."""
    for name, option in options().items():
        assert name == name.upper()
        assert option.sentence.endswith(".")
        assert not option.hint or option.hint.endswith(".")
        assert name.lower() in Settings.__struct_fields__
