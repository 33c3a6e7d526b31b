"""Runs inside the agent container: one Spec Kit command through `specify workflow run`, with any agent.

A report line follows the agent's own output. Exit code: Spec Kit's; `NO_INTEGRATION` if the integration could not be
set up.

The integration's files are in the repository only during the turn: they do not belong in the pull request.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from moonmind_appliance.in_container.feature_folder import feature_variables
from moonmind_appliance.in_container.feature_turn import FeatureTurn
from moonmind_appliance.in_container.login_volume import VARIABLES_LOGIN, prepare
from moonmind_appliance.in_container.shared import exit_code
from moonmind_appliance.in_container.turn_report import read_text, report

NO_INTEGRATION = 65
RUNS = ".specify/workflows/runs"


def login_variables(stored: str) -> dict[str, str]:
    """Parse the stored login: one NAME=value per line; other lines are ignored."""
    pairs = [line.partition("=") for line in stored.splitlines()]
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip().isidentifier() and value.strip()}


def files_of(repository: Path) -> set[Path]:
    """Every file of the worktree, including links, without Git's own."""
    found = set()
    for folder, folders, files in os.walk(repository):
        if Path(folder) == repository and ".git" in folders:
            folders.remove(".git")
        found |= {Path(folder) / name for name in files}
    return found


class Installed:
    """Installs the integration's files during a `with` block; the file `record` lists them for the next turn."""

    def __init__(self, repository: Path, integration: str, record: Path) -> None:
        self.repository = repository
        self.record = record
        self.integration = integration
        self.before: set[Path] = set()
        self.kept: dict[Path, bytes] = {}
        self.added: set[Path] = set()
        self.problem = ""

    def __enter__(self) -> Self:
        self.before = files_of(self.repository) - self.left_by_an_interrupted_turn()
        own = [path for path in self.before if ".specify" in path.relative_to(self.repository).parts]
        self.kept = {path: path.read_bytes() for path in own if path.is_file() and not path.is_symlink()}
        command = ["specify", "integration", "install", self.integration, "--script", "sh"]
        done = subprocess.run(  # noqa: S603 - Spec Kit, by fixed name
            command, cwd=self.repository, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        self.added = files_of(self.repository) - self.before
        self.record.write_text(json.dumps([str(path) for path in self.added]), encoding="utf-8")
        if done.returncode != 0 and "already installed" not in done.stdout + done.stderr:
            self.problem = (done.stderr + done.stdout).strip()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.repository / RUNS, ignore_errors=True)
        for path in self.added:
            path.unlink(missing_ok=True)
        for folder in sorted({parent for path in self.added for parent in path.parents}, reverse=True):
            if folder.is_relative_to(self.repository) and folder != self.repository and folder.is_dir():
                self.remove_empty(folder)
        feature = self.repository / ".specify/feature.json"
        for path, content in self.kept.items():
            if path != feature and path.is_file() and not path.is_symlink() and path.read_bytes() != content:
                path.write_bytes(content)

    def left_by_an_interrupted_turn(self) -> set[Path]:
        """Files that an interrupted earlier turn installed and did not remove."""
        try:
            return {Path(name) for name in json.loads(self.record.read_text(encoding="utf-8"))}
        except (OSError, ValueError):
            return set()

    @staticmethod
    def remove_empty(folder: Path) -> None:
        """Remove a folder that the installation created, unless the agent added files to it."""
        if not any(folder.iterdir()):
            folder.rmdir()


def main(job: dict[str, Any]) -> int:
    """Run the turn.

    The job contains `repository`, `integration`, `workflow` (the file), `login_folder`, `feature` (its folder; None if
    this turn writes it) and `report` (files to report at the end).
    """
    repository, login = Path(job["repository"]), Path(job["login_folder"]) / VARIABLES_LOGIN
    prepare(Path(os.environ["HOME"]), login.parent)
    record = Path(job["workflow"]).with_name("installed.json")
    with Installed(repository, job["integration"], record) as installed:
        if installed.problem:
            sys.stderr.write(f"Spec Kit cannot set up {job['integration']}: {installed.problem}\n")
            return NO_INTEGRATION
        variables = feature_variables(job["feature"]) if job["feature"] else {}
        with FeatureTurn(repository, job["feature"]) as feature:
            code = subprocess.run(  # noqa: S603 - Spec Kit, by fixed name
                ["specify", "workflow", "run", job["workflow"], "--json"],  # noqa: S607 - on the image's path
                cwd=repository,
                env={**os.environ, **variables, **login_variables(read_text(login) or "")},
                stdin=subprocess.DEVNULL,
                check=False,
            ).returncode
        report(repository, login, job["report"], {}, feature=feature.directory, feature_problem=feature.problem)
    return exit_code(code)
