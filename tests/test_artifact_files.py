"""A run's files are redacted, private and inside its folder, and their records match."""

import hashlib
import os
import resource
import signal
import stat
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from moonmind_appliance.artifact_files import ArtifactFiles, ArtifactWriter, SharedLimit
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


class TestLimits:
    CUT = b"\n[moonmind: cut here, as the log has more than 100 bytes (MAX_LOG_BYTES)]\n"

    def content(self, files: ArtifactFiles, redactor: Redactor, *chunks: bytes, most: int = 100) -> bytes:
        with files.open(RUN, "a.log", redactor, most_bytes=most) as writer:
            for chunk in chunks:
                writer.write(chunk)
        on_disk = files.path(writer.storage_path).read_bytes()
        written = writer.close()
        assert (written.size_bytes, written.sha256) == (len(on_disk), hashlib.sha256(on_disk).hexdigest())
        return on_disk

    def test_a_log_of_exactly_that_size_is_whole(self, files: ArtifactFiles, redactor: Redactor) -> None:
        """Without a line that says otherwise."""
        assert self.content(files, redactor, b"x" * 50, b"x" * 49 + b"\n") == b"x" * 99 + b"\n"

    def test_what_is_longer_is_cut_with_a_line_that_names_the_setting(
        self, files: ArtifactFiles, redactor: Redactor
    ) -> None:
        """At the same byte for any chunks."""
        for size in (1, 7, 500):
            data = b"0123456789\n" * 40
            chunks = [data[at : at + size] for at in range(0, len(data), size)]
            assert self.content(files, redactor, *chunks) == data[:100] + self.CUT

    @pytest.mark.parametrize("lead", range(4))
    def test_no_character_is_cut(self, files: ArtifactFiles, redactor: Redactor, lead: int) -> None:
        """The log is valid UTF-8 up to the line that ends it."""
        found = self.content(files, redactor, b"x" * lead + "\N{GRINNING FACE}".encode() * 50).decode()
        assert found.endswith(self.CUT.decode())

    @pytest.mark.parametrize("before", range(60, 101, 5))
    def test_no_part_of_a_secret_is_left_at_a_cut(self, files: ArtifactFiles, redactor: Redactor, before: int) -> None:
        """The limit counts redacted bytes, so a cut falls into the mark, never into the secret."""
        found = self.content(files, redactor, b"x" * before + SECRET.encode() + b"y" * 100 + b"\n")
        assert SECRET[:6].encode() not in found
        assert found.endswith(self.CUT)

    def test_two_logs_share_a_limit(self, files: ArtifactFiles, redactor: Redactor) -> None:
        """What is used before counts; the first log that finds it used up says so, and so does the other."""
        shared = SharedLimit(100, used=20)
        out = files.open(RUN, "out.log", redactor, most_bytes=1000, shared=shared)
        err = files.open(RUN, "err.log", redactor, most_bytes=1000, shared=shared)
        for writer in (out, err, out, err):
            writer.write(b"x" * 29 + b"\n")
        sizes = [writer.close().size_bytes for writer in (out, err)]
        cut = b"\n[moonmind: cut here, as the run's logs have more than 100 bytes (MAX_RUN_LOG_BYTES)]\n"
        assert sizes == [50 + len(cut), 30 + len(cut)]
        assert files.path(err.storage_path).read_bytes() == b"x" * 29 + b"\n" + cut

    def test_a_flood_uses_neither_disk_nor_memory(self, files: ArtifactFiles, redactor: Redactor) -> None:
        """Two gigabytes in one line leave the limit on disk; what is discarded is not examined."""
        chunk = b"x" * (4 * 1024**2)
        with files.open(RUN, "a.log", redactor, most_bytes=1024**2) as writer:
            writer.write(chunk)
            tracemalloc.start()
            for _ in range(512):
                writer.write(chunk)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 1024**2
        assert writer.close().size_bytes < 1024**2 + 100


def test_the_disk_use_of_a_run(files: ArtifactFiles, redactor: Redactor) -> None:
    """In whole blocks; 0 without files."""
    assert files.used(RUN) == 0
    files.write(RUN, "a.txt", b"x" * 5000, redactor)
    assert 5000 <= files.used(RUN) < 100_000
