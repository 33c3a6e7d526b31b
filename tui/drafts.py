"""The draft of the new-run form: it survives a closed or killed terminal."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from moonmind_appliance.printable import is_blank
from moonmind_appliance.untrusted_json import decode

_FILE = "new-run-draft.json"
_FOLDER = "moonmind-appliance"
_LARGEST = 8 * 1024 * 1024


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """The form's fields as typed, valid or not. `shard` is None for any."""

    repository: str = ""
    base_branch: str = "main"
    specify_text: str = ""
    dry_run: bool = False
    external_ref: str = ""
    shard: int | None = None
    saved_at: datetime | None = None

    @property
    def empty(self) -> bool:
        """Whether the draft contains nothing worth saving."""
        return all(map(is_blank, (self.repository, self.specify_text, self.external_ref)))

    def same_as(self, other: "Draft") -> bool:
        """Whether the fields are equal, without the times of saving."""
        return msgspec.structs.replace(self, saved_at=None) == msgspec.structs.replace(other, saved_at=None)


class DraftFile:
    """One draft in one file that only its owner can read. Safe from several threads and processes: last save wins."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Draft | None:
        """The draft; None if there is no file, or if it is not a draft of this user."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_size > _LARGEST:
                return None
            try:
                return decode(file.read(), Draft)
            except (OSError, msgspec.DecodeError):
                return None

    def save(self, draft: Draft) -> None:
        """Replace the draft atomically; if that fails, the older one is unchanged.

        Raises:
            OSError: it could not be written.
        """
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp creates the file with access for its owner only.
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(_encodable(draft)))
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    def clear(self) -> None:
        """Remove the draft. Idempotent.

        Raises:
            OSError: it could not be removed.
        """
        self.path.unlink(missing_ok=True)


def draft_file(data_folder: Path, environment: Mapping[str, str] = os.environ) -> DraftFile:
    """The draft of this user: in the user's state folder, or in the data folder for a user without a home.

    The state folder is that of the XDG base directory specification.
    """
    state = Path(environment.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        home = Path(environment.get("HOME", ""))
        state = home / ".local/state" if home.is_absolute() else data_folder
    return DraftFile(state / _FOLDER / _FILE)


def _encodable(draft: Draft) -> Draft:
    """Replace lone surrogates, which UTF-8 cannot encode; the form reports them, the draft keeps the other text."""
    fields: dict[str, Any] = {
        name: value.encode(errors="replace").decode() if isinstance(value, str) else value
        for name, value in msgspec.structs.asdict(draft).items()
    }
    return Draft(**fields)
