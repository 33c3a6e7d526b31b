"""The checks of the Docker engine and the job image."""

import pytest

from moonmind_appliance.checks.engine import docker_engine, job_image
from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.containers.fake import JOB_IMAGE, FakeEngine
from moonmind_appliance.settings import Settings


def test_an_image_that_is_not_there_or_not_fit() -> None:
    """Its labels are the contract."""
    engine = FakeEngine()
    assert docker_engine(engine).level == "ok"
    findings = [
        job_image(engine, Settings(spec_automation_job_image=name)) for name in ("moonmind/none:none", JOB_IMAGE)
    ]
    assert [finding.level for finding in findings] == ["wrong", "wrong"]
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
    assert finding.level == "ok"
    assert "Codex 0." in finding.observed
