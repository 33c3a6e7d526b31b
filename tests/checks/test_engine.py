"""The checks of the Docker engine and the job image."""

import pytest

from moonmind_appliance.checks.engine import docker_engine, job_image
from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.settings import Settings
from tests.containers.fake import JOB_IMAGE, FakeEngine


def test_a_missing_or_incompatible_image() -> None:
    """The image's labels state its contract."""
    engine = FakeEngine()
    assert docker_engine(engine).level == "ok"
    findings = [
        job_image(engine, Settings(spec_automation_job_image=name)) for name in ("moonmind/none:none", JOB_IMAGE)
    ]
    assert [finding.level for finding in findings] == ["wrong", "wrong"]
    assert "has no image" in findings[0].observed
    assert "lacks the labels" in findings[1].observed
    assert all("./install.sh" in finding.to_do for finding in findings)


@pytest.mark.docker
@pytest.mark.image
def test_the_built_image_is_compatible() -> None:
    """The finding has the versions of Codex and Spec Kit."""
    engine = DockerEngine()
    finding = job_image(engine, Settings())
    engine.close()
    assert finding.level == "ok"
    assert "Codex 0." in finding.observed
