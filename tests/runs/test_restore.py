"""A restore checks everything first, and corrects what is no longer true."""

import errno
import io
import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from moonmind_appliance.artifact_files import ArtifactFiles
from moonmind_appliance.errors import DataFolderInUse, StoreError
from moonmind_appliance.models import LoginState, RunStatus
from moonmind_appliance.runs.restore import restore
from moonmind_appliance.store import DataFolderLock, Store
from tests.backed_up import LOG, Filled, backup_of, filled, restored

Files = dict[str, bytes]


@pytest.fixture
def data(tmp_path: Path) -> Filled:
    return filled(tmp_path / "data")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new"


def files_of(content: bytes) -> Files:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr] # all are files


def packed(files: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def test_everything_is_there_again(data: Filled, target: Path, tmp_path: Path) -> None:
    """Runs with texts and events, tokens, artifacts with their bytes; files are private."""
    content, _ = backup_of(data.path, tmp_path / "work", artifacts=True)
    done = restored(content, target)
    store = Store.open(target)
    run = store.runs.get(data.ended.run_id)
    (artifact,) = store.artifacts.list(data.ended.run_id)
    assert run is not None
    assert (run.status, run.specify_text, run.result_summary) == (RunStatus.SUCCEEDED, "Add it.", "Done.")
    assert store.tokens.actor(data.token) is not None
    assert ArtifactFiles(target).path(artifact.storage_path).read_bytes() == LOG
    assert (done.artifacts, done.artifacts_removed) == (2, 0)
    store.close()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [target, *target.rglob("*")]}
    assert set(modes.values()) == {0o600, 0o700}
    assert sorted(path.name for path in target.iterdir()) == ["appliance.db", "runs", "serve.lock"]


def test_what_is_no_longer_true_is_corrected(data: Filled, target: Path, tmp_path: Path) -> None:
    """Runs in progress are queued, logins are unknown, the row of a log that grew has the size of the file."""
    content, made = backup_of(data.path, tmp_path / "work", artifacts=True)
    done = restored(content, target)
    store = Store.open(target)
    running = store.runs.get(data.running.run_id)
    (log,) = store.artifacts.list(data.running.run_id)
    assert running is not None
    assert (running.status, running.lease, done.runs_requeued) == (RunStatus.QUEUED, None, [data.running.run_id])
    assert (log.size_bytes, log.sha256) == (len(LOG), store.artifacts.list(data.ended.run_id)[0].sha256)
    # A login that was dead stays so until its file changes.
    assert [(it.login, it.account) for it in store.shards.all(2)] == [
        (LoginState.UNKNOWN, "acct"),
        (LoginState.DEAD, "acct"),
    ]
    assert store.shards.get(0).checked_at is None
    newest = store.events.after(store.events.latest() - 1)[-1]
    assert (newest.kind, newest.data["backup_of"]) == (
        "backup.restored",
        made.made_at.isoformat().replace("+00:00", "Z"),
    )
    # Ids that were given after the backup are not given again.
    assert newest.event_id > 1_000_000
    store.close()


def test_a_run_whose_cancel_was_requested_is_cancelled(data: Filled, target: Path, tmp_path: Path) -> None:
    """It is not started again."""
    store = Store.open(data.path)
    store.runs.request_cancel(data.running.run_id, now=data.running.accepted_at)
    store.close()
    restored(backup_of(data.path, tmp_path / "work")[0], target)
    store = Store.open(target)
    run = store.runs.get(data.running.run_id)
    assert run is not None
    assert run.status is RunStatus.CANCELLED
    store.close()


def test_without_artifacts_no_row_names_one(data: Filled, target: Path, tmp_path: Path) -> None:
    """As after the retention time."""
    done = restored(backup_of(data.path, tmp_path / "work")[0], target)
    store = Store.open(target)
    assert store.artifacts.list(data.ended.run_id) == []
    assert done.artifacts_removed == 2
    store.close()


