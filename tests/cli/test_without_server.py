"""The package without its extra `server`: callers over HTTP have all their commands, the others say what is missing."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Makes the given modules unavailable, then calls the program with each line of arguments from stdin.
PROGRAM = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))
from moonmind_appliance.cli import main
for line in sys.stdin:
    try:
        main(line.split())
    except SystemExit as stopped:
        print(f"exit {stopped.code}", file=sys.stderr)
"""


def installed_without_extra() -> set[str]:
    """The distributions that an installation without extras brings."""
    found: set[str] = set()
    open_names = ["moonmind-appliance"]
    while open_names:
        for text in importlib.metadata.requires(open_names.pop()) or []:
            requirement = Requirement(text)
            name = canonicalize_name(requirement.name)
            if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                found.add(name)
                open_names.append(name)
    return found


def server_modules() -> list[str]:
    """The modules of the extra's packages that an installation without it lacks."""
    requirements = [Requirement(text) for text in importlib.metadata.requires("moonmind-appliance") or []]
    server = {canonicalize_name(it.name) for it in requirements if it.marker and "extra" in str(it.marker)}
    missing = server - installed_without_extra()
    return sorted(
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if {canonicalize_name(owner) for owner in owners} <= missing
    )


def call(tmp_path: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    modules = server_modules()
    assert {"docker", "huey", "litestar", "uvicorn", "textual"} <= set(modules)
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *modules],
        input="\n".join(lines),
        env={
            "HOME": str(tmp_path),
            "MOONMIND_DATA_DIR": str(tmp_path / "data"),
            "MOONMIND_SERVER": "http://127.0.0.1:1",
            "MOONMIND_API_TOKEN": "made-up",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_commands_over_http_work(tmp_path: Path) -> None:
    """The commands that speak HTTP, and those about this machine alone, need none of the server's packages."""
    over_http = [
        f"runs submit --repository owner/name --spec {__file__}",
        "runs list",
        *(f"runs {verb} latest" for verb in ("show", "logs", "watch", "artifacts", "cancel", "retry")),
        "shards",
    ]
    local = ["--help", "version", "settings --json", "logout"]
    done = call(tmp_path, *over_http, *local, "login --issuer http://127.0.0.1:1/realms/a", "token show")
    codes = [line for line in done.stderr.splitlines() if line.startswith("exit ")]
    # Nothing answers at that address, and there is no saved login.
    assert codes == ["exit 4"] * len(over_http) + ["exit 0"] * len(local) + ["exit 4", "exit 5"], done.stderr
    assert done.stderr.count("No appliance responds at http://127.0.0.1:1") == len(over_http)


@pytest.mark.parametrize("command", ["serve", "doctor", "rehearse", "purge --list", "login-shard 0", "pause-shard 0"])
def test_other_commands_name_the_extra(tmp_path: Path, command: str) -> None:
    """A command of the appliance's own machine ends with 1 and one line that names the extra to install."""
    done = call(tmp_path, command)
    error, code = done.stderr.splitlines()
    assert error.startswith("error: This command is for the appliance's own machine")
    assert error.endswith("moonmind-appliance[server].")
    assert (code, done.stdout) == ("exit 1", "")
