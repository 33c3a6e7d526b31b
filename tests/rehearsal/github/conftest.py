"""The stand-in GitHub, a client for it, and GitHub's OpenAPI description of both."""

from collections.abc import Iterator

import httpx
import pytest

from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.github.exchanges import Recorder
from tests.github.openapi import Description
from tests.github.stand_in import TOKEN, add_branch, descriptions, github_client, stand_in

__all__ = ["descriptions", "github_client", "stand_in"]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def api(stand_in: StandInGitHub, descriptions: list[Description], recorder: Recorder) -> Iterator[httpx.Client]:
    """An unchecked client. At the end every response must match GitHub's description."""
    with httpx.Client(
        base_url=stand_in.api_url, headers={"authorization": f"Bearer {TOKEN}"}, transport=recorder
    ) as client:
        yield client
    # The newest description only: an older server lacks some of the properties.
    errors = [c for e in recorder.exchanges for c in descriptions[0].answer_errors(e)]
    assert not errors, "\n".join(errors)


@pytest.fixture
def branch(stand_in: StandInGitHub) -> str:
    return add_branch(stand_in, "work/1")
