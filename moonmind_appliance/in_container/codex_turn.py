"""Runs inside the agent container: starts one Codex turn with one skill visible, and reports its rollout.

Standard library only, sent as `python3 -I -S -c`. MOONMIND_TURN contains one JSON object: `repository`, `skill` (the
phase's skill folder), `prompt` or `prompt_file`, `command` (Codex's own) and `report` (files to report at the end).
A line of type `moonmind.report` follows Codex's own lines. Exit code: Codex's; 64 if the skill is missing.

Codex finds skills in `.agents/skills` and `.codex/skills` of the repository, of the home and of its own folder, up to
six levels deep and through links, and starts every skill that the prompt names with `$`. A prompt with a submitter's
text must not choose skills: all except the phase's own are disabled by path (verified on 0.169.0 for any name,
including names that need escaping in TOML).
"""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from moonmind_appliance.in_container.codex_home import CodexHome, clean, digest, open_regular, read_regular, trust

NO_SKILL = 64
DEEPEST = 12
LARGEST_FILE = 4 * 1024 * 1024
# Only the end of a rollout is read: it contains the error and the last windows.
LARGEST_ROLLOUT = 64 * 1024 * 1024
LONGEST_ROLLOUT_LINE = 64 * 1024
MOST_ROLLOUTS = 100


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


def freshen(home: Path, login_folder: Path, extra_ca: Path) -> None:
    """Once per container: remove what an earlier run's agent left next to the login, and create the CA bundle."""
    marker = home / ".fresh"
    if marker.exists():
        return
    clean(login_folder)
    trust(home, extra_ca)
    marker.touch()


def own_rollout(codex_home: Path, began: float) -> Path | None:
    """The newest rollout of this turn: a regular file below a CODEX_HOME that only this turn used.

    The inode's change time, which no process can set, must not be before the start of the turn.
    """
    found: list[tuple[float, Path]] = []
    now = time.time()
    for path in codex_home.glob("sessions/[0-9]*/[0-9]*/[0-9]*/rollout-*.jsonl"):
        if len(found) >= MOST_ROLLOUTS:
            break
        try:
            seen = path.lstat()
        except OSError:
            continue
        if stat.S_ISREG(seen.st_mode) and began - 2 <= seen.st_ctime <= now + 2:
            found.append((seen.st_ctime, path))
    return max(found, default=(0.0, None))[1]


def rollout_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a rollout's last part, without lines too long for an event of Codex."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - LARGEST_ROLLOUT))
    whole = True
    while line := file.readline(LONGEST_ROLLOUT_LINE):
        ended = line.endswith(b"\n")
        if whole and (ended or len(line) < LONGEST_ROLLOUT_LINE):
            yield line
        elif whole and b'"response_item"' in line[:200]:
            # Only the type of this item matters.
            yield b'{"type":"response_item"}'
        whole = ended


def rollout_report(codex_home: Path, began: float) -> dict[str, object]:
    """Facts that only the turn's rollout file contains: the error's machine code and the usage windows.

    The agent can write to that file: only values of the shape that Codex writes are passed on, and the reader checks
    them again.
    """
    report: dict[str, object] = {"type": "moonmind.report"}
    path = own_rollout(codex_home, began)
    file = None if path is None else open_regular(path)
    if file is None:
        return report
    with file:
        for line in rollout_lines(file):
            if b'"event_msg"' not in line or (b'"token_count"' not in line and b"codex_error_info" not in line):
                # A limit reported right before the error belongs to it; one followed by other items does not.
                if b'"response_item"' in line:
                    report.pop("limit_told", None)
                continue
            try:
                entry = json.loads(line)
                payload = entry["payload"] if entry["type"] == "event_msg" else {}
                limits = payload.get("rate_limits") if payload.get("type") == "token_count" else None
                error = payload.get("error")
                info = error.get("codex_error_info") if isinstance(error, dict) else payload.get("codex_error_info")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
            if limits:
                report["rate_limits"] = flat(limits)
                report["limit_told"] = True
            if info:
                report["codex_error_info"] = flat(info)
    return report


def flat(value: object, levels: int = 3) -> object:
    """The value without parts that are deeper, longer or wider than in Codex's own events."""
    if isinstance(value, dict):
        return {str(key)[:64]: flat(value[key], levels - 1) for key in list(value)[:32]} if levels else {}
    if isinstance(value, str):
        return value[:256]
    # NaN and infinity are not JSON; true and false are.
    if isinstance(value, int | float) and abs(value) < float(1 << 63):
        return value
    return None


def read_text(path: Path) -> str | None:
    """A regular file's text; None for anything else, including a link."""
    content = read_regular(path, LARGEST_FILE)
    return None if content is None else content.decode(errors="replace")


def files_to_report(repository: Path, names: list[str]) -> dict[str, str]:
    """The requested files by their path in the repository, with `{feature}` replaced."""
    try:
        recorded = json.loads(read_text(repository / ".specify/feature.json") or "{}")
        feature = str(recorded.get("feature_directory", "")).rstrip("/")
    except (ValueError, AttributeError, RecursionError):
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
    began = time.time()
    with CodexHome(home, login_folder) as codex_home:
        config = disabled_skills(repository, own, [home, codex_home.folder])
        command[2:2] = ["-c", f"skills.config={config}"]
        environment = codex_home.environment()
        if turn.get("prompt_file"):
            with Path(turn["prompt_file"]).open("rb") as text:
                code = subprocess.run(  # noqa: S603 - Codex, by fixed name
                    command, stdin=text, env=environment, check=False
                ).returncode
        else:
            prompt = turn["prompt"].encode()
            code = subprocess.run(  # noqa: S603 - Codex, by fixed name
                command, input=prompt, env=environment, check=False
            ).returncode
        report = rollout_report(codex_home.folder, began)
    report |= {"login_digest": digest(login_folder / "auth.json"), "files": files_to_report(repository, turn["report"])}
    sys.stdout.write("\n" + json.dumps(report) + "\n")
    sys.stdout.flush()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