def test_the_id_is_kept_unless_the_original_is_still_here(data: Filled, target: Path, tmp_path: Path) -> None:
    """With one id, two appliances on one engine would remove each other's containers."""
    content, _ = backup_of(data.path, tmp_path / "work")
    with pytest.raises(StoreError, match="still exists on this machine") as refusal:
        restored(content, target, new_id=False)
    assert "--new-id" in refusal.value.hint
    assert not (target / "appliance.db").exists()
    assert restored(content, target, new_id=True).appliance_id != data.appliance_id
    data.path.rename(tmp_path / "away")
    assert restored(content, tmp_path / "third", new_id=False).appliance_id == data.appliance_id


def test_only_into_an_empty_folder(data: Filled, tmp_path: Path) -> None:
    """Else nothing changes. What `serve` makes again, and files of others, are not in the way."""
    content, _ = backup_of(data.path, tmp_path / "work")
    with pytest.raises(StoreError, match=r"not empty: it contains appliance\.db, runs\.") as refusal:
        restored(content, data.path)
    assert "Move the content away" in refusal.value.hint
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    for name in ("huey.db", "notes.txt"):
        (other / name).touch()
    for name in ("runs", "backups", "workspaces"):
        (other / name).mkdir()
    restored(content, other)
    assert (other / "appliance.db").exists()


def test_not_while_serve_runs(data: Filled, target: Path, tmp_path: Path) -> None:
    """The folder may be empty, but its process is about to write."""
    content, _ = backup_of(data.path, tmp_path / "work")
    target.mkdir(mode=0o700)
    lock = DataFolderLock(target)
    lock.acquire()
    with pytest.raises(DataFolderInUse):
        restored(content, target)
    lock.release()
    restored(content, target)


def test_an_older_backup_is_migrated(target: Path, tmp_path: Path) -> None:
    """A copy from before the migration is there, as after an upgrade."""
    old = filled(tmp_path / "old")
    store = Store.open(old.path)
    with store.database.write() as connection:
        connection.execute("ALTER TABLE phases DROP COLUMN output")
        connection.execute("DELETE FROM migrations WHERE name = 'm0005_outputs_of_phases'")
    store.close()
    content, made = backup_of(old.path, tmp_path / "work")
    assert "m0005_outputs_of_phases" not in made.migrations
    restored(content, target)
    assert [path.name for path in (target / "backups").iterdir() if "before-m0005" in path.name]
    store = Store.open(target)
    assert store.runs.get(old.ended.run_id) is not None
    store.close()


def test_a_newer_backup_is_refused_with_its_version(data: Filled, target: Path, tmp_path: Path) -> None:
    """The message names the version that can restore it."""
    store = Store.open(data.path)
    with store.database.write() as connection:
        connection.execute("INSERT INTO migrations VALUES ('m9001_later', '')")
    store.close()
    content, made = backup_of(data.path, tmp_path / "work")
    with pytest.raises(StoreError, match=r"newer version of the appliance.*m9001_later") as refusal:
        restored(content, target)
    assert f"Install version {made.version}" in refusal.value.hint
    assert sorted(path.name for path in target.iterdir()) == ["serve.lock"]


def _renamed(files: Files, name: str) -> Files:
    path = next(path for path in files if path.startswith("runs/"))
    return {name if each == path else each: content for each, content in files.items()}


def _changed(files: Files, name: str) -> Files:
    return files | {name: files[name][:-1] + bytes([files[name][-1] ^ 1])}


def _with_manifest(files: Files, **fields: object) -> Files:
    manifest = json.loads(files["manifest.json"]) | fields
    return files | {"manifest.json": json.dumps(manifest).encode()}


def _without(files: Files, name: str) -> Files:
    return {each: content for each, content in files.items() if each != name}


def _artifact(files: Files) -> str:
    return next(path for path in files if path.startswith("runs/"))


