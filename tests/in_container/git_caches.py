"""A cache's folder for the tests of the programs, and waiting for the process that writes it."""

import fcntl
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.git_cache import Record, parse_record
from tests.in_container.git_fixture import Answer, GitRun
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
        """Wait until no process has the folder as its job."""
        give_up = time.monotonic() + 30
        while _writers(self.path):
            assert time.monotonic() < give_up
            time.sleep(0.02)

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

    def lock(self, name: str) -> Any:
        """An open lock file, locked exclusively until it is closed."""
        file = (self.path / name).open("ab")
        fcntl.flock(file, fcntl.LOCK_EX)
        return file


def _writers(folder: Path) -> list[str]:
    """The processes whose command names the folder, and that write the cache."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(part.startswith(b'{"save"') and str(folder).encode() in part for part in arguments[-3:]):
            found.append(process.name)
    return found
