"""One turn of Codex with one visible skill."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from moonmind_appliance.in_container.codex_turn import NO_SKILL, disabled_skills, skill_files
from tests.in_container.sent import run_program

OWN = ".agents/skills/speckit-plan"
STAND_IN = """#!/usr/bin/env python3
import json, sys
print(json.dumps({"arguments": sys.argv[1:], "prompt": sys.stdin.read()}))
sys.exit(7)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the phase's own skill, and others."""
    for place in (OWN, ".agents/skills/other", ".codex/skills/a/b/deep", "elsewhere/unused"):
        (tmp_path / "repo" / place).mkdir(parents=True)
        (tmp_path / "repo" / place / "SKILL.md").write_text("---\n")
    return tmp_path / "repo"


def paths(config: str) -> list[str]:
    return [json.loads(part.partition(",enabled=false}")[0]) for part in config.split("{path=")[1:]]


def test_every_other_skill_is_disabled(repository: Path, home: Path) -> None:
    """Those in the folders in which Codex searches, at any depth."""
    config = disabled_skills(repository, repository / OWN / "SKILL.md", [home])
    assert {Path(path).parent.name for path in paths(config)} == {"other", "deep"}


def test_a_link_is_disabled_by_both_of_its_paths(repository: Path, home: Path, tmp_path: Path) -> None:
    """A loop of links ends the search; quotes in a name are escaped."""
    outside = tmp_path / 'out"side'
    outside.mkdir()
    (outside / "SKILL.md").write_text("---\n")
    (outside / "loop").symlink_to(outside)
    skills = home / ".codex/skills"
    skills.mkdir(parents=True)
    (skills / "link").symlink_to(outside)
    found = paths(disabled_skills(repository, repository / OWN / "SKILL.md", [home]))
    assert {str(skills / "link/SKILL.md"), str(outside / "SKILL.md")} <= set(found)


def test_the_search_for_skills_has_a_depth(tmp_path: Path) -> None:
    """A hostile tree of folders does not stop the turn."""
    deep = tmp_path.joinpath(*["d"] * 20)
    deep.mkdir(parents=True)
    (deep / "SKILL.md").write_text("---\n")
    assert list(skill_files(tmp_path)) == []


def turn(
    repository: Path, home: Path, volume: Path, skill: str = OWN, login: Path | None = None
) -> tuple[int, list[str], str]:
    """The exit code, the lines on standard output, and standard error."""
    # The program runs as another user, and pytest's folders are closed to others.
    for parent in repository.parents:
        if "pytest" in str(parent):
            parent.chmod(0o755)
    program = home / "codex"
    program.write_text(STAND_IN)
    for path in (home, volume, home.parent, repository, program, volume / "auth.json"):
        path.chmod(0o777)
    for path in (home, volume, volume / "auth.json"):
        os.chown(path, *((1000, 1000) if os.geteuid() == 0 else (-1, -1)))
    done = run_program(
        "codex_turn",
        {
            "repository": str(repository),
            "skill": skill,
            "prompt": "$speckit-plan",
            "command": [str(program), "exec", "--json"],
            "feature": "specs/001-a",
            "report": ["README.md"],
            "login": login and str(login),
        },
        env={"HOME": str(home), "CODEX_HOME": str(volume), "PATH": os.environ["PATH"]},
    )
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode()


def test_codex_gets_the_prompt_and_the_report_follows(repository: Path, home: Path, volume: Path) -> None:
    """The exit code is Codex's."""
    (repository / "README.md").write_text("hello")
    code, lines, _ = turn(repository, home, volume)
    said = json.loads(lines[0])
    assert code == 7
    assert said["prompt"] == "$speckit-plan"
    assert said["arguments"][:2] == ["exec", "-c"]
    assert said["arguments"][2].startswith("skills.config=[{path=")
    report = json.loads(lines[-1])
    assert (report["type"], report["files"]) == ("moonmind.report", {"README.md": "hello"})


def test_the_login_of_a_broker_replaces_the_one_in_the_folder(repository: Path, home: Path, volume: Path) -> None:
    """The agent container with a login broker has no login volume: the first turn writes the file into the folder."""
    # Its folder belongs to the container's user, as the workspace does.
    login, content = home / "brokered-login.json", '{"tokens": "of the broker"}'
    login.write_text(content)
    login.chmod(0o644)
    code, lines, _ = turn(repository, home, volume, login=login)
    assert code == 7
    assert json.loads(lines[-1])["login_digest"] == hashlib.sha256(content.encode()).hexdigest()
    assert (volume / "auth.json").read_text() == content


def test_a_missing_skill_has_its_own_exit_code(repository: Path, home: Path, volume: Path) -> None:
    """Codex is not started."""
    code, lines, stderr = turn(repository, home, volume, ".agents/skills/absent")
    assert (code, lines) == (NO_SKILL, [])
    assert ".agents/skills/absent is not in the repository" in stderr
