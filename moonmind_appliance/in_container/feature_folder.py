"""Finds the folder that a turn of `specify` wrote, by comparing the files before and after the turn."""

import contextlib
import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.shared import open_regular, read_regular
from moonmind_appliance.in_container.work_tree import is_git_name, is_plain_folder

RECORD = ".specify/feature.json"
"""Where Spec Kit records the current feature, since 0.5."""
SPECIFICATION = "spec.md"
DOCUMENTS = (SPECIFICATION, "plan.md", "tasks.md")
"""The files without which a feature is not complete."""
FEATURES_IN_SPECIFY = (".specify/specs", ".specify/features")
"""Folders inside Spec Kit's own in which some repositories keep their features; Spec Kit's first guides did, too."""
LONGEST_DIRECTORY = 400
"""Most characters of a feature folder's path."""

_LARGEST_RECORD = 64 * 1024
# A larger specification is not accepted, so the rest of it need not be compared.
_LARGEST_COMPARED = 8 * 1024 * 1024
_MOST_FOUND = 10_000
# Spec Kit's and the agents' own folders at the top of the repository.
_SPECIFY = ".specify"
_RESERVED = (_SPECIFY, ".agents", ".codex")
# Folders of packages, which may contain files of any name.
_NOT_SEARCHED = frozenset({"node_modules", ".venv", "__pycache__"})
# Control and invisible characters, surrogates (a name that is not UTF-8), line and paragraph separators.
_REFUSED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Zero-width joiners are part of words in several scripts, such as Persian, and of emoji.
_JOINERS = "\u200c\u200d"


def folder_problem(directory: str) -> str:
    """Why a path cannot be a feature folder, judged by its name; "" if it can."""
    parts = directory.split("/")
    unprintable = (char not in _JOINERS and unicodedata.category(char) in _REFUSED for char in directory)
    problems = {
        "its name contains control or invisible characters": any(unprintable),
        f"its path is longer than {LONGEST_DIRECTORY} characters": len(directory) > LONGEST_DIRECTORY,
        "it is outside the repository": directory.startswith("/") or ".." in parts,
        "it is the repository's root, and a feature needs a folder of its own": directory in ("", "."),
        "its path has an empty or `.` component": any(part in ("", ".") for part in parts),
        "it is in a .git folder": any(is_git_name(part) for part in parts),
        f"{parts[0]} is reserved for Spec Kit's and the agent's own files": parts[0].lower() in _RESERVED
        and not is_below(directory, FEATURES_IN_SPECIFY),
    }
    return next((problem for problem, applies in problems.items() if applies), "")


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is below one of the folders; a folder is not below itself."""
    return any(path.startswith(f"{folder}/") for folder in folders)


class FolderSearch:
    """Remembers the repository's specifications before a turn, and finds what the turn wrote."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._record = _signature(repository / RECORD)
        self._before = _specifications(repository)

    def result(self) -> dict[str, Any]:
        """The feature folder after the turn.

        Of several folders with a new or changed specification: the one that a record written by this turn names, else a
        new one, else one with a number, else the newest. If there is none: the folder that such a record names. A
        specification that was only moved is not new.

        Returns:
            `directory`: the folder, None if there is none. `problem`: why a folder was refused, with its name.
        """
        recorded = _recorded(self._repository) if _signature(self._repository / RECORD) != self._record else None
        after = _specifications(self._repository)
        moved = {digest for folder, digest in self._before.items() if folder not in after}
        changed = [
            folder for folder, digest in after.items() if self._before.get(folder) != digest and digest not in moved
        ]

        def rank(folder: str) -> tuple[bool, bool, bool, int, str]:
            number, dash, _ = folder.rpartition("/")[2].partition("-")
            return (
                same_name(folder, recorded),
                folder not in self._before,
                number.isdigit() and bool(dash),
                _written(self._repository / folder / SPECIFICATION),
                folder,
            )

        usable = [folder for folder in changed if not folder_problem(folder)]
        found = max(usable or changed, key=rank, default=recorded)
        if found is None:
            return {"directory": None, "problem": ""}
        if problem := folder_problem(found):
            return {"directory": None, "problem": f"{_visible(found)}: {problem}"}
        found = _on_disk(self._repository, found)
        if (self._repository / found).exists() and not is_plain_folder(self._repository, found):
            return {"directory": None, "problem": f"{_visible(found)}: it is a link, or below a link"}
        return {"directory": found, "problem": ""}


def write_record(repository: Path, directory: str) -> None:
    """Make the record name this folder, so that the scripts of each version find it. No effect if there is no folder.

    Scripts that do not read the record read the variables `SPECIFY_FEATURE_DIRECTORY` and `SPECIFY_FEATURE`.
    """
    path = repository / RECORD
    if same_name(directory, _recorded(repository)) or not path.parent.is_dir():
        return
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.write_text(json.dumps({"feature_directory": directory}, ensure_ascii=False) + "\n", encoding="utf-8")


def feature_variables(directory: str) -> dict[str, str]:
    """The variables by which Spec Kit's scripts find the feature: since 0.5 its folder, before that its name."""
    return {"SPECIFY_FEATURE_DIRECTORY": directory, "SPECIFY_FEATURE": directory.rpartition("/")[2]}


def same_name(one: str, other: str | None) -> bool:
    """Whether two paths are the same in a file system that normalizes Unicode, such as macOS's."""
    return other is not None and unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)


def _specifications(repository: Path) -> dict[str, bytes]:
    """The digest of each specification by its folder. Follows no link."""
    found: dict[str, bytes] = {}
    for folder, folders, files in os.walk(repository):
        below = os.path.relpath(folder, repository)
        folders[:] = sorted(name for name in folders if not is_git_name(name) and name not in _NOT_SEARCHED)
        if below == ".":
            folders[:] = [name for name in folders if name == _SPECIFY or name not in _RESERVED]
        if below == _SPECIFY:
            folders[:] = [name for name in folders if f"{below}/{name}" in FEATURES_IN_SPECIFY]
            continue
        if SPECIFICATION in files and (file := open_regular(Path(folder) / SPECIFICATION)):
            with file:
                found[below] = hashlib.sha256(file.read(_LARGEST_COMPARED)).digest()
            if len(found) >= _MOST_FOUND:
                break
    return found


def _recorded(repository: Path) -> str | None:
    """The folder that the record names, relative to the repository; None without a usable record."""
    try:
        content = json.loads((read_regular(repository / RECORD, _LARGEST_RECORD) or b"{}").decode())
        named = content.get("feature_directory")
    except (ValueError, AttributeError, RecursionError):
        return None
    if not isinstance(named, str) or not named.strip():
        return None
    named = named.removeprefix(f"{repository}/").removeprefix("./").rstrip("/")
    return named or "."


def _signature(path: Path) -> tuple[int, ...]:
    """Changes when a file is written, even with the same content."""
    try:
        known = path.stat()
    except (OSError, ValueError):
        return ()
    return known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns


def _written(path: Path) -> int:
    """When a file was written; 0 if a process that the agent left behind removed it meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _on_disk(repository: Path, directory: str) -> str:
    """The path with its names as they are on disk, where the Unicode normalization may differ."""
    known = Path()
    for part in directory.split("/"):
        here = repository / known
        entries = here.iterdir() if here.is_dir() and not (here / part).exists() else ()
        known /= next((entry.name for entry in entries if same_name(entry.name, part)), part)
    return known.as_posix()


def _visible(text: str) -> str:
    """A short name with its unprintable characters escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:LONGEST_DIRECTORY])
