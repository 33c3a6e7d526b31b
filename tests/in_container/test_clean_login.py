"""A login volume is emptied."""

from pathlib import Path

from moonmind_appliance.in_container import clean_login


def test_a_staging_volume_is_emptied_of_everything(volume: Path) -> None:
    """A login of an earlier sign-in must not be mistaken for the new one."""
    (volume / ".alive").write_text("1")
    assert clean_login.main({"folder": str(volume), "keep": []}) == 0
    assert list(volume.iterdir()) == []
