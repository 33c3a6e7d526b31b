"""The data folder's own files are removed, and nothing else."""

from pathlib import Path

import pytest

from moonmind_appliance.store import Store
from moonmind_appliance.store.erase import erase_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    Store.open(folder).close()
    (folder / "runs/1/artifacts").mkdir(parents=True)
    return folder


def test_everything_of_the_appliance_is_removed(data: Path) -> None:
    """Then the empty folder goes, too; a second call finds nothing."""
    assert str(data) in erase_data(data)
    assert not data.exists()
    assert erase_data(data) == []


def test_a_link_is_removed_and_its_target_kept(data: Path, tmp_path: Path) -> None:
    """`runs` may be a link to another disk; what is there belongs to its operator."""
    target = tmp_path / "disk"
    (data / "runs").rename(target)
    (data / "runs").symlink_to(target)
    erase_data(data)
    assert not data.exists()
    assert target.exists()
