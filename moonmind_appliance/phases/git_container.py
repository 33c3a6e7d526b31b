"""Runs inside the git container: clone, stage, push. Never runs a byte of the repository.

Standard library only, sent as `python3 -I -S -c`; parameters come as one JSON object in MOONMIND_JOB, the result goes
out as one JSON line. The GitHub token comes with the environment of the exec that needs it, as git configuration.

What the agent did to its own `.git` does not reach the commit: the private bare clone is `GIT_DIR`, the agent's files
are the work tree. Before git looks at the work tree every nested `.git` is removed: git starts a second git inside a
nested repository, with that one's fsmonitor and filters, whatever the outer configuration says (seen on 2.39).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

PRIVATE = Path("/work/git")
SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
SCAFFOLD = Path("/opt/spec-kit/scaffold")
GITLINK = "160000"
SYMLINK = "120000"
ABSENT = "000000"

# Configuration that nothing in the work tree can change: it comes with the command.
SAFE = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.precomposeUnicode": "false",
    "core.symlinks": "true",
    "core.fileMode": "true",
    "core.quotePath": "true",
    "protocol.allow": "never",
    "protocol.https.allow": "always",
    "protocol.http.allow": "always",
    "safe.bareRepository": "explicit",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "commit.gpgSign": "false",
    "push.gpgSign": "false",
    "credential.helper": "",
    "advice.detachedHead": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "120",
}


class GitError(Exception):
    """A git command failed; its words are on standard error already."""


class Git:
    """git with the private clone as GIT_DIR and the run's folder as work tree."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.directory = PRIVATE / "clone.git"
        self.worktree = Path(job["repository"])
        config = dict(SAFE)
        if (PRIVATE / "ca.pem").exists():
            config["http.sslCAInfo"] = str(PRIVATE / "ca.pem")
        secret = int(os.environ.get("GIT_CONFIG_COUNT", "0"))
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith("GIT_CONFIG_")},
            "HOME": str(PRIVATE),
            "LC_ALL": "C",
            "GIT_DIR": str(self.directory),
            "GIT_WORK_TREE": str(self.worktree),
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_CONFIG_COUNT": str(secret + len(config)),
        }
        for index, (key, value) in enumerate(config.items(), start=secret):
            self.env |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}

    def __call__(self, *words: str, feed: bytes | None = None, env: dict[str, str | None] | None = None) -> bytes:
        """Run git; its standard error is ours.

        Raises:
            GitError: it said no.
        """
        done = subprocess.run(  # noqa: S603 - git, with our own words
            ["git", *words],  # noqa: S607 - the image's git, on a PATH that is the image's
            check=False,
            input=feed,
            stdin=None if feed is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={key: value for key, value in {**self.env, **(env or {})}.items() if value is not None},
            cwd=self.worktree if self.worktree.is_dir() else PRIVATE,
        )
        if done.returncode:
            raise GitError(f"git {words[0]} ended with exit code {done.returncode}")
        return done.stdout


def clone(job: dict[str, Any]) -> dict[str, Any]:
    """A private bare clone, the files of the base branch, a copy for the agent, and the scaffold where it is missing.

    Safe twice: what an earlier attempt left is removed first.
    """
    workspace = Path(job["workspace"])
    for leftover in (PRIVATE / "clone.git", workspace / "repo", workspace / "input", workspace / "out"):
        shutil.rmtree(leftover, ignore_errors=True)
    for folder in ("repo", "input", "out"):
        (workspace / folder).mkdir(parents=True)
    extra = PRIVATE / "extra-ca.pem"
    if extra.is_file():
        (PRIVATE / "ca.pem").write_bytes(SYSTEM_BUNDLE.read_bytes() + b"\n" + extra.read_bytes())
    git = Git(job)
    base, branch = job["base_branch"], job["branch"]
    git("init", "--quiet", "--bare", "--template=", "--initial-branch", "main", env={"GIT_WORK_TREE": None})
    depth = [f"--depth={job['depth']}"] if job["depth"] else []
    refspec = f"+refs/heads/{base}:refs/heads/{base}"
    git("fetch", "--quiet", "--no-tags", *depth, "--end-of-options", job["url"], refspec)
    commit, tree = git("rev-parse", f"refs/heads/{base}^{{commit}}", f"refs/heads/{base}^{{tree}}").decode().split()
    git("update-ref", f"refs/heads/{branch}", commit)
    git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    git("read-tree", "--reset", "-u", commit)
    copy_for_agent(git, job["url"])
    copied, whole = copy_scaffold(git)
    # With it `stage` begins at the base, and knows which files were not touched since.
    shutil.copyfile(git.directory / "index", PRIVATE / "base.index")
    base_facts = {"commit": commit, "tree": tree, "scaffold": copied, "whole": whole}
    (PRIVATE / "base.json").write_text(json.dumps(base_facts))
    return {"base_commit": commit, "scaffold_files": len(copied), "scaffold_folders": whole}


