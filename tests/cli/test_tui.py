"""`tui`: refused without a terminal, and imported by no other command."""

import subprocess
import sys

import pytest

from moonmind_appliance.cli.exits import Exit
from moonmind_appliance.cli.program import COMMANDS
from tests.cli.terminal import ROOT, Terminal


def test_without_a_terminal_it_names_the_alternative(terminal: Terminal) -> None:
    """The error is one line, and the data folder is not created."""
    called = terminal.call("tui")
    assert called.code == Exit.USAGE
    (line,) = called.stderr.splitlines()
    assert line.startswith("error: The terminal interface needs a terminal")
    assert "moonmind-appliance runs" in line
    assert not terminal.data_dir.exists()


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "tui"])
def test_no_other_command_imports_it(name: str) -> None:
    """Importing Textual takes a fifth of a second."""
    module = COMMANDS[name].where.partition(":")[0]
    code = (
        f"import sys, {module}; print([name for name in sys.modules if name.partition('.')[0] in ('tui', 'textual')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
