"""The checks of this machine."""

import os
import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from moonmind_appliance.checks.machine import clock, data_folder, database, free_space, others_read
from moonmind_appliance.errors import SettingsError, StoreError
from moonmind_appliance.settings import Settings
from tests.appliance_under_test import ApplianceUnderTest

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_the_data_folders_permissions(tmp_path: Path) -> None:
    """One that others can read is a note; a missing one will be created."""
    folder = tmp_path / "data"
    settings = Settings(moonmind_data_dir=folder)
    assert data_folder(settings).level == "ok"
    assert not folder.exists()
    folder.mkdir(mode=0o755)
    assert (data_folder(settings).level, data_folder(settings).to_do) == ("note", f"chmod 700 {folder}")
    folder.chmod(0o700)
    assert data_folder(settings).level == "ok"


@pytest.mark.parametrize(
    ("mode", "group", "level"), [(0o770, 0, "ok"), (0o750, 0, "ok"), (0o771, 0, "note"), (0o750, 12345, "note")]
)
def test_roots_group_is_not_other_users(mode: int, group: int, level: str) -> None:
    """The appliance's own image opens its folder to the group of root only, and that is no reason to warn."""
    found = os.stat_result((stat.S_IFDIR | mode, 1, 1, 1, 0, group, 0, 0, 0, 0))
    assert ("note" if others_read(found) else "ok") == level


def test_a_nearly_full_disk(tmp_path: Path) -> None:
    """Below MIN_FREE_DISK no run starts; below a quarter of it none is accepted."""
    assert free_space(Settings(moonmind_data_dir=tmp_path, min_free_disk=1)).level == "ok"
    low = free_space(Settings(moonmind_data_dir=tmp_path, min_free_disk=shutil.disk_usage(tmp_path).free * 2))
    assert (low.level, low.observed.endswith("New runs are accepted, and wait.")) == ("wrong", True)
    full = free_space(Settings(moonmind_data_dir=tmp_path, min_free_disk=1 << 60))
    assert (full.level, full.observed.endswith("New runs are refused, and queued runs wait.")) == ("wrong", True)
    assert "moonmind-appliance prune" in full.to_do


@pytest.mark.parametrize(
    ("seen", "level"),
    [(NOW + timedelta(seconds=30), "ok"), (NOW - timedelta(minutes=5), "wrong"), (None, "note")],
)
def test_a_wrong_clock(seen: datetime | None, level: str) -> None:
    """By more than a minute."""
    assert clock(seen, NOW).level == level


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    """Or is below a file."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "data"):
        finding = data_folder(Settings(moonmind_data_dir=folder))
        assert (finding.level, finding.to_do) == ("wrong", "Set MOONMIND_DATA_DIR to a folder.")


def test_an_open_and_a_missing_database(appliance: ApplianceUnderTest, tmp_path: Path) -> None:
    """A check does not create one."""
    settings = Settings(moonmind_data_dir=tmp_path / "nothing")
    assert database(appliance.resources.settings, appliance.resources).level == "ok"
    assert database(settings, None).level == "ok"
    assert not settings.moonmind_data_dir.exists()


def test_a_folder_that_cannot_be_written(appliance: ApplianceUnderTest) -> None:
    """A database that is still open can be read, but nothing can be stored: `/ready` and `doctor` must not say ok."""
    folder = appliance.resources.settings.moonmind_data_dir
    folder.rename(folder.with_name("away"))
    finding = database(appliance.resources.settings, appliance.resources)
    assert (finding.level, finding.observed) == ("wrong", f"{folder} cannot be written: No such file or directory.")
    assert finding.to_do.startswith("Mount the disk writable")
    folder.with_name("away").rename(folder)
    assert database(appliance.resources.settings, appliance.resources).level == "ok"
    assert not [path.name for path in folder.iterdir() if not path.name.startswith("appliance.db")]


def test_a_database_that_cannot_be_used(appliance: ApplianceUnderTest) -> None:
    """The reason, and what to do; a problem elsewhere is not blamed on the database."""
    why = StoreError("Database x is newer.", hint="Install the newer version.")
    finding = database(appliance.resources.settings, None, why)
    assert (finding.level, finding.observed, finding.to_do) == ("wrong", why.message, why.hint)
    assert database(appliance.resources.settings, None, SettingsError([])).level == "note"
