"""Makes the agent's work tree acceptable to Git, and never executes anything in it.

Every nested `.git` is removed before Git reads the work tree: Git starts a second Git inside a nested repository, with
that repository's fsmonitor and filters, despite the outer configuration (seen on 2.39).
"""

import os
import re
import stat
from pathlib import Path, PurePosixPath

from moonmind_appliance.in_container.git import GitError, shown
from moonmind_appliance.in_container.shared import remove_entries

# Names that some file systems treat as `.git`, so Git refuses them (verify_path in Git's read-cache.c; GitHub refuses
# the same): HFS+ ignores these characters; NTFS ignores trailing blanks and dots and text after a colon, and has a
# short name for it.
IGNORED_BY_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
MODULES_NAME = re.compile(r"\.gitmodules|gitmod~\d|gi7[0-9a-f]{3}~\d")


def is_plain_folder(worktree: Path, path: str) -> bool:
    """Whether `path` is a folder of the work tree, without a link on the way."""
    steps = [worktree / parent for parent in (*PurePosixPath(path).parents, PurePosixPath(path))]
    return all(step.is_dir() and not step.is_symlink() for step in steps)


def make_fit(worktree: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Make the work tree acceptable to Git. Follows no link.

    Removes every `.git` (file, folder or link) at any depth, names that other file systems treat as `.git`, and
    everything that is not a file, folder or link. Makes folders and files readable for their owner.

    Returns the nested repositories removed, and the other paths removed, with the reason.
    """
    removed, refused = [], []
    worktree.chmod(0o755)
    folders = [worktree]
    while folders:
        with os.scandir(folders.pop()) as entries:
            found = list(entries)
        for entry in found:
            path = Path(entry.path)
            below = shown(path.relative_to(worktree).as_posix())
            mode = entry.stat(follow_symlinks=False).st_mode
            if is_git_name(entry.name):
                remove(path)
                if below != ".git":
                    removed.append(below)
            elif stat.S_ISDIR(mode):
                own(path, mode, 0o700)
                folders.append(path)
            elif stat.S_ISREG(mode):
                own(path, mode, 0o400)
            elif not stat.S_ISLNK(mode):
                path.unlink()
                refused.append({"path": below, "reason": "neither a file, a folder nor a link"})
            elif any(MODULES_NAME.fullmatch(part) for part in plain_parts(entry.name)):
                path.unlink()
                refused.append({"path": below, "reason": "a link with a name that Git uses for a file"})
    return sorted(removed), refused


def own(path: Path, mode: int, rights: int) -> None:
    """Give the owner these rights if they are missing."""
    if mode & rights != rights:
        path.chmod(stat.S_IMODE(mode) | rights)


def is_git_name(name: str) -> bool:
    """Whether Git or some file system treats a name as `.git`."""
    return any(part in (".git", "git~1") for part in plain_parts(name))


def plain_parts(name: str) -> list[str]:
    """A name's parts as the most lenient file system interprets them."""
    return [part.split(":")[0].rstrip(" .") for part in IGNORED_BY_HFS.sub("", name).lower().split("\\")]


def remove(path: Path) -> None:
    """Remove a file, link or folder, even with folders that are not writable. Idempotent.

    Raises:
        GitError: it could not be removed.
    """
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    remove_entries(path, [path])
    if path.exists():
        raise GitError(f"{path} cannot be removed")
