"""The sample project of a rehearsal."""

import subprocess
import sys
from pathlib import Path

from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.rehearsal.github.sample_project import SAMPLE_PROJECT
from tests.github.stand_in import SLUG, TOKEN, git
from tests.rehearsal.github.hosted import files


def test_without_a_source_the_sample_project_is_hosted(stand_in: StandInGitHub) -> None:
    """All its files are in one commit."""
    assert files(stand_in, SLUG) == {name: text.strip() for name, text in SAMPLE_PROJECT.items()}
    assert git("rev-list", "--count", "main", folder=stand_in.git_folder(SLUG)) == "1"


def test_the_sample_projects_own_tests_pass(stand_in: StandInGitHub, tmp_path: Path) -> None:
    """The sample is a working project."""
    git("clone", "-q", stand_in.clone_url(SLUG), tmp_path / "clone", token=TOKEN)
    subprocess.run([sys.executable, "-m", "unittest"], cwd=tmp_path / "clone", check=True, capture_output=True)
