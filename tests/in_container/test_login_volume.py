"""A login is stored and removed whatever an agent left in its volume."""

from pathlib import Path

import pytest

from moonmind_appliance.in_container import clean_login, login_volume, remove_login, store_login
from moonmind_appliance.in_container.login_volume import clean
from tests.in_container.login_volumes import LOGIN, NO_LOGINS, PLANTED, RENEWED, full_folder, in_place


@pytest.mark.parametrize("made", [name for name in NO_LOGINS if name != "a file that is too large"])
def test_only_regular_files_of_that_name_survive(volume: Path, made: str) -> None:
    """A folder, a link or a pipe of the login's name goes like everything else."""
    in_place(volume, NO_LOGINS[made])
    (volume / "agent.env").write_text("KEY=value")
    clean(volume)
    assert [path.name for path in volume.iterdir()] == ["agent.env"]


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
    """What was left beside the login could change what the agent does."""
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


def test_a_staging_volume_is_emptied_of_everything(volume: Path) -> None:
    """A login of an earlier sign-in must not be mistaken for the new one."""
    (volume / ".alive").write_text("1")
    assert clean_login.main({"folder": str(volume), "keep": []}) == 0
    assert list(volume.iterdir()) == []
