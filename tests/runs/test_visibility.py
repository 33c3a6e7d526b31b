"""Who may see which run."""

import pytest

from moonmind_appliance.errors import NotFound
from moonmind_appliance.models import Actor
from moonmind_appliance.runs.visibility import visible_run
from tests.appliance_under_test import ApplianceUnderTest
from tests.fakes import ANN, BOB, OPERATOR


@pytest.mark.parametrize("actor", [ANN, Actor(ANN.subject, "renamed"), OPERATOR])
def test_the_submitter_and_operators_see_a_run(appliance: ApplianceUnderTest, actor: Actor) -> None:
    """The subject decides, not the user name. The specification's text is not read."""
    run = appliance.submit(ANN)
    seen = visible_run(appliance.resources.store, actor, run.run_id)
    assert (seen.run_id, seen.specify_text) == (run.run_id, "")


def test_another_users_run_looks_like_a_missing_one(appliance: ApplianceUnderTest) -> None:
    """A caller cannot find out which ids exist."""
    run_id = appliance.submit(ANN).run_id
    refusals = []
    for sought in (run_id, "absent"):
        with pytest.raises(NotFound) as refused:
            visible_run(appliance.resources.store, BOB, sought)
        refusals.append((refused.value.code, refused.value.message.replace(sought, "X"), refused.value.hint))
    assert refusals[0] == refusals[1]
