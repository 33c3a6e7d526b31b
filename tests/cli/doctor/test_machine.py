"""The doctor's looks at this machine."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from moonmind_appliance.cli.doctor.machine import (
    api_and_serve,
    clock,
    data_folder,
    docker_engine,
    free_space,
    job_image,
)
from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.containers.fake import JOB_IMAGE, FakeEngine
from moonmind_appliance.settings import Settings
from tests.api.served import serve

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_a_data_folder_that_is_closed_to_others(tmp_path: Path) -> None:
    """One that is open is worth knowing; one that is not there yet is made."""
    folder = tmp_path / "data"
    settings = Settings(moonmind_data_dir=folder)
    assert data_folder(settings).grade == "ok"
    assert not folder.exists()
    folder.mkdir(mode=0o755)
    assert (data_folder(settings).grade, data_folder(settings).to_do) == ("note", f"chmod 700 {folder}")
    folder.chmod(0o700)
    assert data_folder(settings).grade == "ok"


def test_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    """By the same setting by which no run is taken."""
    assert free_space(Settings(moonmind_data_dir=tmp_path, min_free_disk=1)).grade == "ok"
    assert free_space(Settings(moonmind_data_dir=tmp_path, min_free_disk=1 << 60)).grade == "wrong"


def test_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    """What to do comes with it."""
    finding = docker_engine(DockerEngine(f"unix://{tmp_path}/none.sock", environment={}))
    assert finding.grade == "wrong"
    assert "Start the Docker engine" in finding.to_do


def test_an_image_that_is_not_there_or_not_fit() -> None:
    """Its labels are the contract."""
    engine = FakeEngine()
    assert docker_engine(engine).grade == "ok"
    findings = [
        job_image(engine, Settings(spec_automation_job_image=name)) for name in ("moonmind/none:none", JOB_IMAGE)
    ]
    assert [finding.grade for finding in findings] == ["wrong", "wrong"]
    assert "has no image" in findings[0].seen
    assert "lacks the labels" in findings[1].seen
    assert all("./install.sh" in finding.to_do for finding in findings)


@pytest.mark.docker
@pytest.mark.image
def test_the_image_that_was_built_is_fit() -> None:
    """With Codex's and Spec Kit's versions."""
    engine = DockerEngine()
    finding = job_image(engine, Settings())
    engine.close()
    assert finding.grade == "ok"
    assert "Codex 0." in finding.seen


def test_an_address_that_is_free_or_taken_by_another() -> None:
    """That nobody serves is no fault of the machine's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(moonmind_port=taken.getsockname()[1])
        taken.close()
        assert [finding.grade for finding in api_and_serve(settings)] == ["ok", "note"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(moonmind_port=taken.getsockname()[1])
        findings = api_and_serve(settings)
    assert [finding.grade for finding in findings] == ["wrong", "note"]


def test_a_serve_that_runs(tmp_path: Path) -> None:
    """Its own checks are told, too."""
    with serve(tmp_path) as served:
        settings = Settings(moonmind_port=int(served.address.rpartition(":")[2]))
        assert [finding.grade for finding in api_and_serve(settings)] == ["ok", "ok"]
        served.parts.stopping.set()
        findings = api_and_serve(settings)
    assert [finding.grade for finding in findings] == ["ok", "wrong"]
    assert "stopping" in findings[1].seen


@pytest.mark.parametrize(
    ("seen", "grade"),
    [(NOW + timedelta(seconds=30), "ok"), (NOW - timedelta(minutes=5), "wrong"), (None, "note")],
)
def test_a_clock_that_is_wrong(seen: datetime | None, grade: str) -> None:
    """By more than a minute."""
    assert clock(seen, NOW).grade == grade
