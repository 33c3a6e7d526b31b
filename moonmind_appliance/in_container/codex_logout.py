"""Runs inside a container that has the shard's lock: signs Codex out and empties the login volume.

Codex revokes the login at OpenAI. The login file is removed even if OpenAI cannot be reached.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.ca_bundle import trust
from moonmind_appliance.in_container.codex_home import CodexHome
from moonmind_appliance.in_container.login_volume import CODEX_LOGIN, remove_login
from moonmind_appliance.in_container.shared import exit_code


def main(job: dict[str, Any]) -> int:
    """Run `command`, Codex's own; returns its exit code."""
    home, volume = Path(os.environ["HOME"]), Path(os.environ["CODEX_HOME"])
    trust(home)
    with CodexHome(home, volume) as codex_home:
        code = subprocess.run(  # noqa: S603 - Codex, by fixed name
            job["command"], stdin=subprocess.DEVNULL, env=codex_home.environment(), check=False
        ).returncode
    remove_login(volume, CODEX_LOGIN)
    return exit_code(code)
