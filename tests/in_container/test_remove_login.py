"""A login is removed whatever an agent left under its name."""

from pathlib import Path

import pytest

from moonmind_appliance.in_container import login_volume, remove_login
from tests.in_container.login_volumes import NO_LOGINS, full_folder, in_place


@pytest.mark.parametrize("made", NO_LOGINS)
def test_nothing_has_the_logins_name_after_its_removal(volume: Path, made: str) -> None:
    """Another agent's login stays."""
    in_place(volume, NO_LOGINS[made])
    (volume / "agent.env").write_text("KEY=value")
    assert remove_login.main({"folder": str(volume), "name": "auth.json"}) == 0
    assert [path.name for path in volume.iterdir()] == ["agent.env"]


def test_a_folder_that_is_not_emptied_in_time_loses_the_logins_name(
    volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is renamed, so that the shard has no login afterwards."""
    in_place(volume, full_folder)
    monkeypatch.setattr(login_volume, "clean", lambda _, keep: None)
    remove_login.main({"folder": str(volume), "name": "auth.json"})
    (left,) = volume.iterdir()
    assert left.name.startswith(".auth.json.")
