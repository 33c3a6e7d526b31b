"""Finds files that Git skips, and files that are committed without the filter for which `.gitattributes` asks."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from moonmind_appliance.in_container.feature_folder import RECORD
from moonmind_appliance.in_container.git import Git, shown
from moonmind_appliance.in_container.git_changes import read_blobs
from moonmind_appliance.in_container.git_index import set_aside

IGNORED = "ignored by the repository's .gitignore"
IN_SUBMODULE = "a submodule: its files belong to another repository"
ADDED_ANYWAY = f"{IGNORED}, and committed nevertheless: check that it may be published"
AS_IT_IS = "is not applied: the file is committed as it is"

_LIST = "skipped.list"
_CHUNK = 1024 * 1024
_FILES = ("100644", "100755")
# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: a pointer has less than 1024 bytes.
_POINTER, _LARGEST_POINTER = b"version https://git-lfs.github.com/spec/", 1024
_MOST_OWN_FILES = 1000


def skipped(git: Git, base: dict[str, Any], most: int) -> tuple[list[dict[str, str]], int]:
    """The first `most` paths of the work tree that Git skipped, with the reason, and the number of all.

    Call it after the change is in the index. A folder that is skipped as a whole is one path, which ends with a slash.
    """
    found: list[dict[str, str]] = []
    count = 0
    for path, reason in _all(git, base):
        count += 1
        if len(found) < most:
            found.append({"path": shown(path), "reason": reason})
    return found, count


def _all(git: Git, base: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for path in _submodules(git):
        folder = git.worktree / path
        if folder.is_dir() and not folder.is_symlink() and any(folder.iterdir()):
            yield f"{path}/", IN_SUBMODULE
    own = {*base["scaffold"], base.get("record", RECORD)}
    whole = "/"
    # Git lists a folder first. It then also lists the files in it if only these are ignored.
    for path in _listed(git, "--others", "--ignored", "--exclude-standard", "--directory"):
        if path.startswith(whole):
            continue
        if path.endswith("/"):
            whole = path
        if PurePosixPath(path).parts[0] in base["whole"] or set_aside(path.rstrip("/"), base):
            continue
        if not _is_own(git.worktree, path, own):
            yield path, IGNORED


def _submodules(git: Git) -> Iterator[str]:
    """The paths of the commit's submodules."""
    for entry in _listed(git, "--stage"):
        head, _, path = entry.partition("\t")
        if head.startswith("160000 "):
            yield path


def _listed(git: Git, *arguments: str) -> Iterator[str]:
    """What `git ls-files` lists, read in pieces: it may not fit into memory."""
    file = git.private / _LIST
    with file.open("w+b") as listed:
        git("ls-files", "-z", *arguments, into=listed)
        listed.seek(0)
        rest = b""
        while chunk := listed.read(_CHUNK):
            *names, rest = (rest + chunk).split(b"\0")
            for name in names:
                yield name.decode(errors="surrogateescape")
    file.unlink()


def _is_own(worktree: Path, path: str, own: set[str]) -> bool:
    """Whether the path is a scaffold's file, or a folder that contains only such files."""
    if not path.endswith("/"):
        return path in own
    if not any(name.startswith(path) for name in own):
        return False
    seen = 0
    for folder, _, names in os.walk(worktree / path):
        for name in names:
            seen += 1
            if seen > _MOST_OWN_FILES or (Path(folder) / name).relative_to(worktree).as_posix() not in own:
                return False
    return True


def ignored_feature(git: Git, feature: str) -> list[dict[str, str]]:
    """A warning if the repository ignores files of the feature folder. Call it before they are added to the index."""
    found = git("ls-files", "--others", "--ignored", "--exclude-standard", "-z", "--", f":(literal){feature}")
    return [{"path": shown(f"{feature}/"), "reason": ADDED_ANYWAY}] if found else []


def unfiltered(git: Git, kept: list[dict[str, str]]) -> list[dict[str, str]]:
    """The changed files for which the commit's .gitattributes ask for a filter, with a warning for each.

    No filter runs here, neither Git LFS nor an encrypting one. A file that is a Git LFS pointer needs no warning.
    """
    files = {change["path"]: change["new_id"] for change in kept if change["new_mode"] in _FILES}
    if not files:
        return []
    feed = b"".join(path.encode(errors="surrogateescape") + b"\0" for path in files)
    fields = git("check-attr", "--cached", "-z", "--stdin", "filter", feed=feed).split(b"\0")
    filters = {
        path.decode(errors="surrogateescape"): value.decode(errors="replace")
        for path, value in zip(fields[::3], fields[2::3], strict=False)
        if value not in (b"unspecified", b"unset")
    }
    pointers = _pointers(git, [files[path] for path, name in filters.items() if name == "lfs"])
    return [
        {"path": shown(path), "reason": f"{_name(name)} (.gitattributes) {AS_IT_IS}"}
        for path, name in filters.items()
        if files[path] not in pointers
    ]


def _pointers(git: Git, ids: list[str]) -> set[str]:
    """The blobs that are Git LFS pointers."""
    if not ids:
        return set()
    feed = "".join(f"{blob}\n" for blob in ids).encode()
    sizes = git("cat-file", "--batch-check=%(objectsize)", feed=feed).split(b"\n")
    small = [blob for blob, size in zip(ids, sizes, strict=False) if size.isdigit() and int(size) < _LARGEST_POINTER]
    return {blob for blob, content in read_blobs(git, small).items() if content.startswith(_POINTER)}


def _name(name: str) -> str:
    """A filter's name as shown to people; untrusted, because the repository chose it."""
    if name == "lfs":
        return "Git LFS"
    return f"the filter {name}" if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) else "a filter"
