"""A login is stored and removed whatever an agent left in its volume."""

import os
from pathlib import Path

import pytest

from moonmind_appliance.in_container.login_volume import LOGIN_FILE_LIMIT, clean, place_login
from tests.in_container.login_volumes import NO_LOGINS, in_place


@pytest.mark.parametrize("made", [name for name in NO_LOGINS if name != "a file that is too large"])
def test_only_regular_files_of_that_name_survive(volume: Path, made: str) -> None:
    """A folder, a link or a pipe with the login's name is removed like everything else."""
    in_place(volume, NO_LOGINS[made])
    (volume / "agent.env").write_text("KEY=value")
    clean(volume)
    assert [path.name for path in volume.iterdir()] == ["agent.env"]


def test_a_brokers_login_is_moved_into_a_new_folder(tmp_path: Path) -> None:
    """Only its owner can read it; a later one replaces it. Nothing of it stays in the volume that is kept."""
    login, folder = tmp_path / "login.json", tmp_path / ".codex"
    for content in ("first", "second"):
        login.write_text(content)
        place_login(folder, login)
        assert (folder / "auth.json").read_text() == content
        assert not login.exists()
        place_login(folder, login)
        assert (folder / "auth.json").read_text() == content
    assert (folder / "auth.json").stat().st_mode & 0o777 == 0o600


def test_what_an_agent_put_in_its_place_is_not_read(tmp_path: Path) -> None:
    """A pipe would block the turn, and a large file fill the memory."""
    login, folder = tmp_path / "login.json", tmp_path / ".codex"
    for make in (
        lambda: os.mkfifo(login),
        login.mkdir,
        lambda: login.write_bytes(b"x" * (LOGIN_FILE_LIMIT + 1)),
        lambda: None,
    ):
        make()
        place_login(folder, login)
        assert list(folder.iterdir()) == []
        if login.is_dir():
            login.rmdir()
        else:
            login.unlink(missing_ok=True)
