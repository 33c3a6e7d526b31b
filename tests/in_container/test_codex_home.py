"""Codex never works in the login volume: whatever an agent left there has no effect, and a renewed login is kept."""

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moonmind_appliance.in_container.codex_home import CodexHome
from moonmind_appliance.in_container.command import command
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


STAND_IN = """#!/usr/bin/env python3
import json, os, pathlib, sys
home = pathlib.Path(os.environ["CODEX_HOME"])
print(json.dumps({"files": sorted(p.name for p in home.iterdir()), "arguments": sys.argv[1:]}), flush=True)
(home / "auth.json").unlink(missing_ok=True)
"""


def test_a_sign_out_works_in_an_empty_home_and_empties_the_volume(home: Path, volume: Path, tmp_path: Path) -> None:
    """Codex gets only the login; afterwards it is removed, and another agent's login is kept."""
    (tmp_path / "codex").write_text(STAND_IN)
    (tmp_path / "codex").chmod(0o755)
    (volume / "config.toml").write_text("x")
    (volume / "agent.env").write_text("KEY=value")
    program = command("codex_logout", {"command": [str(tmp_path / "codex"), "logout"]})
    done = subprocess.run(
        [sys.executable, *program[1:]],
        env={"HOME": str(home), "CODEX_HOME": str(volume), "PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"files": ["auth.json"], "arguments": ["logout"]}
    assert [path.name for path in volume.iterdir()] == ["agent.env"]
