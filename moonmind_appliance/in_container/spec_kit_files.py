"""Puts the chosen Spec Kit into a fresh work tree, and records what must not be in the commit. Executes nothing."""

import os
import posixpath
import shutil
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.feature_folder import FEATURES_IN_SPECIFY, RECORD
from moonmind_appliance.in_container.shared import read_regular
from moonmind_appliance.in_container.spec_kit import CONSTITUTION, choose, locate, read
from moonmind_appliance.in_container.work_tree import remove

_LARGEST_FILE = 1024 * 1024
_MEMORY = ".specify/memory"
_SKILL_PREFIX = "speckit-"


class WorkTree:
    """A folder as a `Tree`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def kind(self, path: str) -> str:
        """`file`, `folder`, `link` or ""."""
        place = self._root / path
        if place.is_symlink():
            return "link"
        return "folder" if place.is_dir() else "file" if place.is_file() else ""

    def names(self, path: str) -> list[str]:
        """The names in a folder."""
        return sorted(entry.name for entry in (self._root / path).iterdir()) if self.kind(path) == "folder" else []

    def text(self, path: str) -> str:
        """A file's text, or a link's target."""
        place = self._root / path
        if place.is_symlink():
            return place.readlink().as_posix()
        return (read_regular(place, _LARGEST_FILE) or b"").decode(errors="replace")


def place_spec_kit(root: Path, scaffold: Path, integration: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Choose the Spec Kit of a run, and put the image's files into the work tree if they are used.

    The repository's own files at their paths are removed here; `take_back` restores them in the index. Its constitution
    stays, and its templates that have the required sections replace the image's.

    Args:
        root: a work tree that contains exactly the base commit.
        scaffold: the image's files.
        integration: Spec Kit's name of the agent.

    Returns:
        The choice (`spec_kit.choose`), and what `take_back` needs: `scaffold`: the files that were added. `whole`: the
        folders at the top that only the image has. `replaced`, `kept`: paths at which the commit gets the base's files,
        except below those that are kept; without any, the repository had no Spec Kit. `record`: the path of the record
        of the current feature.
    """
    tree = WorkTree(root)
    choice = choose(tree, integration)
    record = {"scaffold": [], "whole": [], "replaced": [], "kept": [], "record": RECORD}
    if choice["problem"]:
        return choice, record
    if choice["used"] == "repository":
        record["record"] = posixpath.join(locate(tree, ".specify") or ".specify", posixpath.basename(RECORD))
        return choice, record
    kept_texts = {f".specify/templates/{name}": read(tree, path) for name, path in choice["templates"].items()}
    if tree.kind(".specify") == "link" and choice["constitution"]:
        kept_texts[CONSTITUTION] = read(tree, CONSTITUTION)
    record["whole"] = [top.name for top in scaffold.iterdir() if not os.path.lexists(root / top.name)]
    record["replaced"], record["kept"] = _set_aside(root, scaffold)
    record["scaffold"] = _copy(scaffold, root)
    for path, text in kept_texts.items():
        (root / path).write_text(text, encoding="utf-8", errors="surrogateescape")
    return choice, record


def _set_aside(root: Path, scaffold: Path) -> tuple[list[str], list[str]]:
    """Remove the repository's Spec Kit; returns the paths concerned, and those below that stay.

    Its constitution stays, and so do the features in `FEATURES_IN_SPECIFY`.
    """
    replaced, kept = [], []
    specify = root / ".specify"
    if os.path.lexists(specify):
        replaced.append(".specify")
        if specify.is_symlink() or not specify.is_dir():
            remove(specify)
        else:
            # The agent may write a feature into one of these folders even if the folder does not exist yet.
            kept += [path for path in FEATURES_IN_SPECIFY if not _is_other_than_folder(root / path)]
            kept += [_MEMORY] if (root / _MEMORY).is_dir() else []
            for entry in specify.iterdir():
                if entry.relative_to(root).as_posix() not in kept:
                    remove(entry)
    for folder in (root / ".agents", root / ".agents/skills"):
        if _is_other_than_folder(folder):
            replaced.append(folder.relative_to(root).as_posix())
            remove(folder)
    skills = root / ".agents/skills"
    names = {entry.name for entry in skills.iterdir()} if skills.is_dir() else set()
    for name in sorted(name for name in names if name.startswith(_SKILL_PREFIX)):
        remove(skills / name)
        replaced.append(f".agents/skills/{name}")
    image = scaffold / ".agents/skills"
    if replaced and image.is_dir():
        replaced += sorted(f".agents/skills/{entry.name}" for entry in image.iterdir() if entry.name not in names)
    return replaced, kept


def _is_other_than_folder(path: Path) -> bool:
    return os.path.lexists(path) and (path.is_symlink() or not path.is_dir())


def _copy(scaffold: Path, root: Path) -> list[str]:
    """Copy the image's files, but replace none, and write through no link; returns the paths of the files."""
    copied = []
    for source in sorted(scaffold.rglob("*")):
        path = source.relative_to(scaffold)
        target = root / path
        if any((root / parent).is_symlink() for parent in path.parents) or os.path.lexists(target):
            continue
        if source.is_dir():
            target.mkdir()
        else:
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
            copied.append(path.as_posix())
    return copied
