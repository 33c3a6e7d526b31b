"""A backup is the state of one moment, and says what it contains."""

import hashlib
import io
import tarfile
from pathlib import Path

import msgspec
import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.runs.backup import Manifest, back_up
from moonmind_appliance.store import Store
from moonmind_appliance.store.migrations import MIGRATIONS
from moonmind_appliance.version import appliance_version
from tests.backed_up import LOG, Filled, backup_of, filled


@pytest.fixture
def data(tmp_path: Path) -> Filled:
    return filled(tmp_path / "data")


def unpacked(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr] # all are files


def test_the_database_alone(data: Filled, tmp_path: Path) -> None:
    """Manifest, database and checksums, in that order; the manifest says that artifacts and logins are not in it."""
    content, made = backup_of(data.path, tmp_path / "work")
    files = unpacked(content)
    assert list(files) == ["manifest.json", "appliance.db", "SHA256SUMS"]
    assert msgspec.json.decode(files["manifest.json"], type=Manifest) == made
    assert (made.version, made.appliance_id, made.data_dir) == (appliance_version(), data.appliance_id, str(data.path))
    assert made.migrations == [step.__name__ for step in MIGRATIONS]
    assert (made.rows["runs"], made.rows["tokens"], made.artifacts.included) == (3, 1, False)
    assert "ChatGPT logins" in made.not_included
    assert hashlib.sha256(files["appliance.db"]).hexdigest() == made.database.sha256
    assert files["SHA256SUMS"].decode() == f"{made.database.sha256}  appliance.db\n"


def test_artifacts_on_request(data: Filled, tmp_path: Path) -> None:
    """Under their storage paths, with a checksum each. A log that still grows has its size at that moment."""
    content, made = backup_of(data.path, tmp_path / "work", artifacts=True)
    files = unpacked(content)
    paths = [f"runs/{data.ended.run_id}/artifacts/specify.log", f"runs/{data.running.run_id}/artifacts/plan.log"]
    assert [files[path] for path in paths] == [LOG, LOG]
    assert (made.artifacts.files, made.artifacts.size_bytes) == (2, 2 * len(LOG))
    for line in files["SHA256SUMS"].decode().splitlines():
        sha256, _, name = line.partition("  ")
        assert hashlib.sha256(files[name]).hexdigest() == sha256


def test_no_token_is_in_it(data: Filled, tmp_path: Path) -> None:
    """Only its hash, with which callers continue to work after a restore."""
    files = unpacked(backup_of(data.path, tmp_path / "work", artifacts=True)[0])
    assert [name for name, content in files.items() if data.token.encode() in content] == []
    assert hashlib.sha256(data.token.encode()).digest() in files["appliance.db"]


def test_a_file_that_retention_removed_meanwhile_is_left_out(data: Filled, tmp_path: Path) -> None:
    """A row without a file stops nothing, nor does a row that names another file."""
    (data.path / "runs" / data.ended.run_id / "artifacts" / "specify.log").unlink()
    store = Store.open(data.path)
    with store.database.write() as connection:
        connection.execute(
            "UPDATE artifacts SET storage_path = '../data/appliance.db' WHERE run_id = ?", (data.running.run_id,)
        )
    store.close()
    content, made = backup_of(data.path, tmp_path / "work", artifacts=True)
    assert list(unpacked(content)) == ["manifest.json", "appliance.db", "SHA256SUMS"]
    assert made.artifacts.files == 0


def test_a_link_in_the_place_of_an_artifact_is_not_followed(data: Filled, tmp_path: Path) -> None:
    """The backup stops and names it."""
    path = data.path / "runs" / data.ended.run_id / "artifacts" / "specify.log"
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(StoreError, match=r"specify\.log cannot be used"):
        backup_of(data.path, tmp_path / "work", artifacts=True)


def test_the_data_folder_keeps_its_free_space(data: Filled, tmp_path: Path) -> None:
    """A backup that would take MIN_FREE_DISK is refused before it writes anything."""
    sink = io.BytesIO()
    with pytest.raises(StoreError, match="too little space") as refusal:
        back_up(data.path, sink, tmp_path, artifacts=False, keep_free=2**60, progress=lambda *_: None)
    assert "another disk" in refusal.value.hint
    assert sink.getvalue() == b""


def test_progress_is_shown(data: Filled, tmp_path: Path) -> None:
    """Each step, up to its end."""
    steps: dict[str, tuple[int, int]] = {}
    back_up(
        data.path,
        io.BytesIO(),
        tmp_path,
        artifacts=True,
        keep_free=0,
        progress=lambda step, done, total: steps.update({step: (done, total)}),
    )
    assert list(steps) == ["Copying the database", "Packing the database", "Packing artifacts"]
    assert all(done == total for step, (done, total) in steps.items() if step != "Packing artifacts")
