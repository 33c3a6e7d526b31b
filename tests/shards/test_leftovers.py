"""What agents left beside a login is measured and removed under the shard's lock."""

from typing import Any

import msgspec
import pytest

from moonmind_appliance.errors import EngineError, NameTaken
from moonmind_appliance.models import ContainerSpec, ExecSpec
from moonmind_appliance.shards.leftovers import Leftovers, login_leftovers
from moonmind_appliance.shards.spec import login_spec
from tests.appliance_under_test import ApplianceUnderTest
from tests.containers.fake_exec import FakeExec
from tests.in_container.sent import job_of, program_of


def is_leftovers(_: ContainerSpec, spec: ExecSpec) -> bool:
    return program_of(spec) == "login_leftovers"


@pytest.mark.parametrize("remove", [True, False])
def test_the_program_measures_and_removes_on_request(appliance: ApplianceUnderTest, *, remove: bool) -> None:
    """In a container that has the shard's lock, and that is removed afterwards."""
    jobs: list[Any] = []

    def answer(process: FakeExec) -> int:
        assert process.container.spec.name == "codex_auth_0-in-use"
        jobs.append(job_of(process.spec)["remove"])
        process.stdout.write(b'{"bytes": 8192, "files": 2}\n')
        return 0

    appliance.engine.on_exec(is_leftovers, answer)
    assert login_leftovers(appliance.resources, 0, remove=remove) == Leftovers(bytes=8192, files=2)
    assert jobs == [remove]
    assert appliance.containers() == []


def test_a_run_keeps_its_volume_to_itself(appliance: ApplianceUnderTest) -> None:
    """Nothing is started beside it."""
    shard, resources = appliance.resources.shards[0], appliance.resources
    given = login_spec(resources, shard, role="agent", name=shard.lock, login_volume=shard.volume)
    labels = {"moonmind.role": "agent", "moonmind.run": "r1"}
    appliance.engine.start(msgspec.structs.replace(given, labels=labels), run=False)
    with pytest.raises(NameTaken):
        login_leftovers(resources, 0, remove=True)
    assert appliance.engine.execs == []


def test_a_program_that_fails(appliance: ApplianceUnderTest) -> None:
    """Is an error with the volume's name."""
    appliance.engine.on_exec(is_leftovers, 1)
    with pytest.raises(EngineError, match="codex_auth_0 could not be measured"):
        login_leftovers(appliance.resources, 0, remove=False)
    assert appliance.containers() == []
