"""The checks of `/ready`: they never raise, are cheap, and name what is missing."""

import threading
import time

import pytest

from moonmind_appliance.checks import Finding, Level, Readiness, readiness
from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.models import EngineInfo
from tests.appliance_under_test import ApplianceUnderTest
from tests.containers.fake import FakeEngine

LABELS = {"moonmind.codex.version": "0.1", "moonmind.spec-kit.version": "1.0", "moonmind.job-image.version": "1.2"}


@pytest.fixture
def ready_appliance(appliance: ApplianceUnderTest) -> ApplianceUnderTest:
    """An appliance with checked logins and a compatible image."""
    appliance.run()
    for image in appliance.engine.images.values():
        image.labels.update(LABELS)
    return appliance


def found(appliance: ApplianceUnderTest) -> dict[str, Finding]:
    """The checks by their names in `/ready`, without those of the serving process."""
    return {name: finding for name, finding in Readiness(appliance.resources, dict).now().items() if name != "workers"}


def bad(appliance: ApplianceUnderTest) -> dict[str, str]:
    return {
        name: f"{finding.observed} {finding.to_do}"
        for name, finding in found(appliance).items()
        if finding.level is Level.WRONG
    }


def test_everything_is_available(ready_appliance: ApplianceUnderTest) -> None:
    """Each check comes after those that it depends on."""
    assert bad(ready_appliance) == {}
    assert list(found(ready_appliance)) == ["database", "drain", "disk", "engine", "job_image", "github_token", "login"]
    assert readiness(ready_appliance.resources) == list(found(ready_appliance).values())


def test_an_engine_that_does_not_respond(ready_appliance: ApplianceUnderTest) -> None:
    """There is no finding about the image, which cannot be checked."""
    ready_appliance.engine.fail(EngineUnreachable("No engine answers."))
    assert bad(ready_appliance) == {"engine": "No engine answers. Start the Docker engine, or set DOCKER_HOST."}
    assert bad(ready_appliance) == {}


def test_a_missing_image(ready_appliance: ApplianceUnderTest) -> None:
    """The finding says how to build it."""
    ready_appliance.engine.images.clear()
    assert list(bad(ready_appliance)) == ["job_image"]
    assert "./install.sh" in bad(ready_appliance)["job_image"]


def test_a_shard_row_that_cannot_be_read(ready_appliance: ApplianceUnderTest) -> None:
    """It raises nothing, and the other checks continue."""
    ready_appliance.store.close()
    assert set(bad(ready_appliance)) == {"database", "drain", "login"}


def test_many_probes_ask_the_engine_once(ready_appliance: ApplianceUnderTest) -> None:
    """Within a few seconds; dead threads are reported at once anyway."""
    alive = {"codex-0": True}
    checks = Readiness(ready_appliance.resources, lambda: alive)
    before = calls(ready_appliance.engine)
    for _ in range(20):
        assert checks.now()["workers"].level is Level.OK
    assert calls(ready_appliance.engine) - before == 2
    alive["codex-0"] = False
    assert checks.now()["workers"].level is Level.WRONG


def test_who_does_not_wait_gets_the_latest_findings(ready_appliance: ApplianceUnderTest) -> None:
    """Another thread renews them; dead threads are reported at once anyway."""
    checks = Readiness(ready_appliance.resources, lambda: {"codex-0": True})
    assert list(checks.last()) == ["workers"]
    until = time.monotonic() + 20
    while "engine" not in checks.last():
        assert time.monotonic() < until
        time.sleep(0.005)
    before = calls(ready_appliance.engine)
    assert checks.last() == checks.now()
    assert calls(ready_appliance.engine) == before


def test_an_engine_that_hangs_is_a_problem_for_who_does_not_wait(ready_appliance: ApplianceUnderTest) -> None:
    """Its own time limit is minutes; no second thread waits for it."""
    seconds, hangs = [0.0], threading.Event()
    checks = Readiness(ready_appliance.resources, dict, clock=lambda: seconds[0])
    checks.now()
    info = ready_appliance.engine.info

    def hanging() -> EngineInfo:
        assert hangs.wait(60)
        return info()

    ready_appliance.engine.info = hanging
    seconds[0] = 20.0
    assert checks.last()["engine"].level is Level.OK
    seconds[0] = 51.0
    assert checks.last()["engine"].observed == "No answer for 31 s."
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "readiness"]
    hangs.set()
    thread.join(30)


def calls(engine: FakeEngine) -> int:
    return len(engine.calls)


def test_an_engine_that_hangs_does_not_delay_probes(ready_appliance: ApplianceUnderTest) -> None:
    """Each waiting request would occupy a thread of the API; one thread asks, and its answer counts later."""
    answered = threading.Event()
    engine = ready_appliance.engine
    info, asked = engine.info, []

    def hangs() -> EngineInfo:
        asked.append(1)
        assert answered.wait(30)
        return info()

    engine.info = hangs
    checks = Readiness(ready_appliance.resources, dict, longest_wait=0.05)
    for _ in range(3):
        found = checks.now()["engine"]
        assert found.level is Level.WRONG
        assert "No answer for" in found.observed
    answered.set()
    for thread in threading.enumerate():
        if thread.name == "readiness":
            thread.join(30)
    assert checks.now()["engine"].level is Level.OK
    assert asked == [1]
