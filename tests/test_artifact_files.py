"""A run's files are redacted, private and inside its folder, and their records match."""

import hashlib
import os
import resource
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.artifact_files import ArtifactFiles, ArtifactWriter
from moonmind_appliance.errors import NotFound, StoreError
from moonmind_appliance.redaction import Redactor

SECRET = "s3cr3t-of-the-test-1234567890"
RUN = "7d3c1f0a-0000-4000-8000-000000000001"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def files(data: Path) -> ArtifactFiles:
    return ArtifactFiles(data)


@pytest.fixture
def redactor() -> Redactor:
    return Redactor({"test token": SECRET})


@pytest.fixture
def little_room() -> Iterator[None]:
    """The kernel lets this process's files grow only to 8 KiB: a larger write fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, old)


def test_whole_file(files: ArtifactFiles, data: Path, redactor: Redactor) -> None:
    """It is at its storage path, redacted; size and hash are those of the bytes on disk."""
    written = files.write(RUN, "report.json", f'{{"a": "{SECRET}"}}\n'.encode(), redactor)
    on_disk = (data / written.storage_path).read_bytes()
    assert written.storage_path == f"runs/{RUN}/artifacts/report.json"
    assert SECRET.encode() not in on_disk
    assert b"[redacted:test token]" in on_disk
    assert (written.size_bytes, written.sha256) == (len(on_disk), hashlib.sha256(on_disk).hexdigest())
    assert files.path(written.storage_path).read_bytes() == on_disk


def test_secret_across_chunks(files: ArtifactFiles, data: Path, redactor: Redactor) -> None:
    """A secret in several chunks is redacted, and the record describes the redacted bytes."""
    with files.open(RUN, "stdout.log", redactor) as writer:
        for byte in f"before {SECRET} after\nlast line without an end".encode():
            writer.write(bytes([byte]))
    written = writer.close()
    on_disk = (data / writer.storage_path).read_bytes()
    assert on_disk == b"before [redacted:test token] after\nlast line without an end"
    assert (written.size_bytes, written.sha256) == (len(on_disk), hashlib.sha256(on_disk).hexdigest())


def test_grows_under_readers(files: ArtifactFiles, data: Path, redactor: Redactor) -> None:
    """A line can be read as soon as it is written, while the file is open."""
    with files.open(RUN, "stdout.log", redactor) as writer:
        writer.write(b"one\ntwo\nthr")
        assert (data / writer.storage_path).read_bytes() == b"one\ntwo\n"
    assert (data / writer.storage_path).read_bytes() == b"one\ntwo\nthr"


def test_replaced_file(files: ArtifactFiles, redactor: Redactor) -> None:
    """A file of the same name replaces the first; readers that have the first open read it to its end."""
    files.write(RUN, "stdout.log", b"first attempt", redactor)
    with files.path(f"runs/{RUN}/artifacts/stdout.log").open("rb") as reader:
        with files.open(RUN, "stdout.log", redactor) as writer:
            writer.write(b"second")
        assert reader.read() == b"first attempt"
    assert files.path(writer.storage_path).read_bytes() == b"second"


def test_private(files: ArtifactFiles, data: Path, redactor: Redactor) -> None:
    """Folders have mode 0700 and files 0600, with any umask."""
    umask = os.umask(0)
    try:
        files.write(RUN, "a.txt", b"a", redactor)
        files.open(RUN, "b.txt", redactor).close()
    finally:
        os.umask(umask)
    modes = {str(path.relative_to(data)): stat.S_IMODE(path.stat().st_mode) for path in data.rglob("*")}
    assert modes == {
        "runs": 0o700,
        f"runs/{RUN}": 0o700,
        f"runs/{RUN}/artifacts": 0o700,
        f"runs/{RUN}/artifacts/a.txt": 0o600,
        f"runs/{RUN}/artifacts/b.txt": 0o600,
    }


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "../up", "a/b", "/etc/passwd", "a\\b", "a\0b", "a\nb", "-rf", "a b", "ä", "x" * 201],
)
def test_names(files: ArtifactFiles, data: Path, redactor: Redactor, name: str) -> None:
    """An unsafe name is refused, of an artifact and of a run, and nothing is created."""
    with pytest.raises(StoreError):
        files.write(RUN, name, b"x", redactor)
    with pytest.raises(StoreError):
        files.open(RUN, name, redactor)
    with pytest.raises(StoreError):
        files.write(name, "a.txt", b"x", redactor)
    with pytest.raises(StoreError):
        files.remove_run(name)
    assert list(data.iterdir()) == []


@pytest.mark.parametrize(
    "storage_path",
    [
        "../secret",
        "runs/../../secret",
        "/etc/passwd",
        "appliance.db",
        "runs",
        f"runs/{RUN}/artifacts/link",
        f"runs/{RUN}/artifacts/absent",
        "runs/\0",
        "runs/" + "x" * 5000,
        "",
    ],
)
def test_paths_stay_inside(files: ArtifactFiles, data: Path, redactor: Redactor, storage_path: str) -> None:
    """A storage path out of `runs`, also through a link, or to a missing file is not found."""
    (data.parent / "secret").write_text("x")
    (data / "appliance.db").write_text("x")
    files.write(RUN, "a.txt", b"a", redactor)
    (data / "runs" / RUN / "artifacts" / "link").symlink_to(data / "appliance.db")
    with pytest.raises(NotFound):
        files.path(storage_path)


def test_link_in_the_way(files: ArtifactFiles, data: Path, redactor: Redactor) -> None:
    """A link with the artifact's name is replaced, never followed."""
    victim = data / "appliance.db"
    victim.write_text("untouched")
    files.write(RUN, "a.txt", b"a", redactor)
    artifacts = data / "runs" / RUN / "artifacts"
    for name in ("one", "two"):
        (artifacts / name).symlink_to(victim)
    files.write(RUN, "one", b"new", redactor)
    with files.open(RUN, "two", redactor) as writer:
        writer.write(b"new")
    assert victim.read_text() == "untouched"
    assert [(artifacts / name).read_text() for name in ("one", "two")] == ["new", "new"]


