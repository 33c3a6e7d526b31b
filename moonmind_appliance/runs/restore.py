"""Restore a backup into an empty data folder.

Everything is unpacked and checked in a folder of its own, and gets its place at the end: a restore that fails leaves
the data folder as it was. The archive may come from anywhere, so only known names are accepted.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec

from moonmind_appliance.archive import Member, members, refused, work_folder
from moonmind_appliance.artifact_files import ARTIFACT_PATH
from moonmind_appliance.errors import StoreError
from moonmind_appliance.runs.backup import FORMAT, MANIFEST, SUMS, Manifest, sum_line
from moonmind_appliance.store import DATABASE_NAME, DataFolderLock, Store, make_data_folder
from moonmind_appliance.store.database_copy import artifact_row, damage, facts_of, open_database
from moonmind_appliance.store.migrations import MIGRATIONS
from moonmind_appliance.store.restored import correct_artifacts, forget_logins, note_restore, requeue_interrupted
from moonmind_appliance.units import size
from moonmind_appliance.untrusted_json import decode
from moonmind_appliance.version import appliance_version

_LARGEST_MANIFEST = 1024 * 1024
# A restore would replace or mix with these. Anything else in a data folder can be lost.
_IN_THE_WAY = (f"{DATABASE_NAME}*", "runs", "backups")

Progress = Callable[[str, int, int], None]


class Restored(msgspec.Struct, frozen=True):
    """What was restored. `appliance_id` is the id after it, `artifacts` the number of artifacts that are there now.

    `runs_requeued` were in progress when the backup was made. `artifacts_removed` is the number of artifacts that the
    backup's database names and that are not in it. `drained`: the appliance starts no runs until `resume`.
    """

    manifest: Manifest
    data_dir: str
    appliance_id: str
    artifacts: int
    artifacts_removed: int
    runs_requeued: list[str]
    drained: bool


def restore(source: IO[bytes], data_dir: Path, *, keep_free: int, new_id: bool, progress: Progress) -> Restored:
    """Restore a backup. The data folder is created if it is missing.

    Args:
        source: the archive; it need not be seekable.
        data_dir: the data folder.
        keep_free: bytes that must stay free on its disk.
        new_id: give the appliance a new id, for a copy beside the original on the same Docker engine.
        progress: called often.

    Raises:
        DataFolderInUse: `serve` uses the folder.
        StoreError: the folder is not empty, the archive cannot be used, or the disk has too little space.
    """
    make_data_folder(data_dir)
    lock = DataFolderLock(data_dir)
    lock.acquire()
    try:
        _check_empty(data_dir)
        with work_folder(data_dir) as work:
            unpacked = _Unpacker(work, keep_free, progress)
            unpacked.all(source)
            manifest = unpacked.manifest
            if not new_id:
                _check_alone(manifest, data_dir)
            progress("Checking the database", 0, 1)
            result = _correct(work, unpacked, new_id=new_id, data_dir=data_dir)
            _put_in_place(work, data_dir)
    except OSError as error:
        raise refused(data_dir, error) from error
    finally:
        lock.release()
    return result


def _check_empty(data_dir: Path) -> None:
    found = [path for pattern in _IN_THE_WAY for path in data_dir.glob(pattern) if not _is_empty_folder(path)]
    if found:
        raise StoreError(
            f"The data folder {data_dir} is not empty: it contains {', '.join(sorted(it.name for it in found))}.",
            hint=f"A backup is restored into an empty folder only. Move the content away (mkdir {data_dir}.old && "
            f"mv {data_dir}/* {data_dir}.old/), or set MOONMIND_DATA_DIR to another folder.",
        )


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def _check_alone(manifest: Manifest, data_dir: Path) -> None:
    """Refuse if the folder that was backed up still exists here: two appliances with one id disturb each other."""
    original = Path(manifest.data_dir)
    database = original / DATABASE_NAME
    try:
        if not database.is_file() or original.resolve() == data_dir.resolve():
            return
        with open_database(database) as connection:
            same = facts_of(connection).appliance_id == manifest.appliance_id
    except (OSError, StoreError):
        return
    if same:
        raise StoreError(
            f"The appliance that was backed up still exists on this machine, in {original}.",
            hint="Two appliances with the same id would remove each other's containers. For a second appliance beside "
            "the first, add --new-id. To replace the first one, move its data folder away first.",
        )


class _Unpacker:
    """Unpacks an archive into `work`, and checks every file before the next."""

    def __init__(self, work: Path, keep_free: int, progress: Progress) -> None:
        self.artifacts = 0
        self.changed: dict[tuple[str, str], tuple[int, str]] = {}
        self._work = work
        self._keep_free = keep_free
        self._progress = progress
        self._manifest: Manifest | None = None

    @property
    def manifest(self) -> Manifest:
        """The manifest, which is the first file."""
        if self._manifest is None:
            raise _not_ours("it does not begin with a manifest")
        return self._manifest

    def all(self, source: IO[bytes]) -> None:
        """Unpack everything.

        Raises:
            StoreError: the archive cannot be used; the message says why.
        """
        files = members(source)
        self._manifest = _manifest(next(files, None))
        self._check_room(self.manifest.database.size_bytes + self.manifest.artifacts.size_bytes)
        with (self._work / SUMS).open("w+b") as sums:
            self._database(next(files, None), sums)
            self._artifacts(files, sums)

    def _database(self, member: Member | None, sums: IO[bytes]) -> None:
        expected = self.manifest.database
        if member is None or member.name != DATABASE_NAME or member.size_bytes != expected.size_bytes:
            raise _not_ours("the database does not follow the manifest")
        self._progress("Unpacking the database", 0, 1)
        written = member.save(self._work / DATABASE_NAME)
        if written.sha256 != expected.sha256:
            raise _damaged(DATABASE_NAME)
        sums.write(sum_line(written.sha256, written.name))
        with open_database(self._work / DATABASE_NAME) as connection:
            self._progress("Checking the database", 0, 1)
            if problems := damage(connection, thorough=True):
                raise StoreError(f"The database in the archive is damaged: {'; '.join(problems)}.", hint=_UNUSED)
            facts = facts_of(connection)
        known = {migration.__name__ for migration in MIGRATIONS}
        if facts.appliance_id != self.manifest.appliance_id or facts.migrations != self.manifest.migrations:
            raise _not_ours("its manifest does not describe its database")
        if newer := [name for name in facts.migrations if name not in known]:
            raise StoreError(
                f"The backup was made by a newer version of the appliance ({self.manifest.version}; this is "
                f"{appliance_version()}): its database has {', '.join(newer)}.",
                hint=f"Nothing was restored. Install version {self.manifest.version} or a newer one, then restore.",
            )

    def _artifacts(self, files: Iterator[Member], sums: IO[bytes]) -> None:
        """The artifacts, and the list of checksums after them.

        Only files that the database names are accepted, each once: so their number is limited, too.
        """
        total = self.manifest.artifacts.files
        with open_database(self._work / DATABASE_NAME) as connection:
            for member in files:
                if member.name == SUMS:
                    self._compare(member, sums)
                    if next(files, None) is not None:
                        raise _not_ours(f"there is a file after {SUMS}")
                    return
                found = ARTIFACT_PATH.fullmatch(member.name)
                row = artifact_row(connection, *found.groups()) if found else None
                if not found or row is None or row[0] != member.name:
                    raise _not_ours(f"it contains {member.name[:200]!r}, which is no file of a backup")
                self._check_room(member.size_bytes)
                written = member.save(self._new_path(member.name))
                sums.write(sum_line(written.sha256, written.name))
                if (written.size_bytes, written.sha256) != row[1:]:
                    self.changed[found[1], found[2]] = (written.size_bytes, written.sha256)
                self.artifacts += 1
                self._progress("Unpacking artifacts", self.artifacts, max(total, self.artifacts))
        raise StoreError("The archive is incomplete: its end is missing.", hint=_UNUSED)

    def _new_path(self, name: str) -> Path:
        path = self._work / name
        try:
            for folder in (path.parents[2], path.parents[1], path.parents[0]):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise refused(path, error) from error
        if os.path.lexists(path):
            raise _not_ours(f"it contains {name} twice")
        return path

    def _compare(self, member: Member, sums: IO[bytes]) -> None:
        """Compare the list of checksums in the archive with the files."""
        saved = member.save(self._work / "expected")
        sums.seek(0)
        with (self._work / "expected").open("rb") as expected:
            for line, wanted in zip(sums, expected, strict=False):
                if line != wanted:
                    raise _damaged(line.partition(b"  ")[2].decode(errors="replace").strip())
        if sums.seek(0, os.SEEK_END) != saved.size_bytes:
            raise _damaged(SUMS)

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self._work).free - self._keep_free
        if needed > free:
            raise StoreError(
                f"{self._work.parent} has too little space: the backup needs {size(needed)} more, and "
                f"{size(max(free, 0))} can be used (MIN_FREE_DISK keeps {size(self._keep_free)} free).",
                hint="Nothing was restored. Free space there, or set MOONMIND_DATA_DIR to a folder on another disk.",
            )


_UNUSED = "Nothing was restored. Use another copy or another backup."


def _manifest(member: Member | None) -> Manifest:
    if member is None or member.name != MANIFEST or member.size_bytes > _LARGEST_MANIFEST:
        raise _not_ours("it does not begin with a manifest")
    content = member.read(member.size_bytes)
    try:
        number = decode(content, dict[str, msgspec.Raw]).get("format", msgspec.Raw(b"0"))
        if decode(bytes(number), int) > FORMAT:
            raise _not_ours("a newer version of the appliance made it; restore it with that version")
        return decode(content, Manifest)
    except msgspec.MsgspecError as error:
        raise _not_ours(f"its manifest cannot be read ({error})") from error


def _not_ours(why: str) -> StoreError:
    return StoreError(f"The archive is not a backup of an appliance: {why}.", hint=_UNUSED)


def _damaged(name: str) -> StoreError:
    return StoreError(f"The archive is damaged: {name} does not match its checksum.", hint=_UNUSED)


def _correct(work: Path, unpacked: _Unpacker, *, new_id: bool, data_dir: Path) -> Restored:
    """Migrate the unpacked database, and correct what is no longer true."""
    made_at: datetime = unpacked.manifest.made_at

    def exists(storage_path: str) -> bool:
        return (work / storage_path).is_file()

    store = Store.open(work)
    try:
        removed = correct_artifacts(store, exists if unpacked.artifacts else None, unpacked.changed)
        requeued = requeue_interrupted(store)
        forget_logins(store)
        drained = store.drain.since() is not None
        appliance_id = note_restore(store, made_at=made_at, artifacts_removed=removed, new_id=new_id)
    finally:
        store.close()
    return Restored(unpacked.manifest, str(data_dir), appliance_id, unpacked.artifacts, removed, requeued, drained)


def _put_in_place(work: Path, data_dir: Path) -> None:
    """Move everything into the data folder; the database last, as it makes the folder that of an appliance."""
    try:
        # The files were written without waiting for the disk.
        os.sync()
        for name in ("runs", "backups", DATABASE_NAME):
            if (work / name).exists():
                # Replaces an empty folder.
                (work / name).rename(data_dir / name)
    except OSError as error:
        raise refused(data_dir, error) from error
