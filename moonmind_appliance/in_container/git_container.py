"""Runs inside the git container: clone, stage, push. Never executes code of the repository.

Standard library only, sent as `python3 -I -S -c`. MOONMIND_JOB contains the parameters as one JSON object; the result
is one JSON line. The GitHub token is Git configuration in the environment of the exec that needs it.

Changes by the agent to its own `.git` do not affect the commit: the private bare clone is `GIT_DIR`, and the agent's
files are the work tree. Every nested `.git` is removed before Git reads the work tree: Git starts a second Git inside a
nested repository, with that repository's fsmonitor and filters, despite the outer configuration (seen on 2.39).
"""

import filecmp
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import IO, Any

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
GITLINK = "160000"
SYMLINK = "120000"
ABSENT = "000000"
# Most files reported of a change that is too large: a package manager can leave hundreds of thousands.
MOST_TOLD = 1000
# Most left-out or removed paths reported, besides their number; an agent can make 60,000 links in a second.
MOST_LEFT_OUT, LONGEST_TOLD = 100, 500

# Names that some file systems treat as `.git`, so Git refuses them (verify_path in Git's read-cache.c; GitHub refuses
# the same): HFS+ ignores these characters; NTFS ignores trailing blanks and dots and text after a colon, and has a
# short name for it.
IGNORED_BY_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
MODULES_NAME = re.compile(r"\.gitmodules|gitmod~\d|gi7[0-9a-f]{3}~\d")

# Configuration on the command line, which files in the work tree cannot override.
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
    # Git sends the token's header to the target of any redirect. A renamed repository is requested by its new name.
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "120",
}


class GitError(Exception):
    """The verb failed; Git's own message, if any, is already on standard error."""


