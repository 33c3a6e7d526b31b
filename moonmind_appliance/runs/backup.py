"""Back up an appliance while it runs: its database, and its artifacts if wanted. Logins and settings are never in it.

The archive contains `manifest.json`, `appliance.db`, the artifacts under their storage paths, and `SHA256SUMS` at the
end, in the format of `sha256sum`. An archive without that last file is incomplete.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec

from moonmind_appliance.archive import ArchiveWriter, refused
from moonmind_appliance.artifact_files import ARTIFACT_PATH
from moonmind_appliance.errors import StoreError
from moonmind_appliance.store import DATABASE_NAME
from moonmind_appliance.store.database_copy import artifact_paths, check_exists, copy_of, open_database
from moonmind_appliance.units import size
from moonmind_appliance.version import appliance_version

FORMAT = 1
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
NOT_INCLUDED = "ChatGPT logins (Docker volumes), settings (env file), workspaces of runs (Docker volumes)"

Progress = Callable[[str, int, int], None]
"""Receives the current step, what of it is done, and what there is to do, in one unit."""


class FileFacts(msgspec.Struct, frozen=True):
    """A file in the archive."""

    size_bytes: int
    sha256: str


class ArtifactsFacts(msgspec.Struct, frozen=True):
    """The artifacts in the archive. The numbers are from before they were read: a log may have grown since, and
    retention may have removed some."""  # noqa: D205, D209 - one sentence

    included: bool
    files: int = 0
    size_bytes: int = 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup contains. `rows` has the number of rows by table, `data_dir` the folder that was backed up."""

    format: int
    version: str
    made_at: datetime
    appliance_id: str
    data_dir: str
    migrations: list[str]
    rows: dict[str, int]
    database: FileFacts
    artifacts: ArtifactsFacts
    not_included: str = NOT_INCLUDED


def back_up(
    data_dir: Path, sink: IO[bytes], work: Path, *, artifacts: bool, keep_free: int, progress: Progress
) -> Manifest:
    """Write a backup to `sink`. Works while `serve` runs, and delays no writer.

    The artifacts are read after the database. Those of a running run may be newer than their rows: restore corrects it.

    Args:
        data_dir: the appliance's data folder.
        sink: where the archive is written; it need not be seekable.
        work: a private folder, for a copy of the database.
        artifacts: whether to include the artifacts.
        keep_free: bytes that must stay free on the data folder's disk, if `work` is there.
        progress: called often.

    Raises:
        StoreError: the database or an artifact cannot be read, the database is damaged, or a disk has too little space.
        OSError: `sink` cannot be written.
    """
    database = data_dir / DATABASE_NAME
    check_exists(database)
    _check_room(data_dir, work, keep_free)
    made_at = datetime.now(UTC)
    copy = work / DATABASE_NAME
    facts = copy_of(database, copy, lambda done, total: progress("Copying the database", done, total))
    with copy.open("rb") as file, open_database(copy) as rows:
        planned = _planned(data_dir, artifact_paths(rows)) if artifacts else ArtifactsFacts(included=False)
        length = os.fstat(file.fileno()).st_size
        manifest = Manifest(
            format=FORMAT,
            version=appliance_version(),
            made_at=made_at,
            appliance_id=facts.appliance_id,
            data_dir=str(data_dir),
            migrations=facts.migrations,
            rows=facts.rows,
            database=FileFacts(length, _sha256(file)),
            artifacts=planned,
        )
        archive = ArchiveWriter(sink, at=made_at.timestamp())
        archive.add(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        with (work / SUMS).open("w+b") as sums:
            file.seek(0)
            written = archive.add(DATABASE_NAME, _Counted(file, "Packing the database", length, progress), size=length)
            sums.write(sum_line(written.sha256, written.name))
            if artifacts:
                for sha256, name in _pack(archive, data_dir, artifact_paths(rows), planned, progress):
                    sums.write(sum_line(sha256, name))
            length = sums.tell()
            sums.seek(0)
            archive.add(SUMS, sums, size=length)
        archive.close()
    return manifest


def sum_line(sha256: str, name: str) -> bytes:
    """A line of `SHA256SUMS`."""
    return f"{sha256}  {name}\n".encode()


def _pack(
    archive: ArchiveWriter, data_dir: Path, paths: Iterator[str], planned: ArtifactsFacts, progress: Progress
) -> Iterator[tuple[str, str]]:
    """Add the artifacts that exist; the SHA-256 and the name of each."""
    for done, name in enumerate(_safe(paths)):
        progress("Packing artifacts", done, planned.files)
        path = data_dir / name
        try:
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise refused(path, error) from error
        with os.fdopen(file, "rb") as content:
            # A log that grows meanwhile is cut at its size now.
            written = archive.add(name, content, size=os.fstat(file).st_size)
        yield written.sha256, name


def _planned(data_dir: Path, paths: Iterator[str]) -> ArtifactsFacts:
    files = total = 0
    for name in _safe(paths):
        try:
            total += (data_dir / name).stat().st_size
        except OSError:
            continue
        files += 1
    return ArtifactsFacts(included=True, files=files, size_bytes=total)


def _safe(paths: Iterator[str]) -> Iterator[str]:
    """The paths that lead into the folder of a run; a damaged row may contain any other text."""
    return (path for path in paths if ARTIFACT_PATH.fullmatch(path))


def _check_room(data_dir: Path, work: Path, keep_free: int) -> None:
    """Refuse early if the copy of the database would leave too little space.

    Raises:
        StoreError: there is too little space, or a folder cannot be read.
    """
    try:
        needed = sum(path.stat().st_size for path in data_dir.glob(f"{DATABASE_NAME}*"))
        shared = os.stat(work).st_dev == os.stat(data_dir).st_dev  # noqa: PTH116 - as the line above
        free = shutil.disk_usage(work).free - (keep_free if shared else 0)
    except OSError as error:
        raise refused(data_dir, error) from error
    if free < needed:
        kept = f", and MIN_FREE_DISK keeps {size(keep_free)} free" if shared else ""
        raise StoreError(
            f"{work.parent} has too little space: the copy of the database needs {size(needed)}{kept}.",
            hint="Free space, or write the backup to another disk.",
        )


def _sha256(file: IO[bytes]) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type] # any readable file


class _Counted:
    """A file that reports how much of it was read."""

    def __init__(self, file: IO[bytes], step: str, total: int, progress: Progress) -> None:
        self._file, self._step, self._total, self._progress = file, step, total, progress

    def read(self, length: int = -1) -> bytes:
        data = self._file.read(length)
        self._progress(self._step, self._file.tell(), self._total)
        return data
