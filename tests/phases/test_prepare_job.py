"""A job that cannot succeed fails before any model time is used."""

import pytest

from moonmind_appliance.models import (
    LoginState,
    RunStatus,
)
from moonmind_appliance.models.failure import FailureCode
from tests.appliance_under_test import ApplianceUnderTest, ends


def test_a_missing_image_is_reported_before_any_turn(appliance: ApplianceUnderTest) -> None:
    """At the first phase."""
    appliance.work()
    appliance.engine.images.clear()
    for shard in appliance.resources.shards:
        assert appliance.store.shards.get(shard.index).login in (LoginState.PRESENT, LoginState.UNKNOWN)
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.IMAGE_MISSING.value)
    assert appliance.agent.turns == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"repository": "acme/nowhere"}, FailureCode.REPOSITORY_NOT_FOUND),
        ({"base_branch": "nowhere"}, FailureCode.BASE_BRANCH_NOT_FOUND),
    ],
)
def test_what_cannot_end_well_is_refused_first(
    appliance: ApplianceUnderTest, fields: dict[str, str], code: FailureCode
) -> None:
    """No container, no turn."""
    assert ends(appliance.run(**fields)) == (RunStatus.FAILED, code.value)
    assert appliance.agent.turns == []
    assert appliance.git_verbs == []