class Git:
    """Git with the private clone as GIT_DIR and the run's folder as work tree."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.private = Path(job["private"])
        self.directory = self.private / "clone.git"
        self.worktree = Path(job["repository"])
        config = dict(SAFE)
        if (self.private / "ca.pem").exists():
            config["http.sslCAInfo"] = str(self.private / "ca.pem")
        secret = int(os.environ.get("GIT_CONFIG_COUNT", "0"))
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith("GIT_CONFIG_")},
            "HOME": str(self.private),
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

    def __call__(
        self,
        *words: str,
        feed: bytes | None = None,
        env: dict[str, str | None] | None = None,
        into: IO[bytes] | None = None,
        cwd: Path | None = None,
    ) -> bytes:
        """Run Git and return its output, unless that goes `into` a file. Git inherits standard error.

        Raises:
            GitError: Git failed.
        """
        done = subprocess.run(  # noqa: S603 - git, with our own words
            ["git", *words],  # noqa: S607 - the image's git, on a PATH that is the image's
            check=False,
            input=feed,
            stdin=None if feed is not None else subprocess.DEVNULL,
            stdout=into or subprocess.PIPE,
            env={key: value for key, value in {**self.env, **(env or {})}.items() if value is not None},
            cwd=cwd or (self.worktree if self.worktree.is_dir() else self.private),
        )
        if done.returncode:
            raise GitError(f"git {words[0]} ended with exit code {done.returncode}")
        return done.stdout or b""


def clone(job: dict[str, Any]) -> dict[str, Any]:
    """Make a private bare clone, the files of the base branch, a copy for the agent, and the scaffold if it is missing.

    Idempotent: files of an earlier attempt are removed first.
    """
    workspace, private = Path(job["workspace"]), Path(job["private"])
    for leftover in (private / "clone.git", workspace):
        remove(leftover)
    (workspace / "repo").mkdir(parents=True)
    extra = private / "extra-ca.pem"
    if extra.is_file():
        (private / "ca.pem").write_bytes(SYSTEM_BUNDLE.read_bytes() + b"\n" + extra.read_bytes())
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
    copied, whole = copy_scaffold(git, Path(job["scaffold"]))
    # With this index `stage` starts at the base, and recognises files that were not changed since. Its time is kept:
    # Git re-reads files that are as new as the index.
    shutil.copy2(git.directory / "index", private / "base.index")
    base_facts = {"commit": commit, "tree": tree, "scaffold": copied, "whole": whole}
    (private / "base.json").write_text(json.dumps(base_facts))
    return {"base_commit": commit, "scaffold_files": len(copied), "scaffold_folders": whole}


def copy_for_agent(git: Git, url: str) -> None:
    """Copy `.git` for the agent, so that its changes there do not affect the private clone."""
    own = git.worktree / ".git"
    shutil.copytree(git.directory, own)
    with (own / "config").open("a", encoding="utf-8") as config:
        config.write(f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {json.dumps(url)}\n')


def copy_scaffold(git: Git, scaffold: Path) -> tuple[list[str], list[str]]:
    """Copy the Spec Kit files that the repository lacks; returns them, and the top folders that only the scaffold has.

    Replaces none of the repository's files, and writes through none of its links.
    """
    whole = [top.name for top in scaffold.iterdir() if not os.path.lexists(git.worktree / top.name)]
    copied = []
    for source in sorted(scaffold.rglob("*")):
        path = source.relative_to(scaffold)
        target = git.worktree / path
        if any((git.worktree / parent).is_symlink() for parent in path.parents) or os.path.lexists(target):
            continue
        if not target.parent.is_dir():
            continue
        if source.is_dir():
            target.mkdir()
        else:
            shutil.copyfile(source, target)
            shutil.copymode(source, target)
            copied.append(path.as_posix())
    return copied, whole


def stage(job: dict[str, Any]) -> dict[str, Any]:
    """Add the agent's files to the private index, and make a tree, a commit and a patch of them.

    Standard output gets the result line, then the patch, unless it is larger than `max_bytes`. Idempotent.
    """
    git = Git(job)
    for folder in (git.worktree.parent, git.worktree):
        if folder.is_symlink() or not folder.is_dir():
            raise GitError(f"{folder} is no longer a directory of this run")
    base = json.loads((git.private / "base.json").read_text())
    removed, refused = make_fit(git.worktree)
    shutil.copy2(git.private / "base.index", git.directory / "index")
    git("add", "--all", "--", ".")
    feature = job.get("feature_directory")
    if feature and is_plain_folder(git.worktree, feature) and any((git.worktree / feature).iterdir()):
        git("add", "--all", "--force", "--", f":(literal){feature}")
    kept, left_out = take_back(git, base, job)
    tree = git("write-tree").decode().strip()
    result: dict[str, Any] = {
        "base_commit": base["commit"],
        "tree": tree,
        "left_out": [{**entry, "path": entry["path"][:LONGEST_TOLD]} for entry in (refused + left_out)[:MOST_LEFT_OUT]],
        "left_out_count": len(refused) + len(left_out),
        "nested_repositories_removed": [path[:LONGEST_TOLD] for path in removed[:MOST_LEFT_OUT]],
        "nested_repository_count": len(removed),
        "files": [],
        "file_count": len(kept),
    }
    if tree == base["tree"]:
        return result | {"changed": False, "commit": base["commit"], "patch_bytes": 0}
    size = write_patch(git, base["commit"], tree, kept, job["max_bytes"])
    if size > job["max_bytes"]:
        result["files"] = [{"path": shown(change["path"]), "status": change["status"]} for change in kept[:MOST_TOLD]]
    else:
        counts = added_and_removed((git.private / "change.patch").read_bytes())
        for change in kept:
            added, gone = counts.get(change["path"], (0, 0))
            told = {"path": shown(change["path"]), "status": change["status"], "added": added, "removed": gone}
            result["files"].append(told)
    identity: dict[str, str | None] = {
        "GIT_AUTHOR_NAME": job["author_name"],
        "GIT_AUTHOR_EMAIL": job["author_email"],
        "GIT_COMMITTER_NAME": job["author_name"],
        "GIT_COMMITTER_EMAIL": job["author_email"],
        # Depends only on the run, so that the same files give the same commit on a second attempt.
        "GIT_AUTHOR_DATE": job["date"],
        "GIT_COMMITTER_DATE": job["date"],
    }
    message = job["message"].encode()
    commit = git("commit-tree", tree, "-p", base["commit"], feed=message, env=identity).decode().strip()
    git("update-ref", f"refs/heads/{job['branch']}", commit)
    return result | {"changed": True, "commit": commit, "patch_bytes": size, "too_large": size > job["max_bytes"]}


def write_patch(git: Git, base: str, tree: str, kept: list[dict[str, str]], max_bytes: int) -> int:
    """Write the patch to its file; returns its size in bytes.

    If the files have grown by more than `max_bytes`, no patch is made, and the growth is returned: Git needs several
    times a file's size of memory to show it, and cannot show a file of a gigabyte at all.
    """
    ids = "".join(f"{change['old_id']}\n{change['new_id']}\n" for change in kept).encode()
    sizes = [
        int(line) if line.isdigit() else 0
        for line in git("cat-file", "--batch-check=%(objectsize)", feed=ids).split(b"\n")
    ]
    grown = sum(max(0, new - old) for old, new in zip(sizes[::2], sizes[1::2], strict=False))
    if grown > max_bytes:
        return grown
    plain = ["--no-ext-diff", "--no-textconv", "--no-color", "--no-renames"]
    with (git.private / "change.patch").open("wb") as patch:
        git("diff-tree", "-r", "-p", "--text", "--full-index", *plain, base, tree, into=patch)
        return os.fstat(patch.fileno()).st_size


def shown(path: str) -> str:
    """A path for display and strict JSON readers: invalid bytes become replacement characters."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def is_plain_folder(worktree: Path, path: str) -> bool:
    """Whether `path` is a folder of the work tree, without a link on the way."""
    steps = [worktree / parent for parent in (*PurePosixPath(path).parents, PurePosixPath(path))]
    return all(step.is_dir() and not step.is_symlink() for step in steps)