def test_close_twice(files: ArtifactFiles, redactor: Redactor) -> None:
    """The second close returns the same; later writes are refused."""
    writer = files.open(RUN, "a.txt", redactor)
    writer.write(b"x")
    assert writer.close() == writer.close()
    with pytest.raises(StoreError, match="closed"):
        writer.write(b"y")


def test_remove_run(files: ArtifactFiles, data: Path, redactor: Redactor) -> None:
    """All files of the run and no others are removed; safe twice."""
    files.write(RUN, "a.txt", b"a", redactor)
    files.write("other", "a.txt", b"a", redactor)
    files.remove_run(RUN)
    files.remove_run(RUN)
    assert [path.name for path in (data / "runs").iterdir()] == ["other"]


@pytest.mark.usefixtures("little_room")
def test_refusing_disk_whole_file(files: ArtifactFiles, data: Path, redactor: Redactor) -> None:
    """A file that does not fit is not created, the earlier one stays, and no remains are left."""
    files.write(RUN, "a.txt", b"before", redactor)
    with pytest.raises(StoreError, match=r"a\.txt"):
        files.write(RUN, "a.txt", b"line\n" * 10_000, redactor)
    assert {path.name: path.read_bytes() for path in (data / "runs" / RUN / "artifacts").iterdir()} == {
        "a.txt": b"before"
    }


@pytest.mark.usefixtures("little_room")
def test_refusing_disk_stream(files: ArtifactFiles, data: Path, redactor: Redactor) -> None:
    """Each call for a stream that does not fit raises; its record stays true."""
    writer = files.open(RUN, "a.txt", redactor)
    for _ in range(2):
        with pytest.raises(StoreError):
            writer.write(b"line\n" * 10_000)
    with pytest.raises(StoreError):
        writer.close()
    on_disk = (data / writer.storage_path).read_bytes()
    written = writer.close()
    assert (written.size_bytes, written.sha256) == (len(on_disk), hashlib.sha256(on_disk).hexdigest())


def test_no_room(redactor: Redactor) -> None:
    """A full disk is reported as such, with what to do, on write and close."""
    writer = ArtifactWriter(os.open("/dev/full", os.O_WRONLY), Path("a.txt"), "a.txt", redactor)
    with pytest.raises(StoreError, match="no space left on the disk") as refusal:
        writer.write(b"line\n")
    assert "Free space" in refusal.value.hint
    with pytest.raises(StoreError, match="no space left on the disk"):
        writer.close()


def test_no_folder(tmp_path: Path, redactor: Redactor) -> None:
    """A missing data folder is reported, not created."""
    with pytest.raises(StoreError, match="No such file"):
        ArtifactFiles(tmp_path / "absent").write(RUN, "a.txt", b"x", redactor)
    assert not (tmp_path / "absent").exists()


def test_an_exception_closes(files: ArtifactFiles, data: Path, redactor: Redactor) -> None:
    """If the work inside fails, the written bytes stay readable and its exception is raised."""
    writer = files.open(RUN, "a.txt", redactor)

    def work() -> None:
        with writer:
            writer.write(b"half a line")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert (data / writer.storage_path).read_bytes() == b"half a line"


def test_many_at_once(files: ArtifactFiles, data: Path, redactor: Redactor) -> None:
    """Several threads can store files of one new run at the same time."""
    threads = [threading.Thread(target=files.write, args=(RUN, f"{i}.txt", b"x" * i, redactor)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sizes = sorted(path.stat().st_size for path in (data / "runs" / RUN / "artifacts").iterdir())
    assert sizes == list(range(16))
