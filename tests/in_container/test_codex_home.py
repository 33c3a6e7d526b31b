"""Codex never works in the login volume: whatever an agent left there has no effect, and a renewed login is kept."""

import stat
import time
from pathlib import Path

import pytest

from moonmind_appliance.in_container.codex_home import CodexHome
from moonmind_appliance.in_container.login_volume import clean, digest, write_by_rename
from moonmind_appliance.in_container.shared import read_regular
from tests.in_container.login_volumes import LOGIN, NO_LOGINS, PLANTED, RENEWED, in_place


@pytest.mark.parametrize("planted", PLANTED)
def test_files_that_an_agent_left_are_not_in_the_new_home(home: Path, volume: Path, planted: str) -> None:
    """The new CODEX_HOME contains only the login; other files are removed."""
    PLANTED[planted](volume)
    with CodexHome(home, volume) as codex_home:
        assert [path.name for path in codex_home.folder.iterdir()] == ["auth.json"]
        assert codex_home.login.read_bytes() == LOGIN
        assert codex_home.environment()["CODEX_HOME"] == str(codex_home.folder)
        assert stat.S_IMODE(codex_home.folder.stat().st_mode) == 0o700
    clean(volume)
    assert [path.name for path in volume.iterdir()] == ["auth.json"]
    assert (volume / "auth.json").read_bytes() == LOGIN


@pytest.mark.parametrize("made", NO_LOGINS)
def test_an_invalid_login_file_is_not_copied_and_is_replaced(home: Path, volume: Path, made: str) -> None:
    """It is not followed and not waited for, and a login created meanwhile takes its place."""
    in_place(volume, NO_LOGINS[made])
    assert digest(volume / "auth.json") is None
    with CodexHome(home, volume) as codex_home:
        assert list(codex_home.folder.iterdir()) == []
        write_by_rename(codex_home.login, RENEWED)
    assert read_regular(volume / "auth.json", 1000) == RENEWED
    assert Path("/etc/passwd").read_bytes() != RENEWED


def test_a_renewed_login_is_stored_during_the_turn(home: Path, volume: Path) -> None:
    """A turn that is killed afterwards does not lose the new tokens; the old ones are invalid."""
    with CodexHome(home, volume) as codex_home:
        write_by_rename(codex_home.login, RENEWED)
        limit = time.monotonic() + 10
        while (volume / "auth.json").read_bytes() != RENEWED:
            assert time.monotonic() < limit
            time.sleep(0.01)
        codex_home.login.write_bytes(b'{"tokens": {')
    assert (volume / "auth.json").read_bytes() == RENEWED
    assert stat.S_IMODE((volume / "auth.json").stat().st_mode) == 0o600
    assert [path.name for path in volume.iterdir()] == ["auth.json"]


def test_a_login_that_codex_removed_stays_in_the_volume(home: Path, volume: Path) -> None:
    """Only a sign-out removes it, after it has succeeded."""
    with CodexHome(home, volume) as codex_home:
        codex_home.login.unlink()
    assert (volume / "auth.json").read_bytes() == LOGIN