HOSTILE: dict[str, tuple[Callable[[Files], Files], str]] = {
    "absolute path": (lambda files: _renamed(files, "/etc/cron.d/x"), "no file of a backup"),
    "parent folder": (lambda files: _renamed(files, "runs/../../x"), "no file of a backup"),
    "parent of a run": (lambda files: _renamed(files, f"{_artifact(files)}/../../../x"), "no file of a backup"),
    "unknown file": (lambda files: _renamed(files, "huey.db"), "no file of a backup"),
    "artifact without a row": (lambda files: _renamed(files, f"{_artifact(files)}x"), "no file of a backup"),
    "second database": (lambda files: _renamed(files, "appliance.db-wal"), "no file of a backup"),
    "no manifest": (lambda files: _without(files, "manifest.json"), "does not begin with a manifest"),
    "no database": (lambda files: _without(files, "appliance.db"), "does not follow the manifest"),
    "no end": (lambda files: _without(files, "SHA256SUMS"), "incomplete"),
    "after the end": (lambda files: files | {"more": b""}, "after SHA256SUMS"),
    "changed artifact": (lambda files: _changed(files, _artifact(files)), "does not match its checksum"),
    "changed database": (lambda files: _changed(files, "appliance.db"), "does not match its checksum"),
    "no JSON": (lambda files: files | {"manifest.json": b"{"}, "manifest cannot be read"),
    "not UTF-8": (
        lambda files: files | {"manifest.json": b'{"format": 1, "version": "\xff"}'},
        "manifest cannot be read",
    ),
    "deep JSON": (lambda files: files | {"manifest.json": b'{"x":' + b"[" * 5000}, "manifest cannot be read"),
    "later format": (lambda files: _with_manifest(files, format=2), "newer version of the appliance made it"),
    "other appliance": (lambda files: _with_manifest(files, appliance_id="x"), "does not describe its database"),
    "large database": (
        lambda files: _with_manifest(files, database={"size_bytes": 2**60, "sha256": ""}),
        "too little space",
    ),
    "many artifacts": (
        lambda files: _with_manifest(files, artifacts={"included": True, "files": 9, "size_bytes": 2**60}),
        "too little space",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused(data: Filled, target: Path, tmp_path: Path, kind: str) -> None:
    """Nothing is left of it, inside the data folder or outside."""
    change, problem = HOSTILE[kind]
    files = files_of(backup_of(data.path, tmp_path / "work", artifacts=True)[0])
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(target)}
    with pytest.raises(StoreError, match=problem):
        restored(packed(change(files)), target)
    assert [path.name for path in target.iterdir()] == ["serve.lock"]
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(target)} == before
    restored(packed(files), target)


def test_the_same_file_twice(data: Filled, target: Path, tmp_path: Path) -> None:
    """Tar allows it; a backup has no use for it."""
    files = files_of(backup_of(data.path, tmp_path / "work", artifacts=True)[0])
    name = _artifact(files)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for each in ["manifest.json", "appliance.db", name, name]:
            entry = tarfile.TarInfo(each)
            entry.size = len(files[each])
            tar.addfile(entry, io.BytesIO(files[each]))
    with pytest.raises(StoreError, match="twice"):
        restored(out.getvalue(), target)


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["Unpacking the database", "Unpacking artifacts", "Checking the database"])
def test_a_restore_that_stops_leaves_the_folder_as_it_was(
    data: Filled, target: Path, tmp_path: Path, step: str, stop: BaseException
) -> None:
    """A full disk or Ctrl-C, at any step; the restore can be repeated."""
    content, _ = backup_of(data.path, tmp_path / "work", artifacts=True)

    def progress(current: str, _done: int, _total: int) -> None:
        if current == step:
            raise stop

    with pytest.raises((StoreError, KeyboardInterrupt)):
        restore(io.BytesIO(content), target, keep_free=0, new_id=True, progress=progress)
    assert [path.name for path in target.iterdir()] == ["serve.lock"]
    restored(content, target)


def test_the_disk_keeps_its_free_space(data: Filled, target: Path, tmp_path: Path) -> None:
    """MIN_FREE_DISK holds for a restore, too."""
    content, _ = backup_of(data.path, tmp_path / "work")
    with pytest.raises(StoreError, match="too little space"):
        restore(io.BytesIO(content), target, keep_free=2**60, new_id=True, progress=lambda *_: None)
