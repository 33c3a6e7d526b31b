"""What an installation allows, beside what runs need."""

import pytest

from moonmind_appliance.github.app_answers import Installation
from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.app import NEEDED, app_of, register
from tests.github.stand_in import SLUG


def test_an_installations_surplus_is_known(stand_in: StandInGitHub) -> None:
    """`doctor` shows the permissions that runs do not need."""
    register(stand_in, permissions={**NEEDED, "issues": "write", "contents": "write", "workflows": "write"})
    found = app_of(stand_in).installation(SLUG)
    assert (found.beyond(), found.missing()) == ({"issues": "write", "workflows": "write"}, {})
    assert found.repository_selection == "all"


@pytest.mark.parametrize(
    ("given", "missing", "beyond"),
    [
        ("admin", {}, {"contents": "admin"}),
        ("write", {}, {}),
        ("read", {"contents": "write"}, {}),
        ("none", {"contents": "write"}, {}),
    ],
)
def test_a_level_includes_those_below_it(given: str, missing: dict[str, str], beyond: dict[str, str]) -> None:
    """A level that is not known includes no other."""
    permissions = {"contents": given, "pull_requests": "write", "metadata": "read"}
    found = Installation(id=1, permissions=permissions, repository_selection="all")
    assert (found.missing(), found.beyond()) == (missing, beyond)
