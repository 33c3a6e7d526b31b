"""Codex is signed out, and its login is removed."""

import json
import os
import subprocess
import sys
from pathlib import Path

from moonmind_appliance.in_container.command import command

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