def make_fit(worktree: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Make the work tree acceptable to Git. Follows no link.

    Removes every `.git` (file, folder or link) at any depth, names that other file systems treat as `.git`, and
    everything that is not a file, folder or link. Makes folders and files readable for their owner.

    Returns the nested repositories removed, and the links that Git refuses because of their name, with the reason.
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
    """Remove a file, link or folder, even with folders that are not writable. Idempotent."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    # These tools also remove folders nested deeper than the longest path.
    for words in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
        subprocess.run([*words, "--", path], check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - coreutils
    if path.exists():
        raise GitError(f"{path} cannot be removed")


def take_back(git: Git, base: dict[str, Any], job: dict[str, Any]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Remove from the index what does not belong in the commit.

    Returns the remaining changes, and the left-out paths that reviewers should know of, with the reason.
    """
    own_files = set(base["scaffold"]) | {".specify/feature.json"}
    changes = raw_changes(git, "--cached", base["commit"])
    same = untouched(git, changes)
    targets = link_targets(git, changes)
    left_out, back, kept = [], [], []
    for change in changes:
        path, old, new = change["path"], change["old_mode"], change["new_mode"]
        top = PurePosixPath(path).parts[0]
        reason = ""
        if not job["commit_scaffold"] and old == ABSENT and (path in own_files or top in base["whole"]):
            back.append(change)
            continue
        if path in same:
            back.append(change | {"old_mode": new})
            if new == old:
                continue
        if GITLINK in (old, new):
            reason = "submodule commits are not changed"
        elif new == SYMLINK and leaves_tree(path, targets[change["new_id"]]):
            reason = "a link that points outside the repository"
        if reason:
            back.append(change)
            left_out.append({"path": shown(path), "reason": reason})
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


def link_targets(git: Git, changes: list[dict[str, str]]) -> dict[str, bytes]:
    """The targets of the links among the changes, by blob id. One process reads them all."""
    ids = list(dict.fromkeys(change["new_id"] for change in changes if change["new_mode"] == SYMLINK))
    if not ids:
        return {}
    said = git("cat-file", "--batch", feed="".join(f"{blob}\n" for blob in ids).encode())
    targets, at = {}, 0
    while at < len(said):
        head, _, _ = said[at : at + 200].partition(b"\n")
        blob, _, size = head.decode().split()
        begin = at + len(head) + 1
        targets[blob] = said[begin : begin + int(size)]
        at = begin + int(size) + 1
    return targets


def untouched(git: Git, changes: list[dict[str, str]]) -> set[str]:
    """The files that Git would convert although they are exactly what a checkout of the base writes.

    Many repositories have files that violate their own attributes (line endings, encodings). The change must not
    include such conversions.
    """
    edited = [
        c["path"] for c in changes if {c["old_mode"], c["new_mode"]} <= {"100644", "100755"} and c["status"] == "M"
    ]
    if not edited:
        return set()
    fresh = git.private / "fresh"
    remove(fresh)
    fresh.mkdir()
    paths = b"".join(path.encode(errors="surrogateescape") + b"\0" for path in edited)
    places = {"GIT_WORK_TREE": str(fresh), "GIT_INDEX_FILE": str(git.private / "base.index")}
    git("checkout-index", "--force", "-z", "--stdin", feed=paths, env=dict(places), cwd=fresh)
    same = {path for path in edited if filecmp.cmp(fresh / path, git.worktree / path, shallow=False)}
    remove(fresh)
    return same


def leaves_tree(path: str, target: bytes) -> bool:
    """Whether a link at `path` points outside the repository, or into a `.git`, judged by its text alone."""
    text = target.decode(errors="surrogateescape")
    parts = PurePosixPath(text).parts
    if text.startswith("/") or "\0" in text or any(is_git_name(part) for part in parts):
        return True
    ups = parts.count("..")
    # `..` after a name: the target depends on whether the name is a link.
    return ".." in parts[ups:] or ups > len(PurePosixPath(path).parts) - 1


def raw_changes(git: Git, *words: str) -> list[dict[str, str]]:
    """`diff-index --raw` as records; a path is what Git stores, with invalid bytes as surrogates."""
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
    """A path as a patch shows it, without `a/` or `b/`; Git quotes unusual bytes as C does."""
    if shown.startswith(b'"'):
        shown = shown[1:-1].decode("latin-1").encode("latin-1", "backslashreplace")
        shown = shown.decode("unicode_escape").encode("latin-1")
    return shown[2:].decode(errors="surrogateescape")


def push(job: dict[str, Any]) -> dict[str, Any]:
    """Push the run's branch. It must not exist on GitHub, or be at this commit already. Idempotent."""
    git = Git(job)
    reference, commit = f"refs/heads/{job['branch']}", job["commit"]
    # The lease requires a new branch; Git treats a branch at this commit as up to date before it checks the lease.
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
    """Run the verb; exit code 1 if Git failed."""
    job = json.loads(os.environ.pop("MOONMIND_JOB"))
    try:
        result = {"clone": clone, "stage": stage, "push": push}[verb](job)
    except GitError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{error.strerror}: {shown(os.fsdecode(error.filename or ''))[-200:]}\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    if verb == "stage" and result["changed"] and not result["too_large"]:
        with (Path(job["private"]) / "change.patch").open("rb") as patch:
            shutil.copyfileobj(patch, sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
