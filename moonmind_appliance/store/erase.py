"""Remove the files that the appliance keeps in its data folder, and nothing else."""

import shutil
from pathlib import Path

from moonmind_appliance.errors import StoreError

_PATTERNS = ("appliance.db*", "huey.db*", "serve.lock", "backups", "runs", "workspaces", ".moonmind-*.part")


def erase_data(data_dir: Path) -> list[str]:
    """Remove database, queue, backups and artifacts, and the folder if it is empty then; returns the removed paths.

    The caller has the folder's lock. Idempotent. Files of other programs are left. A link is removed, not its target.

    Raises:
        StoreError: a file cannot be removed; the rest is left.
    """
    removed = []
    try:
        for path in sorted(found for pattern in _PATTERNS for found in data_dir.glob(pattern)):
            if path.is_mount():
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            removed.append(str(path))
        if data_dir.is_dir() and not any(data_dir.iterdir()) and not data_dir.is_mount():
            data_dir.rmdir()
            removed.append(str(data_dir))
    except OSError as error:
        raise StoreError(
            f"{error.filename or data_dir} cannot be removed: {error.strerror}.",
            hint="Run this as the owner of the data folder, usually root.",
        ) from error
    return removed