def copy_for_agent(git: Git, url: str) -> None:
    """The agent's own `.git`: a copy, so that whatever it does there stays there."""
    own = git.worktree / ".git"
    shutil.copytree(git.directory, own)
    with (own / "config").open("a", encoding="utf-8") as config:
        config.write(f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {json.dumps(url)}\n')


def copy_scaffold(git: Git) -> tuple[list[str], list[str]]:
    """Copy the Spec Kit files that the repository lacks; returns them, and the top folders that are ours alone.

    Nothing of the repository's own is replaced, and nothing is written through a link that the repository brings.
    """
    whole = [top.name for top in SCAFFOLD.iterdir() if not os.path.lexists(git.worktree / top.name)]
    copied = []
    for source in sorted(SCAFFOLD.rglob("*")):
        path = source.relative_to(SCAFFOLD)
        target = git.worktree / path
        if any((git.worktree / parent).is_symlink() for parent in path.parents) or os.path.lexists(target):
            continue
        if source.is_dir():
            target.mkdir()
        elif target.parent.is_dir():
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
            copied.append(path.as_posix())
    return copied, whole


def stage(job: dict[str, Any]) -> dict[str, Any]:
    """Put the agent's files into the private index, make a tree, a commit and a patch of them.

    Standard output gets the result line, then the patch, unless it is larger than `max_bytes`. Safe twice.
    """
    git = Git(job)
    base = json.loads((PRIVATE / "base.json").read_text())
    removed = remove_nested_repositories(git.worktree)
    shutil.copyfile(PRIVATE / "base.index", git.directory / "index")
    git("add", "--all", "--", ".")
    feature = job.get("feature_directory")
    if feature and is_plain_folder(git.worktree, feature):
        git("add", "--all", "--force", "--", f":(literal){feature}")
    kept, left_out = take_back(git, base, job)
    tree = git("write-tree").decode().strip()
    result: dict[str, Any] = {
        "base_commit": base["commit"],
        "tree": tree,
        "left_out": left_out,
        "nested_repositories_removed": removed,
        "files": [],
    }
    if tree == base["tree"]:
        return result | {"changed": False, "commit": base["commit"], "patch_bytes": 0}
    plain = ["--no-ext-diff", "--no-textconv", "--no-color", "--no-renames"]
    patch = git("diff-tree", "-r", "-p", "--text", "--full-index", *plain, base["commit"], tree)
    counts = added_and_removed(patch)
    result["files"] = [
        {
            "path": change["path"].encode(errors="surrogateescape").decode(errors="replace"),
            "status": change["status"],
            "added": counts.get(change["path"], (0, 0))[0],
            "removed": counts.get(change["path"], (0, 0))[1],
        }
        for change in kept
    ]
    identity: dict[str, str | None] = {
        "GIT_AUTHOR_NAME": job["author_name"],
        "GIT_AUTHOR_EMAIL": job["author_email"],
        "GIT_COMMITTER_NAME": job["author_name"],
        "GIT_COMMITTER_EMAIL": job["author_email"],
        # Made from the run alone, so that the same files give the same commit on a second attempt.
        "GIT_AUTHOR_DATE": job["date"],
        "GIT_COMMITTER_DATE": job["date"],
    }
    message = job["message"].encode()
    commit = git("commit-tree", tree, "-p", base["commit"], feed=message, env=identity).decode().strip()
    git("update-ref", f"refs/heads/{job['branch']}", commit)
    too_large = len(patch) > job["max_bytes"]
    if not too_large:
        (PRIVATE / "change.patch").write_bytes(patch)
    return result | {"changed": True, "commit": commit, "patch_bytes": len(patch), "too_large": too_large}


def is_plain_folder(worktree: Path, path: str) -> bool:
    """Whether `path` is a folder of the work tree, reached through no link."""
    steps = [worktree / parent for parent in (*PurePosixPath(path).parents, PurePosixPath(path))]
    return all(step.is_dir() and not step.is_symlink() for step in steps)


def remove_nested_repositories(worktree: Path) -> list[str]:
    """Remove every `.git`, file, folder or link, at any depth; returns those below the top. Follows no link."""
    removed = []
    for folder, folders, files in os.walk(worktree, topdown=True, followlinks=False):
        for name in [entry for entry in (*folders, *files) if entry.lower() == ".git"]:
            path = Path(folder) / name
            if path.is_symlink() or not path.is_dir():
                path.unlink()
            else:
                make_removable(path)
                shutil.rmtree(path)
            if Path(folder) != worktree:
                removed.append(path.relative_to(worktree).as_posix())
        folders[:] = [entry for entry in folders if entry.lower() != ".git"]
    return sorted(removed)


def make_removable(path: Path) -> None:
    """Folders that their owner may not write to cannot be emptied."""
    path.chmod(0o700)
    for folder, folders, _files in os.walk(path, followlinks=False):
        for name in folders:
            entry = Path(folder) / name
            if not entry.is_symlink():
                entry.chmod(0o700)


def take_back(git: Git, base: dict[str, Any], job: dict[str, Any]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Undo in the index what does not belong into the commit.

    Returns the changes that stay, and the paths that reviewers should know were left out, with the reason.
    """
    own = set(base["scaffold"]) | {".specify/feature.json"}
    left_out, back, kept = [], [], []
    for change in raw_changes(git, "--cached", base["commit"]):
        path, old, new = change["path"], change["old_mode"], change["new_mode"]
        top = PurePosixPath(path).parts[0]
        reason = ""
        if not job["commit_scaffold"] and old == ABSENT and (path in own or top in base["whole"]):
            back.append(change)
            continue
        if GITLINK in (old, new):
            reason = "a submodule's commit never changes here"
        elif new == SYMLINK and leaves_tree(path, git("cat-file", "blob", change["new_id"])):
            reason = "a link that leaves the repository"
        if reason:
            back.append(change)
            left_out.append({"path": path, "reason": reason})
        else:
            kept.append(change)
    lines = b"".join(
        f"{change['old_mode'] if change['old_mode'] != ABSENT else 0} {change['old_id']}\t{change['path']}\0".encode(
            errors="surrogateescape"
        )
        for change in back
    )
    if lines:
        git("update-index", "-z", "--index-info", feed=lines)
    return kept, left_out


def leaves_tree(path: str, target: bytes) -> bool:
    """Whether a link at `path` points outside the repository, or into a `.git`; by its text alone."""
    text = target.decode(errors="surrogateescape")
    if text.startswith("/") or "\0" in text:
        return True
    depth = len(PurePosixPath(path).parts) - 1
    for part in PurePosixPath(text).parts:
        if part.lower() == ".git":
            return True
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def raw_changes(git: Git, *words: str) -> list[dict[str, str]]:
    """`diff-index --raw` as records; a path is what git stores, with odd bytes as surrogates."""
    fields = git("diff-index", "--raw", "-z", "--no-renames", "--full-index", *words).split(b"\0")
    changes = []
    for head, path in zip(fields[::2], fields[1::2], strict=False):
        old_mode, new_mode, old_id, new_id, status = head.decode().lstrip(":").split()
        changes.append(
            {
                "path": path.decode(errors="surrogateescape"),
                "old_mode": old_mode,
                "new_mode": new_mode,
                "old_id": old_id,
                "new_id": new_id,
                "status": status,
            }
        )
    return changes


def added_and_removed(patch: bytes) -> dict[str, tuple[int | None, int | None]]:
    """Lines added and removed by path, counted in a patch without renames; None twice for a binary file."""
    counts: dict[str, tuple[int | None, int | None]] = {}
    for section in re.split(rb"^diff --git ", patch, flags=re.MULTILINE)[1:]:
        head, hunks, body = section.partition(b"\n@@ ")
        name = re.search(rb"^\+\+\+ (?!/dev/null)(.+?)\t?$|^--- (?!/dev/null)(.+?)\t?$", head, re.MULTILINE)
        if not hunks or name is None:
            continue
        path = unquote_path(name[1] or name[2])
        lines = body.split(b"\n")[1:]
        if b"\0" in body:
            counts[path] = (None, None)
        else:
            counts[path] = (sum(line[:1] == b"+" for line in lines), sum(line[:1] == b"-" for line in lines))
    return counts


def unquote_path(shown: bytes) -> str:
    """A path as a patch shows it, without `a/` or `b/`; git quotes odd bytes as C does."""
    if shown.startswith(b'"'):
        shown = shown[1:-1].decode("latin-1").encode("latin-1", "backslashreplace")
        shown = shown.decode("unicode_escape").encode("latin-1")
    return shown[2:].decode(errors="surrogateescape")


def push(job: dict[str, Any]) -> dict[str, Any]:
    """Push the run's branch. The branch must not exist there, or be at our commit already. Safe twice."""
    git = Git(job)
    reference, commit = f"refs/heads/{job['branch']}", job["commit"]
    # The lease says that the branch is new; git takes one that stands at our commit as up to date before it asks.
    lease = f"--force-with-lease={reference}:"
    try:
        git("push", "--quiet", "--no-verify", lease, "--end-of-options", job["url"], f"{commit}:{reference}")
    except GitError:
        there = git("ls-remote", "--end-of-options", job["url"], reference).decode().split()
        if there and there[0] != commit:
            return {"pushed": False, "conflict": there[0], "commit": commit}
        if not there:
            raise
    return {"pushed": True, "commit": commit}


def main(verb: str) -> int:
    """Do the verb; exit code 1 when git said no."""
    job = json.loads(os.environ.pop("MOONMIND_JOB"))
    try:
        result = {"clone": clone, "stage": stage, "push": push}[verb](job)
    except GitError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    if verb == "stage" and result["changed"] and not result["too_large"]:
        with (PRIVATE / "change.patch").open("rb") as patch:
            shutil.copyfileobj(patch, sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
