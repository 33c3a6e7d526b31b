"""Volumes of runs as folders of one Docker volume: listed, used and removed like volumes."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.containers.folders import FolderEngine
from moonmind_appliance.errors import EngineError
from moonmind_appliance.models import ContainerSpec, Limits, Mount

pytestmark = pytest.mark.docker
RUN, CACHE = "moonmind.test.run", "moonmind.test.cache"


@pytest.fixture
def name() -> str:
    return f"moonmind-test-folders-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def engine(tmp_path: Path, name: str) -> Iterator[FolderEngine]:
    made = FolderEngine(None, volume=name, folder=tmp_path, kept_as_folders={RUN, CACHE})
    made.ensure_volume(name, {})
    yield made
    for volume in (name, f"{name}-1"):
        DockerEngine.remove_volume(made, volume)
    made.close()


def test_a_volume_of_a_run_is_a_folder(engine: FolderEngine, name: str, tmp_path: Path) -> None:
    """Created once, listed by its labels together with real volumes, removed once."""
    labels = {RUN: name, "moonmind.test": name}
    assert (engine.ensure_volume(f"{name}-1", labels), engine.ensure_volume(f"{name}-1", labels)) == (True, False)
    engine.ensure_volume(f"{name}-2", {"moonmind.test": name})
    assert [volume.name for volume in engine.volumes({"moonmind.test": name})] == [f"{name}-1", f"{name}-2"]
    assert [volume.labels for volume in engine.volumes({RUN: name})] == [labels]
    assert (tmp_path / f"{name}-1").stat().st_mode & 0o777 == 0o777
    assert (engine.remove_volume(f"{name}-1"), engine.remove_volume(f"{name}-1")) == (True, False)
    assert engine.remove_volume(f"{name}-2")
    assert list(tmp_path.iterdir()) == []


def test_volumes_of_another_label_are_folders_too(engine: FolderEngine, name: str, tmp_path: Path) -> None:
    """A container of user 1000 can write to it, and the list has its time."""
    assert engine.ensure_volume(f"{name}-1", {CACHE: "acme/shop"})
    assert (tmp_path / f"{name}-1").is_dir()
    (state,) = engine.volumes({CACHE: "acme/shop"})
    assert state.created_at is not None
    assert abs(datetime.now(UTC) - state.created_at) < timedelta(hours=1)
    assert engine.remove_volume(f"{name}-1")


def test_what_a_crash_left(engine: FolderEngine, name: str, tmp_path: Path) -> None:
    """A folder that containers could not write to yet; labels that were lost, which must not hide the others."""
    labels = {RUN: name}
    assert engine.ensure_volume(f"{name}-1", labels)
    (tmp_path / f"{name}-1").chmod(0o700)
    assert not engine.ensure_volume(f"{name}-1", labels)
    assert (tmp_path / f"{name}-1").stat().st_mode & 0o777 == 0o777
    for damaged in ("", "[]", '{"a": 1}'):
        (tmp_path / f"{name}-0.json").write_text(damaged)
        assert [volume.name for volume in engine.volumes(labels)] == [f"{name}-1"]
    assert engine.remove_volume(f"{name}-1")


def test_an_older_volume_is_still_used(engine: FolderEngine, name: str, tmp_path: Path) -> None:
    """A run from before an upgrade has a volume: it is not replaced by an empty folder."""
    DockerEngine.ensure_volume(engine, f"{name}-1", {RUN: name})
    assert not engine.ensure_volume(f"{name}-1", {RUN: name})
    assert list(tmp_path.iterdir()) == []
    assert engine.remove_volume(f"{name}-1")


def test_a_name_never_leaves_the_folder(engine: FolderEngine, tmp_path: Path) -> None:
    """A name with a path in it is refused by the engine, as for every volume."""
    for strange in ("../outside", "/outside", ".."):
        with pytest.raises(EngineError):
            engine.ensure_volume(strange, {RUN: "1"})
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path.parent / "outside").exists()


def test_hostile_content_is_removed(engine: FolderEngine, name: str, tmp_path: Path) -> None:
    """Links are not followed, and folders can be nested deeper than Python recurses."""
    outside = tmp_path.parent / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    engine.ensure_volume(f"{name}-1", {RUN: name})
    folder = tmp_path / f"{name}-1"
    (folder / "link").symlink_to(outside)
    below = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=below)
        above, below = below, os.open("d", os.O_RDONLY, dir_fd=below)
        os.close(above)
    os.close(below)
    assert engine.remove_volume(f"{name}-1")
    assert not folder.exists()
    assert (outside / "kept").exists()


def box(name: str, volume: str, *command: str) -> ContainerSpec:
    return ContainerSpec(
        name=name,
        image="moonmind/spec-automation-job:latest",
        command=list(command),
        labels={},
        limits=Limits(64 * 1024**2, 1.0, 16),
        mounts=[Mount(volume, "/work/runs")],
    )


def test_a_folder_in_use_is_kept(engine: FolderEngine, name: str) -> None:
    """Like a volume: the error names the container. The container has the folder, not the volume."""
    engine.ensure_volume(f"{name}-1", {RUN: name})
    maker, user = f"{name}-maker", f"{name}-user"
    try:
        # Here the engine's volume is not the test's folder, so it needs a folder of that name, too.
        engine.start(box(maker, name, "mkdir", "-p", f"/work/runs/{name}-1/inside"))
        subprocess.run(["docker", "wait", maker], check=True, capture_output=True)
        engine.start(box(user, f"{name}-1", "ls", "/work/runs"), run=False)
        with pytest.raises(EngineError, match=user):
            engine.remove_volume(f"{name}-1")
        assert engine.volumes({RUN: name}) != []
    finally:
        engine.remove(maker)
        engine.remove(user)
    assert engine.remove_volume(f"{name}-1")


def test_a_volume_that_does_not_exist(tmp_path: Path, name: str) -> None:
    """The setting is named."""
    engine = FolderEngine(None, volume=name, folder=tmp_path, kept_as_folders={RUN})
    engine.ensure_volume(f"{name}-1", {RUN: name})
    with pytest.raises(EngineError) as refused:
        engine.remove_volume(f"{name}-1")
    assert "WORKSPACES_VOLUME" in refused.value.hint
    engine.close()
