"""A new CODEX_HOME that contains only a copy of the login file.

A `config.toml` in the login volume would send the next login to another server. So Codex never works in the volume. It
gets a new folder in the container's own scratch space, and a login that it renewed there is moved back by rename.
"""

import os
import tempfile
import threading
from pathlib import Path
from typing import Self

from moonmind_appliance.in_container.login_volume import CODEX_LOGIN, LOGIN_FILE_LIMIT, write_by_rename
from moonmind_appliance.in_container.shared import read_regular

# A renewal invalidates the old tokens, so the new ones are stored before the turn ends.
LOOK_SECONDS = 0.1


class CodexHome:
    """A new CODEX_HOME during a `with` block, with a copy of the login.

    A login that the block's program changes is moved back to the volume within a tenth of a second, and at the end of
    the block. A login that the program removes stays in the volume.
    """

    def __init__(self, home: Path, volume: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="codex-", dir=home))
        self.login = self.folder / CODEX_LOGIN
        self.kept = volume / CODEX_LOGIN
        self.known = read_regular(self.kept, LOGIN_FILE_LIMIT)
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.watcher = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> Self:
        if self.known is not None:
            write_by_rename(self.login, self.known)
        self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.watcher.join()
        self.move_back()

    def environment(self) -> dict[str, str]:
        """The process's own environment with this CODEX_HOME."""
        return {**os.environ, "CODEX_HOME": str(self.folder)}

    def watch(self) -> None:
        """Watch for a renewed login until the end of the block."""
        while not self.over.wait(LOOK_SECONDS):
            self.move_back()

    def move_back(self) -> None:
        """Store the login in the volume if it changed. An incomplete file is ignored."""
        with self.lock:
            content = read_regular(self.login, LOGIN_FILE_LIMIT)
            if content is None or content == self.known or not content.rstrip().endswith(b"}"):
                return
            try:
                write_by_rename(self.kept, content)
            except OSError:
                return
            self.known = content
