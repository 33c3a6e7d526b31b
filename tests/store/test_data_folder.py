"""A data folder that another user could have prepared is refused; no link in it is followed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.store import Store, make_data_folder

OTHER = 1000
root_alone = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    return path


def refused(folder: Path) -> StoreError:
    with pytest.raises(StoreError) as refusal:
        Store.open(folder).close()
    assert refusal.value.hint
    return refusal.value


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o722, 0o755 | 0o020])
def test_write_access_of_others_is_refused(folder: Path, mode: int) -> None:
    """Write access of group or others is refused; the message has the mode, and no file is created."""
    if os.geteuid() == 0:
        os.chown(folder, 0, OTHER)
    folder.chmod(mode)
    assert f"{mode:04o}" in refused(folder).message
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755])
def test_others_may_read_the_folder(folder: Path, mode: int) -> None:
    """Its files are 0600; installations with such a folder still work."""
    folder.chmod(mode)
    Store.open(folder).close()


@root_alone
def test_the_group_of_root_may_write(folder: Path) -> None:
    """A container that runs as another user with group 0 has a folder of root's, with mode 0770."""
    folder.chmod(0o770)
    Store.open(folder).close()


@root_alone
def test_the_folder_of_another_user(folder: Path) -> None:
    """It is refused with any mode: the owner can change that."""
    os.chown(folder, OTHER, OTHER)
    assert f"user id {OTHER}" in refused(folder).message


@root_alone
def test_a_link_of_another_user_to_an_own_folder(tmp_path: Path, folder: Path) -> None:
    """The user's own link is followed: the folder may be on another disk."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    Store.open(link).close()
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    assert f"user id {OTHER}" in refused(link).message


@pytest.mark.parametrize(
    "name", ["appliance.db", "appliance.db-wal", "appliance.db-shm", "huey.db", "serve.lock", "anything"]
)
def test_a_planted_link_is_not_followed(tmp_path: Path, folder: Path, name: str) -> None:
    """Its target is neither created nor changed."""
    victim = tmp_path / "victim"
    (folder / name).symlink_to(victim)
    assert name in refused(folder).message
    assert not victim.exists()


def test_a_link_to_a_database_is_not_followed(tmp_path: Path, folder: Path) -> None:
    """Not even to one of the appliance's own."""
    other = tmp_path / "other"
    Store.open(other).close()
    before = (other / "appliance.db").read_bytes()
    (folder / "appliance.db").symlink_to(other / "appliance.db")
    assert "is a symbolic link" in refused(folder).message
    assert (other / "appliance.db").read_bytes() == before


@root_alone
@pytest.mark.parametrize("plant", [Path.touch, Path.mkdir, os.mkfifo])
def test_what_another_user_left_is_refused(folder: Path, plant: Callable[[Path], None]) -> None:
    """Others may have had access to the folder before: a database of another user is not used."""
    plant(folder / "appliance.db")
    os.chown(folder / "appliance.db", OTHER, OTHER)
    assert "another user" in refused(folder).message


def test_the_artifacts_may_be_on_another_disk(tmp_path: Path, folder: Path) -> None:
    """The user's own link is followed."""
    (tmp_path / "disk").mkdir()
    (folder / "runs").symlink_to(tmp_path / "disk")
    Store.open(folder).close()


def test_a_folder_that_is_made_is_private(tmp_path: Path) -> None:
    """This is true for any umask."""
    before = os.umask(0)
    try:
        make_data_folder(tmp_path / "new")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("left", ["runs", "backups"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_lost_database_is_not_replaced_by_an_empty_one(folder: Path, left: str, *, empty: bool) -> None:
    """A folder with runs or backups had a database: the operator must restore it, or move them away."""
    (folder / left / "entry").mkdir(parents=True)
    if empty:
        (folder / "appliance.db").touch()
    state = "is empty" if empty else "is missing"
    assert f"appliance.db {state}, but the data folder contains {left}" in refused(folder).message
    (folder / left / "entry").rmdir()
    Store.open(folder).close()


def test_a_database_whose_newest_changes_are_left_is_not_replaced(folder: Path) -> None:
    """SQLite would delete the file with the newest changes, which may contain the whole database."""
    (folder / "appliance.db-wal").write_bytes(b"changes")
    assert "appliance.db-wal" in refused(folder).message
    assert (folder / "appliance.db-wal").read_bytes() == b"changes"
