"""The checks behind `/ready`: never an exception, cheap, and what they need is named."""

import pytest

from moonmind_appliance.checks import Finding, Level, Readiness, readiness
from moonmind_appliance.containers.fake import FakeEngine
from moonmind_appliance.errors import EngineUnreachable
from tests.appliance_under_test import ApplianceUnderTest

LABELS = {"moonmind.codex.version": "0.1", "moonmind.spec-kit.version": "1.0", "moonmind.job-image.version": "1.2"}


@pytest.fixture
def ready_world(appliance: ApplianceUnderTest) -> ApplianceUnderTest:
    """Logins that were looked at, and an image that is fit."""
    appliance.run()
    for image in appliance.engine.images.values():
        image.labels.update(LABELS)
    return appliance


def found(appliance: ApplianceUnderTest) -> dict[str, Finding]:
    """By their names in `/ready`, without those of a process that serves."""
    return {name: finding for name, finding in Readiness(appliance.resources, dict).now().items() if name != "workers"}


def bad(appliance: ApplianceUnderTest) -> dict[str, str]:
    return {
        name: f"{finding.observed} {finding.to_do}"
        for name, finding in found(appliance).items()
        if finding.level is Level.WRONG
    }


def test_all_that_is_needed_is_there(ready_world: ApplianceUnderTest) -> None:
    """In the order in which one thing needs another."""
    assert bad(ready_world) == {}
    assert list(found(ready_world)) == ["database", "disk", "engine", "job_image", "github_token", "login"]
    assert readiness(ready_world.resources) == list(found(ready_world).values())


def test_an_engine_that_does_not_answer(ready_world: ApplianceUnderTest) -> None:
    """Nothing is said of an image that cannot be looked for."""
    ready_world.engine.fail(EngineUnreachable("No engine answers."))
    assert bad(ready_world) == {"engine": "No engine answers. Start the Docker engine, or set DOCKER_HOST."}
    assert bad(ready_world) == {}


def test_an_image_that_is_missing(ready_world: ApplianceUnderTest) -> None:
    """How to build it is said."""
    ready_world.engine.images.clear()
    assert list(bad(ready_world)) == ["job_image"]
    assert "./install.sh" in bad(ready_world)["job_image"]


def test_a_shard_row_that_cannot_be_read(ready_world: ApplianceUnderTest) -> None:
    """It is no exception, and the other checks go on."""
    ready_world.store.close()
    assert set(bad(ready_world)) == {"database", "login"}


def test_many_probes_ask_the_engine_once(ready_world: ApplianceUnderTest) -> None:
    """Within a few seconds; dead threads are seen at once all the same."""
    alive = {"codex-0": True}
    checks = Readiness(ready_world.resources, lambda: alive)
    before = calls(ready_world.engine)
    for _ in range(20):
        assert checks.now()["workers"].level is Level.OK
    assert calls(ready_world.engine) - before == 2
    alive["codex-0"] = False
    assert checks.now()["workers"].level is Level.WRONG


def calls(engine: FakeEngine) -> int:
    return len(engine.calls)
