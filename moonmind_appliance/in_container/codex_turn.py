"""Runs inside the agent container: starts one Codex turn with one skill visible, and reports its rollout.

A report line follows Codex's own lines. Exit code: Codex's; `NO_SKILL` if the skill is missing.

Codex finds skills in `.agents/skills` and `.codex/skills` of the repository, of the home and of its own folder, up to
six levels deep and through links, and starts every skill that the prompt names with `$`. A prompt with a submitter's
text must not choose skills: all except the phase's own are disabled by path (verified on 0.169.0 for any name,
including names that need escaping in TOML).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.codex_home import CodexHome
from moonmind_appliance.in_container.codex_rollout import rollout_report
from moonmind_appliance.in_container.feature_turn import FeatureTurn
from moonmind_appliance.in_container.login_volume import CODEX_LOGIN, place_login, prepare
from moonmind_appliance.in_container.shared import exit_code
from moonmind_appliance.in_container.turn_report import report

NO_SKILL = 64
DEEPEST = 12


def skill_files(root: Path) -> Iterator[Path]:
    """Every SKILL.md below a root, through links; link loops are detected."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        depth = len(Path(folder).relative_to(root).parts)
        if real in seen or depth > DEEPEST:
            folders.clear()
            continue
        seen.add(real)
        if "SKILL.md" in files:
            yield Path(folder) / "SKILL.md"


def disabled_skills(repository: Path, own: Path, homes: list[Path]) -> str:
    """The value of `skills.config`: every skill file except `own`, by its path and its real path."""
    roots = [base / sub for base in (repository, *homes) for sub in (".agents/skills", ".codex/skills", "skills")]
    paths = []
    for root in dict.fromkeys(roots):
        for found in skill_files(root):
            for path in dict.fromkeys((str(found), os.path.realpath(found))):
                if path not in (str(own), os.path.realpath(own)) and path not in paths:
                    paths.append(path)
    # JSON strings of ASCII are TOML basic strings.
    return "[" + ",".join(f"{{path={json.dumps(path)},enabled=false}}" for path in paths) + "]"


def main(job: dict[str, Any]) -> int:
    """Run the turn.

    The job contains `repository`, `skill` (the phase's skill folder), `prompt` or `prompt_file`, `command` (Codex's
    own), `feature` (its folder; None if this turn writes it), `report` (files to report at the end) and `login` (the
    login file of a run whose login broker has the real one; None if the login is in CODEX_HOME).
    """
    repository, command = Path(job["repository"]), job["command"]
    home, login_folder = Path(os.environ["HOME"]), Path(os.environ["CODEX_HOME"])
    if job["login"]:
        place_login(login_folder, Path(job["login"]))
    prepare(home, login_folder)
    own = repository / job["skill"] / "SKILL.md"
    if not own.is_file():
        sys.stderr.write(f"The skill {job['skill']} is not in the repository.\n")
        return NO_SKILL
    began = time.time()
    with CodexHome(home, login_folder) as codex_home:
        config = disabled_skills(repository, own, [home, codex_home.folder])
        command[2:2] = ["-c", f"skills.config={config}"]
        prompt = Path(job["prompt_file"]).read_bytes() if job.get("prompt_file") else job["prompt"].encode()
        with FeatureTurn(repository, job["feature"]) as feature:
            code = subprocess.run(  # noqa: S603 - Codex, by fixed name
                command, input=prompt, env=codex_home.environment(), check=False
            ).returncode
        rollout = rollout_report(codex_home.folder, began)
    login = login_folder / CODEX_LOGIN
    report(repository, login, job["report"], rollout, feature=feature.directory, feature_problem=feature.problem)
    return exit_code(code)
