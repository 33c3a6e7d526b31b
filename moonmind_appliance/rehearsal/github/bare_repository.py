"""A hosted bare repository: created from a folder, a clone or the sample, and read with the real Git."""

import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from moonmind_appliance.rehearsal.github.sample_project import SAMPLE_PROJECT

# The first commit's author and time are fixed: the same files always give the same commit id.
_AUTHOR = {
    "GIT_AUTHOR_NAME": "Sample Project",
    "GIT_AUTHOR_EMAIL": "sample@example.invalid",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00+00:00",
    "GIT_COMMITTER_NAME": "Sample Project",
    "GIT_COMMITTER_EMAIL": "sample@example.invalid",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00+00:00",
}
_CONFIG = """\
[core]
\thooksPath = {hooks}
[safe]
\tdirectory = *
[gc]
\tauto = 0
[receive]
\tfsckObjects = true
\tautogc = false
\thideRefs = refs/pull
\tdenyDeleteCurrent = refuse
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
[http]
\treceivepack = true
"""


class GitFailed(Exception):
    """git failed; the text is its stderr."""


class Difference(NamedTuple):
    """The changes of a head against a base."""

    commits: int
    changed_files: int
    additions: int
    deletions: int


class TreeObject(NamedTuple):
    """An entry of a tree: its path below the tree, Git's mode, kind and id, and a blob's size in bytes."""

    path: str
    mode: str
    kind: str
    sha: str
    size: int | None


class Git:
    """The real git with only the stand-in's own configuration, which is under `root`."""

    def __init__(self, root: Path) -> None:
        hooks = root / "hooks"
        hooks.mkdir(parents=True, exist_ok=True)
        hook = hooks / "proc-receive"
        rules = Path(__file__).with_name("push_rules.py")
        hook.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{rules}"\n', encoding="utf-8")
        hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
        config = root / "gitconfig"
        config.write_text(_CONFIG.format(hooks=hooks), encoding="utf-8")
        self.environment: Mapping[str, str] = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(root),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ATTR_NOSYSTEM": "1",
        }

    def run(self, *arguments: str, extra: Mapping[str, str] | None = None) -> str:
        """Standard output without the last line break.

        Raises:
            GitFailed: Git exited with a code other than 0.
        """
        return self.run_bytes(*arguments, extra=extra).decode(errors="surrogateescape").rstrip("\n")

    def run_bytes(self, *arguments: str, extra: Mapping[str, str] | None = None) -> bytes:
        """Git's standard output, unchanged.

        Raises:
            GitFailed: Git exited with a code other than 0.
        """
        # The arguments are the stand-in's own; names from requests are only used as refs after refs/heads/, or after
        # --end-of-options.
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607 - the machine's git
            capture_output=True,
            env={**self.environment, **(extra or {})},
            check=False,
        )
        if done.returncode != 0:
            message = done.stderr.decode(errors="surrogateescape").strip()
            raise GitFailed(message or f"git {arguments[0]} ended with {done.returncode}")
        return done.stdout


