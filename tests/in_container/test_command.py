"""Each program is sent completely: it needs only Python's standard library, and its job is data."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import pytest

from moonmind_appliance.in_container.command import CANNOT_BEGIN, command, line_for, source_of, waiting

FOLDER = resources.files("moonmind_appliance.in_container")
PROGRAMS = sorted(
    path.name.removesuffix(".py")
    for path in FOLDER.iterdir()
    if path.name.endswith(".py") and "\ndef main(" in path.read_text(encoding="utf-8")
)
# They need a package of the image; their own tests start them there.
NEED_THE_IMAGE = {"login_broker"}
LONGEST_ARGUMENT = 128 * 1024
"""MAX_ARG_STRLEN: the kernel accepts no longer argument (execve(2))."""


def test_every_program_is_checked() -> None:
    """A program is a module with a `main`."""
    assert {"codex_turn", "git_stage", "workspace_size", "workflow_turn"} <= set(PROGRAMS)


@pytest.mark.parametrize("program", sorted({*PROGRAMS} - NEED_THE_IMAGE))
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


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_fits_into_an_argument(program: str) -> None:
    """It is sent as one."""
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


def _waiting(
    folder: Path | str | None, line: bytes | None = None, files: Mapping[str, bytes] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Start a program that waits, and give it a command's line, or another one."""
    shell = ["sh", "-c", 'echo "$GIVEN $(pwd) $(wc -c)"']
    argv = command("codex_logout", {"command": shell})
    given = line_for(argv, {"GIVEN": "a variable"}, None if folder is None else str(folder), files)
    return subprocess.run(
        [sys.executable, *waiting(argv)[1:]],
        input=given if line is None else line,
        env={"HOME": str(folder), "CODEX_HOME": str(folder), "PATH": os.environ["PATH"]},
        cwd="/",
        capture_output=True,
        check=False,
    )


def test_a_waiting_program_gets_its_job_variables_and_folder(tmp_path: Path) -> None:
    """All of them come with the line. Nothing is left on stdin for programs that it starts."""
    done = _waiting(tmp_path)
    assert (done.returncode, done.stdout.decode()) == (0, f"a variable {tmp_path} 0\n")


@pytest.mark.parametrize("line", [b"", b'["{}", {}, null]'])
def test_a_waiting_program_without_a_whole_line_does_nothing(tmp_path: Path, line: bytes) -> None:
    """If its appliance ended, the program ends without output."""
    done = _waiting(tmp_path, line)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_waiting_program_names_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """It ends with the code that Docker gives such a command."""
    done = _waiting(tmp_path / "absent")
    assert (done.returncode, done.stdout) == (CANNOT_BEGIN, b"")
    assert done.stderr.decode() == f"{tmp_path}/absent: No such file or directory\n"


def test_a_waiting_program_writes_the_files_of_its_command(tmp_path: Path) -> None:
    """Any bytes; only their owner can read them. A file that exists is replaced."""
    home, old, new = tmp_path / "home", tmp_path / "old", tmp_path / "\u00fc"
    home.mkdir()
    old.write_text("something longer")
    assert _waiting(home, files={str(old): b"new", str(new): bytes(range(256))}).returncode == 0
    assert old.read_bytes() == b"new"
    assert new.read_bytes() == bytes(range(256))
    assert stat.S_IMODE(new.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe", "folder"])
def test_a_waiting_program_replaces_what_is_not_a_file(tmp_path: Path, kind: str) -> None:
    """An agent may have left it. Nothing is written through a link, and no pipe is waited for."""
    home, path, other = tmp_path / "home", tmp_path / "file", tmp_path / "other"
    home.mkdir()
    other.write_text("stays")
    match kind:
        case "link":
            path.symlink_to(other)
        case "link to nothing":
            path.symlink_to(tmp_path / "absent" / "file")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            (path / "full").mkdir(parents=True)
    assert _waiting(home, files={str(path): b"new"}).returncode == 0
    assert (path.is_symlink(), path.read_bytes(), other.read_text()) == (False, b"new", "stays")


def test_a_waiting_program_names_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """It does not begin, and ends as without its folder."""
    done = _waiting(tmp_path, files={f"{tmp_path}/absent/file": b""})
    assert (done.returncode, done.stdout) == (CANNOT_BEGIN, b"")
    assert done.stderr.decode().startswith(f"{tmp_path}/absent/file.")
    assert done.stderr.decode().endswith(": No such file or directory\n")
