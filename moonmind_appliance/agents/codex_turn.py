"""Runs inside the agent container: starts one Codex turn with one skill visible, and reports its rollout.

Standard library only, sent as `python3 -I -S -c`. Arguments: repository, the phase's skill folder, prompt file, then
Codex's own command. Exit code: Codex's; 64 when the skill is not there.

Codex finds skills in `.agents/skills` and `.codex/skills` of the repository, of the home and of its own folder, to six
levels deep and through links, and starts every one that the prompt names with `$`. A prompt that carries a
submitter's text must not choose skills: each but the phase's own is disabled by path (seen to hold on 0.169.0 for any
name, also ones that TOML would trip over).
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NO_SKILL = 64
DEEPEST = 12
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def skill_files(root: Path) -> Iterator[Path]:
    """Every SKILL.md below a root, through links, loops broken."""
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
    """The value of `skills.config`: every skill file but `own`, by its path and its real path."""
    roots = [base / sub for base in (repository, *homes) for sub in (".agents/skills", ".codex/skills", "skills")]
    paths = []
    for root in dict.fromkeys(roots):
        for found in skill_files(root):
            for path in dict.fromkeys((str(found), os.path.realpath(found))):
                if path not in (str(own), os.path.realpath(own)) and path not in paths:
                    paths.append(path)
    # JSON strings of ASCII are TOML basic strings.
    return "[" + ",".join(f"{{path={json.dumps(path)},enabled=false}}" for path in paths) + "]"


def freshen(home: Path, login_folder: Path, extra_ca: Path) -> None:
    """Once a container: forget what an earlier run's agent left beside the login, and make the CA bundle."""
    marker = home / ".fresh"
    if marker.exists():
        return
    for entry in login_folder.iterdir():
        if entry.name == "auth.json":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    if extra_ca.is_file():
        (home / "ca.pem").write_bytes(SYSTEM_BUNDLE.read_bytes() + b"\n" + extra_ca.read_bytes())
    marker.touch()


def rollout_report(login_folder: Path) -> dict[str, object]:
    """What only the newest rollout file knows: the error's machine code and the usage windows."""
    files = sorted(login_folder.glob("sessions/*/*/*/rollout-*.jsonl"), key=lambda path: path.stat().st_mtime)
    report: dict[str, object] = {"type": "moonmind.rollout"}
    if not files:
        return report
    with files[-1].open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if "rate_limits" not in line and "codex_error_info" not in line:
                continue
            try:
                payload = json.loads(line).get("payload") or {}
            except (ValueError, AttributeError):
                continue
            if isinstance(payload, dict):
                if payload.get("rate_limits"):
                    report["rate_limits"] = payload["rate_limits"]
                error = payload.get("error")
                if isinstance(error, dict) and error.get("codex_error_info"):
                    report["codex_error_info"] = error["codex_error_info"]
                elif payload.get("codex_error_info"):
                    report["codex_error_info"] = payload["codex_error_info"]
    return report


def main(arguments: list[str]) -> int:
    """Run the turn."""
    repository, skill, prompt, *command = arguments
    home = Path(os.environ["HOME"])
    login_folder = Path(os.environ["CODEX_HOME"])
    freshen(home, login_folder, Path(os.environ.get("MOONMIND_EXTRA_CA", "/nonexistent")))
    own = Path(repository) / skill / "SKILL.md"
    if not own.is_file():
        sys.stderr.write(f"The skill {skill} is not in the repository.\n")
        return NO_SKILL
    config = disabled_skills(Path(repository), own, [home, login_folder])
    command[2:2] = ["-c", f"skills.config={config}"]
    with Path(prompt).open("rb") as text:
        code = subprocess.run(command, stdin=text, check=False).returncode  # noqa: S603 - Codex, by fixed name
    sys.stdout.write("\n" + json.dumps(rollout_report(login_folder)) + "\n")
    sys.stdout.flush()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