class BareRepository:
    """One bare repository. Safe to use from several threads, as git is."""

    def __init__(self, path: Path, git: Git) -> None:
        self.path = path
        self._git = git
        self._differences: dict[tuple[str, str], Difference] = {}

    def make(self, source: Path | None, default_branch: str) -> None:
        """Create it from a Git repository with its branches and tags, from a folder's files, or from the sample.

        Raises:
            GitFailed: the source cannot be read.
        """
        if source is not None and is_git_repository(source):
            self._git.run("clone", "--bare", "--quiet", "--no-hardlinks", "--", str(source), str(self.path))
            self._run("remote", "remove", "origin")
            if self.head(default_branch) is None:
                self._name_current(default_branch)
        else:
            self._git.run("init", "--bare", "--quiet", "--", str(self.path))
            if source is None:
                work_tree = self.path / "sample"
                for name, text in SAMPLE_PROJECT.items():
                    file = work_tree / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(text, encoding="utf-8")
            else:
                work_tree = source
            self._commit_files(work_tree, default_branch)
        self._run("symbolic-ref", "HEAD", f"refs/heads/{default_branch}")

    def _name_current(self, default_branch: str) -> None:
        """Create the default branch in a clone that has another current branch: point it to that branch's commit."""
        try:
            current = self._run("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        except GitFailed:
            return  # a repository without commits
        self._run("update-ref", f"refs/heads/{default_branch}", current)

    def _commit_files(self, work_tree: Path, branch: str) -> None:
        index = {"GIT_INDEX_FILE": str(self.path / "first-commit.index")}
        self._run(f"--work-tree={work_tree}", "add", "--all", "--", ".", extra=index, inside=work_tree)
        tree = self._run("write-tree", extra=index)
        commit = self._run("commit-tree", "-m", "First commit", tree, extra=_AUTHOR)
        self._run("update-ref", f"refs/heads/{branch}", commit)

    def add_files(self, folder: Path, branch: str) -> None:
        """Commit a folder's files to a branch that exists, also those that the repository ignores."""
        index = {"GIT_INDEX_FILE": str(self.path / "add-files.index")}
        self._run("read-tree", f"refs/heads/{branch}", extra=index)
        self._run(f"--work-tree={folder}", "add", "--ignore-removal", "--force", "--", ".", extra=index, inside=folder)
        tree = self._run("write-tree", extra=index)
        commit = self._run("commit-tree", "-m", "Add files", "-p", f"refs/heads/{branch}", tree, extra=_AUTHOR)
        self._run("update-ref", f"refs/heads/{branch}", commit)

    def _run(self, *arguments: str, extra: Mapping[str, str] | None = None, inside: Path | None = None) -> str:
        place = ("-C", str(inside)) if inside else ()
        return self._git.run(*place, f"--git-dir={self.path}", *arguments, extra=extra)

    def resolve(self, ref: str) -> str | None:
        """The object id of a full ref, or None."""
        try:
            return self._run("show-ref", "--verify", "--hash", "--", ref) or None
        except GitFailed:
            return None

    def head(self, branch: str) -> str | None:
        """The commit id of a branch, or None."""
        return self.resolve(f"refs/heads/{branch}")

    def heads(self) -> dict[str, str]:
        """Each branch and its commit id."""
        lines = self._run("for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads")
        return {name: sha for sha, _, name in (line.partition(" ") for line in lines.splitlines())}

    def set_ref(self, ref: str, sha: str) -> None:
        """Point a ref somewhere."""
        self._run("update-ref", ref, sha)

    def rename_branch(self, old: str, new: str) -> None:
        """Move a branch; HEAD follows."""
        self._run("branch", "-m", "--", old, new)

    def share_history(self, base: str, head: str) -> bool:
        """Whether two commits have an ancestor in common."""
        try:
            self._run("merge-base", base, head)
        except GitFailed:
            return False
        return True

    def difference(self, base: str, head: str) -> Difference:
        """What commit `head` has and commit `base` does not."""
        if (base, head) not in self._differences:
            commits = int(self._run("rev-list", "--count", head, f"^{base}"))
            files = additions = deletions = 0
            for line in self._run("diff", "--numstat", f"{base}...{head}").splitlines():
                added, deleted, _ = line.split("\t", 2)
                files += 1
                additions += int(added) if added.isdigit() else 0
                deletions += int(deleted) if deleted.isdigit() else 0
            self._differences[base, head] = Difference(commits, files, additions, deletions)
        return self._differences[base, head]

    def patch(self, base: str, head: str) -> str:
        """The changes of commit `head` since it left commit `base`, for people to read."""
        text = self._run("-c", "core.quotePath=false", "diff", f"{base}...{head}")
        return text.encode(errors="surrogateescape").decode(errors="replace")

    def commit(self, sha: str) -> dict[str, str]:
        """A commit's tree, parents (with blanks between), author, committer, times and message."""
        keys = [
            "tree",
            "parents",
            *("author", "author_email", "author_date"),
            *("committer", "committer_email", "committer_date"),
            "message",
        ]
        text = self._run("log", "-1", "--format=%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B", sha)
        return dict(zip(keys, text.split("\0"), strict=True))

    def tree(self, name: str, *, recursive: bool) -> tuple[str, list[TreeObject]] | None:
        """The id and the entries of a tree, by the id of the tree or its commit, or by a branch; None if unknown."""
        known = self.head(name) or name
        try:
            sha = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{known}^{{tree}}")
        except GitFailed:
            return None
        options = ("-r", "-t") if recursive else ()
        listed = self._run("ls-tree", "-z", "-l", *options, sha)
        entries = []
        for record in filter(None, listed.split("\0")):
            head, _, path = record.partition("\t")
            mode, kind, blob, size = head.split()
            entries.append(TreeObject(path, mode, kind, blob, int(size) if size.isdigit() else None))
        return sha, entries

    def blob(self, sha: str) -> bytes | None:
        """The content of a blob by its id; None if there is none."""
        try:
            if self._run("cat-file", "-t", sha) != "blob":
                return None
            return self._git.run_bytes(f"--git-dir={self.path}", "cat-file", "blob", sha)
        except GitFailed:
            return None

    def size_kilobytes(self) -> int:
        """The size of its objects on disk."""
        counts = dict(line.split(": ", 1) for line in self._run("count-objects", "-v").splitlines())
        return int(counts["size"]) + int(counts["size-pack"])


def is_git_repository(path: Path) -> bool:
    """Whether the folder itself, not one above it, is a repository: with a work tree, or bare."""
    return (path / ".git").exists() or all((path / part).exists() for part in ("HEAD", "objects", "refs"))
