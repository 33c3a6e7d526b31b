"""Git as the programs of the git container call it: with the private clone, and without the repository's settings.

Changes by the agent to its own `.git` do not affect the commit: the private bare clone is `GIT_DIR`, and the agent's
files are the work tree. The GitHub token is Git configuration in the environment of the exec that needs it.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from moonmind_appliance.in_container.ca_bundle import BUNDLE_NAME
from moonmind_appliance.in_container.shared import answer

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
    # Keep what is fetched as a pack, never as loose objects: `git_cache` stores packs.
    "fetch.unpackLimit": "1",
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
    """Git with the private clone as GIT_DIR and the run's folder as work tree.

    `errors` is a file for Git's standard error; None: this process's own.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.errors: IO[bytes] | None = None
        self.private = Path(job["private"])
        self.directory = self.private / "clone.git"
        self.worktree = Path(job["repository"])
        config = dict(SAFE)
        if (self.private / BUNDLE_NAME).exists():
            config["http.sslCAInfo"] = config["http.proxySSLCAInfo"] = str(self.private / BUNDLE_NAME)
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
        *arguments: str,
        feed: bytes | None = None,
        env: dict[str, str | None] | None = None,
        into: IO[bytes] | None = None,
        cwd: Path | None = None,
    ) -> bytes:
        """Run Git and return its output, unless that goes `into` a file. Standard error goes to `errors`.

        Raises:
            GitError: Git failed.
        """
        done = subprocess.run(  # noqa: S603 - git, with our own arguments
            ["git", *arguments],  # noqa: S607 - on the image's PATH
            check=False,
            input=feed,
            stdin=None if feed is not None else subprocess.DEVNULL,
            stdout=into or subprocess.PIPE,
            stderr=self.errors,
            env={key: value for key, value in {**self.env, **(env or {})}.items() if value is not None},
            cwd=cwd or (self.worktree if self.worktree.is_dir() else self.private),
        )
        if done.returncode:
            raise GitError(f"git {arguments[0]} ended with exit code {done.returncode}")
        return done.stdout or b""


def shown(path: str) -> str:
    """A path for display and strict JSON readers: invalid bytes become replacement characters."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def answer_with(verb: Callable[[dict[str, Any]], dict[str, Any]], job: dict[str, Any]) -> dict[str, Any] | None:
    """Print the verb's result; None if it failed, with the reason on standard error."""
    try:
        result = verb(job)
    except GitError as error:
        sys.stderr.write(f"{error}\n")
        return None
    except OSError as error:
        sys.stderr.write(f"{error.strerror}: {shown(os.fsdecode(error.filename or ''))[-200:]}\n")
        return None
    answer(result)
    return result
