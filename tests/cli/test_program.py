"""Common to all commands: help, errors as one line, exit codes."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from moonmind_appliance.cli import program
from moonmind_appliance.cli.command import Command, Lazy
from moonmind_appliance.cli.exits import Exit
from moonmind_appliance.errors import (
    NotFound,
)
from moonmind_appliance.version import appliance_version
from tests.cli.terminal import ROOT, Called, Terminal

SECRET = "ghp_" + "Ab1" * 12


@click.command(cls=Command)
@click.argument("how")
@click.pass_obj
def fails(_: object, how: str) -> None:
    """Fail in the given way."""
    if how == "known":
        raise NotFound("There is no such thing.", hint="Look elsewhere.")
    raise RuntimeError(f"the pipe burst near {SECRET}\x1b[2J")


@pytest.fixture
def failing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal whose program has one more command."""
    monkeypatch.setitem(program.main.lazy, "fails", Lazy(f"{__name__}:fails", "Fail in a way."))
    monkeypatch.setattr(program.main, "get_command", lambda _context, name: fails if name == "fails" else None)
    return terminal


def only_line(called: Called) -> str:
    assert called.stdout == ""
    (line,) = called.stderr.splitlines()
    return line


@pytest.mark.parametrize("start", ["import runpy; runpy.run_module(NAME)", "from moonmind_appliance.cli import main"])
def test_ctrl_c_during_the_imports_shows_no_traceback(start: str) -> None:
    """Both with `python -m` and with the installed command; the exit code is that of every other Ctrl-C."""
    stop = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(name, path, target=None):\n"
        "        if name == 'click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop)\n"
    )
    code = stop + start.replace("NAME", "'moonmind_appliance.cli'")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (Exit.INTERRUPTED, "", "\nerror: stopped\n")


@pytest.mark.parametrize("group", [[], ["runs"], ["token"], ["-v"], ["runs", "--json"]])
def test_a_group_without_a_command_prints_its_help(terminal: Terminal, group: list[str]) -> None:
    """To stdout, as with --help, and without an error."""
    called = terminal.call(*group)
    assert called == terminal.call(*group, "--help")
    assert (called.code, called.stderr) == (Exit.OK, "")
    assert "Commands:" in called.stdout


def test_the_version_is_one_line(terminal: Terminal) -> None:
    """`--version` reads no settings."""
    called = terminal.call("--version", MOONMIND_PORT="none")
    assert (called.code, called.stdout) == (Exit.OK, f"moonmind-appliance {appliance_version()}\n")


@pytest.mark.parametrize(
    "words", [["-v", "--json", "settings"], ["settings", "-v", "--json"], ["--json", "settings", "-v"]]
)
def test_common_options_are_taken_before_and_after_the_command(terminal: Terminal, words: list[str]) -> None:
    """The output is the same."""
    called = terminal.call(*words)
    assert called.json[0]["name"] == "MOONMIND_DATA_DIR"
    assert called.stderr.startswith("settings from ")


def test_the_last_of_two_equal_options_counts(terminal: Terminal, tmp_path: Path) -> None:
    """The one after the command's name is nearer to it."""
    for name in ("first", "second"):
        (tmp_path / name).write_text(f"CODEX_MODEL={name}\n", encoding="utf-8")
    words = ["--env-file", str(tmp_path / "first"), "settings", "--json", "--env-file", str(tmp_path / "second")]
    assert {row["value"] for row in terminal.call(*words).json if row["name"] == "CODEX_MODEL"} == {"second"}


def test_an_option_that_the_command_lacks_is_refused_before_its_name(terminal: Terminal) -> None:
    """`serve` writes no JSON to stdout."""
    before, after = terminal.call("--json", "serve"), terminal.call("serve", "--json")
    assert (before, before.code) == (after, Exit.USAGE)
    assert before.stderr.startswith("error: No such option '--json'.")


def test_help_names_every_command_and_exit_code(terminal: Terminal) -> None:
    """Also with -h."""
    called = terminal.call("-h")
    assert called.code == 0
    assert [name for name in program.COMMANDS if f"  {name} " not in called.stdout] == []
    assert "130  stopped with Ctrl-C" in called.stdout


def test_a_known_error_is_one_line(failing: Terminal) -> None:
    """The line says what, where and what to do; the exit code shows the kind."""
    called = failing.call("fails", "known")
    assert only_line(called) == "error: There is no such thing. Look elsewhere."
    assert called.code == Exit.NOT_FOUND


def test_an_unexpected_error_is_one_line_without_trace_secret_or_escape(failing: Terminal) -> None:
    """A defect is reported as such, with how to get its trace."""
    called = failing.call("fails", "badly")
    line = only_line(called)
    assert line.startswith("error: unexpected RuntimeError: the pipe burst near [redacted:GitHub token]")
    assert "--debug" in line
    assert "\x1b" not in line
    assert called.code == Exit.FAILED


def test_debug_shows_the_trace_and_still_no_secret(failing: Terminal) -> None:
    """The trace helps to fix the defect."""
    called = failing.call("fails", "badly", "--debug")
    assert "Traceback (most recent call last)" in called.stderr
    assert SECRET not in called.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tokn"], "Unknown command 'tokn'. Did you mean token?"),
        (["runs", "sumbit"], "Unknown command 'sumbit'. Did you mean submit?"),
        (["runs", "submit"], "Missing option '--repository'."),
        (["login-shard", "one"], "'one' is not a valid integer"),
        (["runs", "list", "--stauts", "failed"], "No such option '--stauts'"),
    ],
)
def test_a_command_line_that_cannot_be_used_ends_with_2(terminal: Terminal, words: list[str], told: str) -> None:
    """The error names the problem and the help."""
    called = terminal.call(*words)
    assert called.code == Exit.USAGE
    assert called.stderr.startswith("error: ")
    assert told in called.stderr
    assert "--help`." in called.stderr
