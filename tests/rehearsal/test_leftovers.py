"""What a killed rehearsal left is removed."""

import subprocess
import sys

import pytest

from tests.rehearsal.rehearsed import leftovers, run_scenario

pytestmark = [pytest.mark.docker, pytest.mark.image]


@pytest.mark.alone
def test_the_next_rehearsal_removes_what_a_killed_one_left():
    """Containers, volumes, network and folder of a rehearsal that was killed are removed when another one starts."""
    command = [sys.executable, "-c", "from moonmind_appliance.cli import main; main()", "rehearse", "--think", "5"]
    before = leftovers()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as killed:
        output = ""
        while "speckit_specify running" not in output:
            line = killed.stdout.readline()
            assert line, output
            output += line
        killed.kill()
    assert leftovers() - before
    run_scenario("normal")
    assert leftovers() - before == set()
