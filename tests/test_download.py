"""A download writes only into its folder, whatever links another user created there."""

import os
import stat
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from moonmind_appliance.download import BadName, DownloadFolder, Incomplete

CONTENT = b"diff --git a/x b/x\n"
NAME = "change.patch"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file outside the folder that must not change."""
    path = tmp_path / "victim"
    path.write_bytes(b"root's own")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir(mode=0o777)
    return path


def save(folder: Path, name: str = NAME, content: bytes = CONTENT) -> Path:
    with DownloadFolder(folder) as opened:
        return opened.save(name, [content[:4], content[4:]], sha256=sha256(content).hexdigest())


def link_at_the_part(folder: Path, victim: Path) -> None:
    (folder / f".{NAME}.part").symlink_to(victim)


def link_at_the_name(folder: Path, victim: Path) -> None:
    (folder / NAME).symlink_to(victim)


def hard_link_at_the_name(folder: Path, victim: Path) -> None:
    (folder / NAME).hardlink_to(victim)


def link_to_a_folder_at_the_name(folder: Path, victim: Path) -> None:
    (folder / NAME).symlink_to(victim.parent)


def broken_link_at_the_name(folder: Path, victim: Path) -> None:
    (folder / NAME).symlink_to(victim.with_name("made by the download"))


def pipe_at_the_name(folder: Path, victim: Path) -> None:
    os.mkfifo(folder / NAME)


@pytest.mark.parametrize(
    "plant",
    [
        link_at_the_part,
        link_at_the_name,
        hard_link_at_the_name,
        link_to_a_folder_at_the_name,
        broken_link_at_the_name,
        pipe_at_the_name,
    ],
)
def test_nothing_is_written_through_links(folder: Path, victim: Path, plant: Callable[[Path, Path], None]) -> None:
    """The file is new; a link's target is unchanged, and nothing is created there."""
    plant(folder, victim)
    before = sorted(victim.parent.iterdir())
    saved = save(folder)
    assert stat.S_ISREG(saved.lstat().st_mode)
    assert saved.read_bytes() == CONTENT
    assert victim.read_bytes() == b"root's own"
    assert sorted(victim.parent.iterdir()) == before


def test_the_temporary_name_cannot_be_guessed(folder: Path) -> None:
    """It is new each time, hidden, and removed at the end."""
    seen: set[str] = set()

    def chunks() -> Iterator[bytes]:
        seen.update(path.name for path in folder.iterdir())
        yield CONTENT

    with DownloadFolder(folder) as opened:
        for number in range(5):
            opened.save(f"{number}.log", chunks())
    assert len(seen - {f"{number}.log" for number in range(5)}) == 5
    assert sorted(path.name for path in folder.iterdir()) == [f"{number}.log" for number in range(5)]


def test_a_folder_that_is_replaced_during_the_download(tmp_path: Path, folder: Path, victim: Path) -> None:
    """The bytes go into the opened folder, not into the one that has its path now."""

    def chunks() -> Iterator[bytes]:
        folder.rename(tmp_path / "moved")
        folder.symlink_to(victim.parent)
        yield CONTENT

    with DownloadFolder(folder) as opened:
        opened.save("victim", chunks())
    assert victim.read_bytes() == b"root's own"
    assert (tmp_path / "moved" / "victim").read_bytes() == CONTENT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
def test_a_link_of_another_user_is_refused(tmp_path: Path, folder: Path) -> None:
    """One's own link is accepted, as many home folders have one."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert save(link).read_bytes() == CONTENT
    os.chown(link, 1000, 1000, follow_symlinks=False)
    with pytest.raises(PermissionError, match="another user"):
        save(link)


@pytest.mark.parametrize("name", ["", ".", "..", ".bashrc", "a/b", "/etc/cron.d/x", "../x", "x" * 256])
def test_a_name_must_be_in_the_folder(folder: Path, name: str) -> None:
    """Not hidden, and not a path: a hostile server chooses the names."""
    with pytest.raises(BadName):
        save(folder, name)
    assert list(folder.iterdir()) == []


def test_a_wrong_checksum_leaves_nothing(folder: Path) -> None:
    """The existing file is unchanged."""
    (folder / NAME).write_bytes(b"before")
    with DownloadFolder(folder) as opened, pytest.raises(Incomplete):
        opened.save(NAME, [b"other"], sha256=sha256(CONTENT).hexdigest())
    assert [path.name for path in folder.iterdir()] == [NAME]
    assert (folder / NAME).read_bytes() == b"before"


def test_an_interrupted_download_leaves_nothing(folder: Path) -> None:
    """For any kind of interruption."""

    def chunks() -> Iterator[bytes]:
        yield CONTENT
        raise KeyboardInterrupt

    with DownloadFolder(folder) as opened, pytest.raises(KeyboardInterrupt):
        opened.save(NAME, chunks())
    assert list(folder.iterdir()) == []


def test_a_folder_of_that_name_is_refused(folder: Path) -> None:
    """And is not changed."""
    (folder / NAME).mkdir()
    with pytest.raises(OSError, match="directory"):
        save(folder)
    assert [path.name for path in folder.iterdir()] == [NAME]
