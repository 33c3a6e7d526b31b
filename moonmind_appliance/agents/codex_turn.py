"""Runs inside the agent container: starts one Codex turn with one skill visible, and reports its rollout.

Standard library only, sent as `python3 -I -S -c`. MOONMIND_TURN holds one JSON object: `repository`, `skill` (the
phase's skill folder), `prompt` or `prompt_file`, `command` (Codex's own) and `report` (files to tell of at the end).
Behind Codex's own lines comes one of type `moonmind.report`. Exit code: Codex's; 64 when the skill is not there.

Codex finds skills in `.agents/skills` and `.codex/skills` of the repository, of the home and of its own folder, to six
levels deep and through links, and starts every one that the prompt names with `$`. A prompt that carries a
submitter's text must not choose skills: each but the phase's own is disabled by path (seen to hold on 0.169.0 for any
name, also ones that TOML would trip over).
"""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NO_SKILL = 64
DEEPEST = 12
LARGEST_FILE = 4 * 1024 * 1024
# Of every agent that a shard may have a login for: another agent's is not this one's to remove.
LOGIN_FILES = ("auth.json", "agent.env")
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
        if entry.name in LOGIN_FILES:
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
    report: dict[str, object] = {"type": "moonmind.report"}
    if not files:
        return report
    with files[-1].open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if '"event_msg"' not in line or ('"token_count"' not in line and "codex_error_info" not in line):
                # A limit that Codex tells right before the error belongs to it; one before more items does not.
                if '"response_item"' in line:
                    report.pop("limit_told", None)
                continue
            try:
                entry = json.loads(line)
                payload = entry["payload"] if entry["type"] == "event_msg" else {}
                if payload.get("type") == "token_count" and payload.get("rate_limits"):
                    report["rate_limits"] = payload["rate_limits"]
                    report["limit_told"] = True
                error = payload.get("error")
                info = error.get("codex_error_info") if isinstance(error, dict) else payload.get("codex_error_info")
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            if info:
                report["codex_error_info"] = info
    return report


def read_text(path: Path) -> str | None:
    """A regular file's text, through no link of its own name; None for anything else."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > LARGEST_FILE:
            return None
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return None


def files_to_report(repository: Path, names: list[str]) -> dict[str, str]:
    """The files that were asked for, by the name they have in the repository; `{feature}` is filled in."""
    try:
        recorded = json.loads(read_text(repository / ".specify/feature.json") or "{}")
        feature = str(recorded.get("feature_directory", "")).rstrip("/")
    except (ValueError, AttributeError):
        feature = ""
    found = {}
    for name in names:
        if "{feature}" in name and not feature:
            continue
        actual = name.replace("{feature}", feature)
        text = read_text(repository / actual)
        if text is not None:
            found[actual] = text
    return found


def digest(path: Path) -> str | None:
    """The file's SHA-256, None where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def main() -> int:
    """Run the turn."""
    turn = json.loads(os.environ.pop("MOONMIND_TURN"))
    repository, command = Path(turn["repository"]), turn["command"]
    home, login_folder = Path(os.environ["HOME"]), Path(os.environ["CODEX_HOME"])
    freshen(home, login_folder, Path(os.environ.get("MOONMIND_EXTRA_CA", "/nonexistent")))
    own = repository / turn["skill"] / "SKILL.md"
    if not own.is_file():
        sys.stderr.write(f"The skill {turn['skill']} is not in the repository.\n")
        return NO_SKILL
    config = disabled_skills(repository, own, [home, login_folder])
    command[2:2] = ["-c", f"skills.config={config}"]
    if turn.get("prompt_file"):
        with Path(turn["prompt_file"]).open("rb") as text:
            code = subprocess.run(command, stdin=text, check=False).returncode  # noqa: S603 - Codex, by fixed name
    else:
        prompt = turn["prompt"].encode()
        code = subprocess.run(command, input=prompt, check=False).returncode  # noqa: S603 - Codex, by fixed name
    report = {
        **rollout_report(login_folder),
        "login_digest": digest(login_folder / "auth.json"),
        "files": files_to_report(repository, turn["report"]),
    }
    sys.stdout.write("\n" + json.dumps(report) + "\n")
    sys.stdout.flush()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
