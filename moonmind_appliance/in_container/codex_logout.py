"""Runs inside a container that has the shard's lock: signs Codex out and empties the login volume.

Standard library only, sent together with `codex_home` as `python3 -I -S -c`. Arguments: the command of `codex logout`,
which revokes the login at OpenAI. The login file is removed even if OpenAI cannot be reached.
"""

import os
import subprocess
import sys
from pathlib import Path

from moonmind_appliance.in_container.codex_home import CODEX_LOGIN, LOGIN_FILES, CodexHome, clean, trust


def main(command: list[str]) -> int:
    """Sign out; returns Codex's exit code."""
    home, volume = Path(os.environ["HOME"]), Path(os.environ["CODEX_HOME"])
    trust(home, Path(os.environ.get("MOONMIND_EXTRA_CA", "/nonexistent")))
    with CodexHome(home, volume) as codex_home:
        code = subprocess.run(  # noqa: S603 - Codex, by fixed name
            command, stdin=subprocess.DEVNULL, env=codex_home.environment(), check=False
        ).returncode
    clean(volume, keep=tuple(name for name in LOGIN_FILES if name != CODEX_LOGIN))
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
