"""A cache's folder for the tests of the programs, and waiting for the process that writes it."""

import fcntl
import json
import subprocess
import time
from pathlib import Path
from typing import Any, BinaryIO

from moonmind_appliance.in_container.git_cache import Record, parse_record
from tests.in_container.git_fixture import Answer, GitRun, git
from tests.in_container.sent import CHANGES_USER, USER

GIB = 1024**3


class CacheFolder:
    """The folder that a clone has as its repository's cache."""

    def __init__(self, run: GitRun, name: str = "cache") -> None:
        self.run = run
        self.path = run.root / name
        self.path.mkdir()
        if CHANGES_USER:
            subprocess.run(["chown", f"{USER}:{USER}", self.path], check=True)

    @property
    def job(self) -> dict[str, Any]:
        return {"folder": str(self.path), "most_bytes": GIB, "min_free": 0}

    def try_clone(self, *, limits: dict[str, int] | None = None, **fields: Any) -> Answer:
        """One clone with the cache; its writer, if it started one, has ended."""
        answer = self.run.run("clone", cache=self.job | (limits or {}), **fields)
        self.wait_for_writer()
        return answer

    def clone(self, *, limits: dict[str, int] | None = None, **fields: Any) -> Answer:
        """As `try_clone`, and it succeeds."""
        answer = self.try_clone(limits=limits, **fields)
        assert answer.code == 0, answer.stderr
        return answer

    def wait_for_writer(self) -> None:
        """Wait until no process writes the cache."""
        give_up = time.monotonic() + 30
        while self.writers():
            assert time.monotonic() < give_up
            time.sleep(0.02)

    def writers(self) -> list[Path]:
        """The processes that write the cache, as folders of /proc."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                *_, job, _ = (process / "cmdline").read_bytes().split(b"\0")
            except (OSError, ValueError):
                continue
            if job.startswith(b'{"save"') and str(self.path).encode() in job:
                found.append(process)
        return found

    @property
    def current(self) -> Path:
        return self.path / "current"

    def record(self) -> Record:
        return parse_record((self.current / "record.json").read_bytes())

    def change_record(self, **changes: Any) -> None:
        """Change fields of record.json."""
        path = self.current / "record.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def packs(self, ending: str = "pack") -> list[Path]:
        return sorted(self.current.glob(f"*.{ending}"))

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.path.iterdir())

    def lock(self, name: str) -> BinaryIO:
        """An open lock file, locked by a reader until it is closed."""
        path = self.path / name
        file = path.open("ab")
        path.chmod(0o666)
        fcntl.flock(file, fcntl.LOCK_SH)
        return file


def commit_file(run: GitRun, name: str, content: str, *, branch: str = "main") -> str:
    """Add a commit with this file to a branch on the stand-in; returns its id."""
    index = run.root / "added.index"
    blob = git(run.hosted, "hash-object", "-w", "--stdin", feed=content.encode()).decode().strip()
    git(run.hosted, "read-tree", branch, index=index)
    git(run.hosted, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", index=index)
    tree = git(run.hosted, "write-tree", index=index).decode().strip()
    commit = git(run.hosted, "commit-tree", tree, "-p", branch, "-m", name).decode().strip()
    git(run.hosted, "update-ref", f"refs/heads/{branch}", commit)
    return commit


def state_of(run: GitRun, base: str = "main") -> dict[str, object]:
    """What is visible of a clone: refs, history, missing parents and files, in both copies."""
    seen: dict[str, object] = {}
    for folder in (run.private / "clone.git", run.repository / ".git"):
        shallow = folder / "shallow"
        seen[folder.name] = (
            git(folder, "for-each-ref"),
            git(folder, "rev-list", base),
            sorted(shallow.read_text().split()) if shallow.exists() else [],
            sorted(entry.name for entry in folder.iterdir()),
            sorted(str(path.relative_to(folder)) for path in (folder / "refs").rglob("*")),
        )
    files = sorted(path for path in run.repository.rglob("*") if ".git" not in path.relative_to(run.repository).parts)
    content = {str(path.relative_to(run.repository)): path.read_bytes() for path in files if path.is_file()}
    return seen | {"files": content, "status": git(run.repository, "status", "--porcelain", "--untracked=no")}
