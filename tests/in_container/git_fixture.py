"""The git container's program as the container runs it, in folders of a test, against the stand-in GitHub."""

import base64
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from moonmind_appliance.in_container.protected_patterns import DEFAULT
from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.in_container.sent import CHANGES_USER, USER, run_program

TOKEN = "ghp_gitFixtureToken0123456789abcdefghijk"
BRANCH = "speckit/20260301/0a1b2c3d"
FEATURE = "specs/001-dark-mode"
SPEC = f"{FEATURE}/spec.md"
# A command; its arguments are the number of links, and their target with {} for the number.
MAKE_LINKS = (
    "python3 -c 'import os,sys\nfor n in range(int(sys.argv[1])): os.symlink(sys.argv[2].format(n), f\"l{n}\")'"
)

_CLEAN = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
}
_SOMEBODY = {
    "GIT_AUTHOR_NAME": "Sample",
    "GIT_AUTHOR_EMAIL": "sample@example.invalid",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00+0000",
    "GIT_COMMITTER_NAME": "Sample",
    "GIT_COMMITTER_EMAIL": "sample@example.invalid",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00+0000",
}


class Answer(NamedTuple):
    """What one run of the program gave."""

    code: int
    result: dict[str, Any]
    patch: bytes
    stderr: str


def git(folder: Path | str, *words: str, feed: bytes | None = None, index: Path | None = None) -> bytes:
    """Ask a repository; the test's own identity and no configuration."""
    env = _CLEAN | _SOMEBODY | {"GIT_CONFIG_COUNT": "1"}
    env |= {"GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    if index:
        env["GIT_INDEX_FILE"] = str(index)
    done = subprocess.run(["git", "-C", folder, *words], input=feed, capture_output=True, env=env, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


class GitRun:
    """One repository on the stand-in, one run's folders."""

    def __init__(self, root: Path, github: StandInGitHub) -> None:
        self.root = root
        self.github = github
        self.slug = f"acme/{root.name}"
        self.private = root / "private"
        self.workspace = root / "runs" / "run-1"
        self.repository = self.workspace / "repo"
        self.scaffold = root / "scaffold"
        for folder in (self.private, root / "runs"):
            folder.mkdir()
        self.write(
            {
                ".specify/templates/spec-template.md": "# [FEATURE NAME]\n",
                ".specify/scripts/bash/common.sh": "#!/bin/sh\n",
                ".specify/memory/constitution.md": "# Constitution\n",
                ".agents/skills/speckit-specify/SKILL.md": "---\nname: speckit-specify\n---\n",
                ".agents/skills/speckit-plan/SKILL.md": "---\nname: speckit-plan\n---\n",
            },
            self.scaffold,
        )
        (self.scaffold / ".specify/scripts/bash/common.sh").chmod(0o755)
        self._give_away()

    def _give_away(self) -> None:
        if CHANGES_USER:
            subprocess.run(["chown", "-hR", f"{USER}:{USER}", self.root / "private", self.root / "runs"], check=True)

    def host(
        self,
        files: Mapping[str, str | bytes] | None = None,
        make: Callable[[Path], object] | None = None,
        *,
        branch: str = "main",
        history: int = 1,
    ) -> None:
        """Put a repository on the stand-in: these files, and whatever `make` does in its folder and index."""
        source = self.root / "source"
        source.mkdir()
        git(source, "init", "--quiet", f"--initial-branch={branch}")
        for number in range(1, history):
            (source / "history.txt").write_text(f"{number}\n")
            git(source, "add", "--all")
            git(source, "commit", "--quiet", "-m", f"number {number}")
        self.write({"README.md": "# Shop\n"} if files is None else files, source)
        git(source, "add", "--all", "--force")
        if make:
            make(source)
        git(source, "commit", "--quiet", "--allow-empty", "-m", "first")
        self.github.add_repository(self.slug, source, default_branch=branch)

    def new_root(self, files: Mapping[str, str | bytes], *, branch: str = "main") -> str:
        """Replace the branch on the stand-in by a first commit with these files; the old commits are deleted there."""
        folder = self.root / f"root-{len(list(self.root.glob('root-*')))}"
        folder.mkdir()
        git(folder, "init", "--quiet", f"--initial-branch={branch}")
        self.write(files, folder)
        git(folder, "add", "--all", "--force")
        git(folder, "commit", "--quiet", "-m", "new root")
        git(self.hosted, "fetch", "--quiet", str(folder), f"+{branch}:{branch}")
        self.forget()
        return git(self.hosted, "rev-parse", branch).decode().strip()

    def forget(self) -> None:
        """Delete unreachable commits on the stand-in, as GitHub does at some time."""
        git(self.hosted, "reflog", "expire", "--expire=now", "--all")
        git(self.hosted, "gc", "--quiet", "--prune=now")

    @staticmethod
    def write(files: Mapping[str, str | bytes], folder: Path) -> None:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def run(self, verb: str, *, token: str = TOKEN, server: str | None = None, **fields: Any) -> Answer:
        """One program, called as the appliance calls it; `server` is another address of the stand-in."""
        server = server or self.github.server_url
        job = {
            "private": str(self.private),
            "extra_ca": str(self.private / "extra-ca.pem"),
            "scaffold": str(self.scaffold),
            "integration": "codex",
            "workspace": str(self.workspace),
            "repository": str(self.repository),
            "url": f"{server}/{self.slug}.git",
            "branch": BRANCH,
            "base_branch": "main",
            "depth": 50,
        }
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        env = _CLEAN | {
            "HOME": str(self.private),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{server}/.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
        done = run_program(f"git_{verb}", job | fields, env=env, cwd=self.private)
        line, _, patch = done.stdout.partition(b"\n")
        return Answer(done.returncode, json.loads(line) if line else {}, patch, done.stderr.decode(errors="replace"))

    def clone(self, **fields: Any) -> Answer:
        answer = self.run("clone", **fields)
        assert answer.code == 0, answer.stderr
        return answer

    def stage(self, **fields: Any) -> Answer:
        answer = self.run("stage", **(self.stage_job() | fields))
        assert answer.code == 0, answer.stderr
        return answer

    def stage_job(self) -> dict[str, Any]:
        folders = [str(self.root / "runs"), str(self.private)]
        return {
            "measure": {"folders": folders, "most_bytes": 2**40, "most_files": 10**6},
            "feature_directory": FEATURE,
            "commit_scaffold": False,
            "protected": DEFAULT,
            "max_bytes": 10 * 1024**2,
            "author_name": "MoonMind Appliance",
            "author_email": "moonmind@example.invalid",
            "date": "1772366400 +0000",
            "message": "Add the specification: Dark mode\n",
        }

    def push(self, commit: str, **fields: Any) -> Answer:
        return self.run("push", **({"commit": commit, "base_head": None} | fields))

    def agent(self, script: str, **more: str) -> None:
        """Runs a shell command in the workspace as the agent would."""
        subprocess.run(
            ["bash", "-euc", script],
            cwd=self.repository,
            env=_CLEAN | _SOMEBODY | {"HOME": str(self.root / "runs"), "FEATURE": FEATURE} | more,
            user=USER if CHANGES_USER else None,
            group=USER if CHANGES_USER else None,
            extra_groups=[] if CHANGES_USER else None,
            check=True,
        )

    def specify(self) -> None:
        """The least that an agent does."""
        self.agent('mkdir -p "$FEATURE"; echo "# Dark mode" > "$FEATURE/spec.md"')

    def changes(self, answer: Answer) -> dict[str, str]:
        """Each path of the commit that differs from the base, with its mode there ("000000" where it is gone)."""
        words = ("diff", "--raw", "-z", "--no-renames", answer.result["base_commit"], answer.result["commit"])
        fields = git(self.private / "clone.git", *words).split(b"\0")
        return {
            path.decode(errors="surrogateescape"): head.split()[1].decode()
            for head, path in zip(fields[::2], fields[1::2], strict=False)
        }

    def blob(self, commit: str, path: str) -> bytes:
        return git(self.private / "clone.git", "cat-file", "blob", f"{commit}:{path}")

    @property
    def hosted(self) -> Path:
        """The bare repository on the stand-in."""
        return self.github.git_folder(self.slug)

    def heads(self) -> dict[str, str]:
        lines = git(self.hosted, "for-each-ref", "--format=%(refname) %(objectname)").decode().splitlines()
        return {name: commit for name, _, commit in (line.partition(" ") for line in lines)}


@contextmanager
def git_run_folders(github: StandInGitHub) -> Iterator[GitRun]:
    """Folders that the containers' user can reach, which pytest's own are not."""
    root = Path(tempfile.mkdtemp(prefix="moonmind-git-"))
    root.chmod(0o755)
    try:
        yield GitRun(root, github)
    finally:
        for words in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            subprocess.run([*words, root], check=False, capture_output=True)
