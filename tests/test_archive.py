"""An archive is written whole or not at all, and only regular files are read from one."""

import errno
import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from moonmind_appliance.archive import ArchiveWriter, members, private_file, refused, work_folder
from moonmind_appliance.errors import StoreError


def written(*files: tuple[str, bytes]) -> bytes:
    sink = io.BytesIO()
    archive = ArchiveWriter(sink, at=0)
    for name, content in files:
        archive.add(name, content)
    archive.close()
    return sink.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    return {member.name: member.read(1024 * 1024) for member in members(io.BytesIO(data))}


def test_what_is_written_is_read_again() -> None:
    """Names and bytes, also of a long name; the hash is that of the bytes."""
    sink = io.BytesIO()
    archive = ArchiveWriter(sink, at=0)
    assert archive.add("a", io.BytesIO(b"12345"), size=3).sha256.startswith("a665a45920422f9d")
    archive.add("runs/" + "x" * 200, b"")
    archive.close()
    assert read(sink.getvalue()) == {"a": b"123", "runs/" + "x" * 200: b""}


def test_tar_reads_it(tmp_path: Path) -> None:
    """The system's own tar lists and unpacks it."""
    path = tmp_path / "a.tar.gz"
    path.write_bytes(written(("one", b"1"), ("two", b"2")))
    assert subprocess.run(["tar", "-xzOf", path, "two"], capture_output=True, check=True).stdout == b"2"


def tar_with(change: Callable[[tarfile.TarInfo], None], data: bytes = b"") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(data)
        change(entry)
        tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
)
def test_anything_but_a_regular_file_is_refused(kind: bytes) -> None:
    """Links, folders and devices."""

    def change(entry: tarfile.TarInfo) -> None:
        entry.type, entry.linkname = kind, "/etc/passwd"

    with pytest.raises(StoreError, match="not a regular file"):
        read(tar_with(change))


def header(**fields: bytes) -> bytes:
    """A tar header with a valid checksum."""
    values = {"name": b"a", "mode": b"0000600\0", "uid": b"0000000\0", "gid": b"0000000\0", "size": b"00000000000\0"}
    values |= {"mtime": b"00000000000\0", "typeflag": b"0"} | fields
    block = bytearray(512)
    places = {"name": 0, "mode": 100, "uid": 108, "gid": 116, "size": 124, "mtime": 136, "typeflag": 156}
    for name, value in values.items():
        block[places[name] : places[name] + len(value)] = value
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not complete"),
        (b"no archive", "not complete"),
        (written(("a", b"x" * 100_000))[:-200], "not complete"),
        (gzip.compress(b"\0" * 1024 + b"\0" * 2 * 1024**2), "continues after its end"),
        # A record of names of 3 GiB: reading it at once would need that much memory.
        (gzip.compress(header(typeflag=b"x", size=b"30000000000\0") + b"\0" * 4096), "header is too large"),
        (gzip.compress(header(typeflag=b"L", size=b"30000000000\0") + b"\0" * 4096), "header is too large"),
        # A negative size leads back to the same header.
        (gzip.compress(header(size=b"\xff" * 10 + b"\xfe\x00") + b"\0" * 4096), "not a regular file|leads back"),
    ],
)
def test_a_hostile_or_damaged_archive_is_refused(data: bytes, problem: str) -> None:
    """At once, and without much memory."""
    with pytest.raises(StoreError, match=problem):
        read(data)


def test_a_flipped_bit_is_noticed() -> None:
    """Gzip has a checksum of everything."""
    data = bytearray(written(("a", os.urandom(50_000))))
    data[20_000] ^= 1
    with pytest.raises(StoreError, match="not complete, damaged"):
        read(bytes(data))


def test_a_file_gets_its_name_at_the_end(tmp_path: Path) -> None:
    """It is private, and nothing else is left."""
    path = tmp_path / "a"
    with work_folder(tmp_path) as work, private_file(path, work, replace=False) as file:
        file.write(b"1")
        assert not path.exists()
    assert path.read_bytes() == b"1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), StoreError("x")])
def test_nothing_is_left_of_a_file_that_was_not_completed(tmp_path: Path, stop: BaseException) -> None:
    """After Ctrl-C, a full disk or any other error."""
    expected = KeyboardInterrupt if isinstance(stop, KeyboardInterrupt) else StoreError

    def write() -> None:
        with work_folder(tmp_path) as work, private_file(tmp_path / "a", work, replace=False) as file:
            file.write(b"1")
            raise stop

    with pytest.raises(expected):
        write()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    """Also one that appears meanwhile."""
    path = tmp_path / "a"
    path.write_text("old")
    with work_folder(tmp_path) as work:
        with pytest.raises(StoreError, match="already exists"), private_file(path, work, replace=False):
            pass
        with private_file(path, work, replace=True) as file:
            file.write(b"new")
        later = tmp_path / "later"
        with pytest.raises(StoreError, match="already exists"), private_file(later, work, replace=False):
            later.touch()
    assert path.read_text() == "new"
    assert later.read_bytes() == b""


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.symlink_to("target"),
        lambda path: path.symlink_to("nothing"),
        lambda path: path.symlink_to("/dev/null"),
        os.mkfifo,
        Path.mkdir,
    ],
    ids=["link", "broken-link", "link-to-a-device", "pipe", "folder"],
)
def test_only_a_regular_file_is_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A name such as /dev/null or /dev/stdout is refused: root would replace the device."""
    path = tmp_path / "a"
    (tmp_path / "target").write_text("old")
    make(path)
    before = path.lstat()
    with (
        work_folder(tmp_path) as work,
        pytest.raises(StoreError, match="already exists, and is not a regular file"),
        private_file(path, work, replace=True),
    ):
        pass
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert (tmp_path / "target").read_text() == "old"


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """The folder of a process that still runs is not."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom moonmind_appliance.archive import work_folder\n"
        "with work_folder(Path(sys.argv[1])) as work:\n"
        "    (work / 'big').write_bytes(b'x')\n    print(work, flush=True)\n    time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    left = Path(child.stdout.readline().strip())
    with work_folder(tmp_path):
        assert (left / "big").exists()
    child.kill()
    child.communicate()
    assert left.exists()
    with work_folder(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]


def test_a_full_disk_is_named() -> None:
    """The message says what to do."""
    assert "no space left" in refused(Path("/x"), OSError(errno.ENOSPC, "full")).message
    assert "Permission" in refused(Path("/x"), PermissionError(errno.EACCES, "Permission denied")).message
