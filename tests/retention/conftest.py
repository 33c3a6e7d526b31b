"""An appliance for each test, whose login volumes report what the test puts into `left`."""

import json

import pytest

from moonmind_appliance.models import ContainerSpec, ExecSpec
from tests.appliance_under_test import ApplianceUnderTest, appliance, github
from tests.containers.fake_exec import FakeExec
from tests.in_container.sent import job_of, program_of

__all__ = ["appliance", "github"]


@pytest.fixture
def left(appliance: ApplianceUnderTest) -> dict[str, int]:
    """Bytes beside the login, by login volume; removed by the program as in a container."""
    found: dict[str, int] = {}

    def is_leftovers(_: ContainerSpec, spec: ExecSpec) -> bool:
        return program_of(spec) == "login_leftovers"

    def answer(process: FakeExec) -> int:
        volume = process.container.spec.mounts[0].volume
        size = found.get(volume, 0)
        process.stdout.write(json.dumps({"bytes": size, "files": 2 if size else 0}).encode())
        if job_of(process.spec)["remove"]:
            found.pop(volume, None)
        return 0

    appliance.engine.on_exec(is_leftovers, answer)
    return found
