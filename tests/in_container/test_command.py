"""Each program is sent completely: it needs only Python's standard library, and its job is data."""

import re
import subprocess
import sys
from importlib import resources

import pytest

from moonmind_appliance.in_container.command import command, source_of

FOLDER = resources.files("moonmind_appliance.in_container")
PROGRAMS = sorted(
    path.name.removesuffix(".py")
    for path in FOLDER.iterdir()
    if path.name.endswith(".py") and "\ndef main(" in path.read_text(encoding="utf-8")
)
LONGEST_ARGUMENT = 128 * 1024
"""MAX_ARG_STRLEN: the kernel accepts no longer argument (execve(2))."""


def test_every_program_is_checked() -> None:
    """A program is a module with a `main`."""
    assert {"codex_turn", "git_stage", "workspace_size", "workflow_turn"} <= set(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_needs_only_the_standard_library(program: str) -> None:
    """Isolated, without site packages, in an empty folder: everything is imported before the job is read."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", source_of(program), program, "no JSON"],
        cwd="/",
        env={},
        capture_output=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1].startswith(b"json.decoder.JSONDecodeError")
    assert len(source_of(program)) < LONGEST_ARGUMENT


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_brings_what_it_imports_and_no_more(program: str) -> None:
    """Each module once, after those that it imports."""
    sent = re.findall(r"\('moonmind_appliance\.in_container\.(\w+)', ", source_of(program))
    assert (len(sent), sent[-1]) == (len(set(sent)), program)
    assert "command" not in sent


def test_a_job_reaches_the_program_as_it_is() -> None:
    """Quotes, line breaks and other scripts are data."""
    job = {"extra_ca": "/nonexistent/'\"\n$(id)`é\ud800", "bundle": "/nonexistent"}
    python, *arguments = command("ca_bundle", job)
    assert python == "python3"
    assert subprocess.run([sys.executable, *arguments], check=False).returncode == 0


def test_a_time_limit_ends_the_program_from_outside() -> None:
    """`timeout` sends SIGKILL to a program that ignores the first signal."""
    assert command("workspace_size", {}, time_limit=60.0)[:4] == ["timeout", "--kill-after=5", "60.0", "python3"]
