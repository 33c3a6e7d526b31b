"""Which disks are watched, and that what is past its retention time goes before work is refused."""

from pathlib import Path

import msgspec
import pytest

from moonmind_appliance.errors import EngineUnreachable, StoreError
from moonmind_appliance.models import RunStatus
from moonmind_appliance.retention.disk import data_disk, least_to_accept, low_disk, watched_disks
from moonmind_appliance.settings import Settings
from tests.appliance_under_test import ApplianceUnderTest
from tests.containers.fake import FakeEngine

NEVER = 1
ALWAYS = 1 << 60


class OtherDisk(FakeEngine):
    """An engine whose data is in that folder."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self._folder = folder

    def data_folder(self) -> Path | None:  # type: ignore[override]
        self._called("data_folder", "")
        return self._folder


def test_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    """The nearest one above it is on the same disk."""
    disk = data_disk(Settings(moonmind_data_dir=tmp_path / "a/b"))
    assert (disk.folder, disk.free > 0) == (tmp_path, True)


def test_the_engines_disk_counts_if_it_is_another_one(tmp_path: Path) -> None:
    """A folder on the same disk, none, or one that vanished adds nothing."""
    settings = Settings(moonmind_data_dir=tmp_path)
    other = Path("/dev/shm")  # noqa: S108 - a file system of its own on every Linux
    assert [disk.folder for disk in watched_disks(settings, OtherDisk(other))] == [tmp_path, other]
    for folder in (tmp_path, None, tmp_path / "gone"):
        assert len(watched_disks(settings, OtherDisk(folder))) == 1
    assert len(watched_disks(settings, None)) == 1


def test_an_engine_that_does_not_answer_is_left_out(tmp_path: Path) -> None:
    """Its disk is unknown, and that must not stop the check of the data folder's."""
    engine = OtherDisk(Path("/dev/shm"))  # noqa: S108 - as above
    engine.fail(EngineUnreachable("no engine"), method="data_folder")
    assert len(watched_disks(Settings(moonmind_data_dir=tmp_path), engine)) == 1


def test_submissions_are_refused_at_a_quarter(tmp_path: Path) -> None:
    """Until then runs are accepted, and wait."""
    assert least_to_accept(Settings(moonmind_data_dir=tmp_path, min_free_disk=1 << 30)) == 1 << 28


@pytest.mark.usefixtures("left")
def test_a_low_disk_is_freed_first(appliance: ApplianceUnderTest) -> None:
    """Once a minute at most; nothing younger than its retention time goes."""
    old = appliance.run()
    appliance.clock.advance(days=8)
    young = appliance.run()
    disk = low_disk(appliance.resources, ALWAYS, with_engine=True)
    assert disk is not None
    assert disk.what == "the data folder"
    assert appliance.resources.files.run_ids() == [young.run_id]
    assert not [name for name in appliance.engine.volume_data if name.endswith(old.run_id)]
    appliance.clock.advance(days=8)
    assert low_disk(appliance.resources, ALWAYS, with_engine=True) is not None
    assert appliance.resources.files.run_ids() == [young.run_id]


def test_a_disk_with_room_is_left_alone(appliance: ApplianceUnderTest) -> None:
    """Nothing is removed before its hour."""
    run = appliance.run()
    appliance.clock.advance(days=8)
    assert low_disk(appliance.resources, NEVER, with_engine=True) is None
    assert appliance.resources.files.run_ids() == [run.run_id]


def test_a_failure_while_room_is_made_is_not_the_callers(appliance: ApplianceUnderTest) -> None:
    """It is logged, and the disk is still low."""
    appliance.store.artifacts.runs_expired = _fails  # type: ignore[method-assign]
    assert low_disk(appliance.resources, ALWAYS, with_engine=False) is not None


def _fails(_now: object) -> list[str]:
    raise StoreError("database is locked")


@pytest.mark.usefixtures("left")
def test_caches_go_if_nothing_else_frees_enough(appliance: ApplianceUnderTest) -> None:
    """Whatever their age; not while a run uses them."""
    appliance.run()
    (cache,) = (name for name in appliance.engine.volume_data if name.startswith("moonmind-cache-"))
    run = appliance.submit()
    lease = appliance.take(run)
    resources = appliance.resources
    assert low_disk(resources, ALWAYS, with_engine=True) is not None
    assert cache in appliance.engine.volume_data
    appliance.store.progress.finish(
        run.run_id, lease, RunStatus.FAILED, now=appliance.clock(), result_summary=None, failure=None
    )
    again = msgspec.structs.replace(resources, making_room=type(resources.making_room)())
    assert low_disk(again, ALWAYS, with_engine=True) is not None
    assert cache not in appliance.engine.volume_data
    assert len([name for name in appliance.engine.volume_data if name.endswith(run.run_id)]) == 0
