"""A new login replaces whatever an agent left under its name."""

from pathlib import Path

import pytest

from moonmind_appliance.in_container import store_login
from tests.in_container.login_volumes import LOGIN, NO_LOGINS, PLANTED, RENEWED, in_place


@pytest.mark.parametrize("made", NO_LOGINS)
def test_a_new_login_replaces_what_has_its_name(volume: Path, made: str) -> None:
    """Only the new login is left, and another agent's login; only their owner can read the new one."""
    in_place(volume, NO_LOGINS[made])
    (volume / "agent.env").write_text("KEY=value")
    (volume / ".new").write_bytes(RENEWED)
    assert store_login.main({"new": str(volume / ".new"), "login": str(volume / "auth.json")}) == 0
    assert {path.name for path in volume.iterdir()} == {"auth.json", "agent.env"}
    assert (volume / "auth.json").read_bytes() == RENEWED
    assert (volume / "auth.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("planted", PLANTED)
def test_storing_a_login_empties_the_volume(volume: Path, planted: str) -> None:
    """Files left next to the login could change what the agent does."""
    PLANTED[planted](volume)
    (volume / ".new").write_bytes(RENEWED)
    assert store_login.main({"new": str(volume / ".new"), "login": str(volume / "auth.json")}) == 0
    assert [path.name for path in volume.iterdir()] == ["auth.json"]


@pytest.mark.parametrize("new", ["absent", "link"])
def test_a_new_login_that_cannot_be_read_changes_nothing(
    volume: Path, capsys: pytest.CaptureFixture[str], new: str
) -> None:
    """The old login stays, and the reason is on standard error."""
    (volume / "link").symlink_to("/etc/passwd")
    assert store_login.main({"new": str(volume / new), "login": str(volume / "auth.json")}) == 1
    assert (volume / "auth.json").read_bytes() == LOGIN
    assert "could not be read" in capsys.readouterr().err
