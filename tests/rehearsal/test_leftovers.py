"""What a killed rehearsal left is removed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from moonmind_appliance.rehearsal.leftovers import remove_abandoned_environments
from tests.containers.fake import FakeEngine
from tests.rehearsal.rehearsed import appliances_of, leftovers, run_scenario

pytestmark = [pytest.mark.docker, pytest.mark.image]


def test_the_next_rehearsal_removes_what_a_killed_one_left(tmp_path, monkeypatch):
    """Containers, volumes, network and folder of a rehearsal that was killed are removed when another one starts."""
    command = [sys.executable, "-c", "from moonmind_appliance.cli import main; main()", "rehearse", "--think", "5"]
    # A folder for temporary files that only these two have: any other rehearsal would remove the leftovers, too.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as killed:
        output = ""
        while "speckit_specify running" not in output:
            line = killed.stdout.readline()
            assert line, output
            output += line
        killed.kill()
    (folder,) = tmp_path.glob("moonmind-rehearsal-*")
    environment_id = folder.name.split("-")[2]
    appliances = appliances_of(environment_id)
    assert len(appliances) == 1
    # At least a container, three volumes and a network.
    assert len(leftovers([environment_id], appliances)) >= 5
    run_scenario("normal")
    assert leftovers([environment_id], appliances) == set()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_rehearsal_removes_meanwhile_is_skipped(tmp_path, monkeypatch):
    """It was there when the folders were listed, and is gone when it is examined."""
    gone = tmp_path / "moonmind-rehearsal-0123abcd-gone"
    monkeypatch.setattr(Path, "glob", lambda *_: iter([gone]))
    assert remove_abandoned_environments(FakeEngine()) == []
