"""After kill -9 between taking a GitHub App's token and using it, a restart finishes the run."""

import time

import pytest

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.environment import APP_ID, RehearsalEnvironment
from moonmind_appliance.rehearsal.github import Fault

from .conftest import Caller
from .served import Served

pytestmark = [pytest.mark.docker, pytest.mark.image]

SLUG = "journey/app-kill"
TEXT = "# Dark mode\n\n- Goal: people can switch to dark colours"


@pytest.fixture(scope="module")
def environment():
    with RehearsalEnvironment(settings.load({}).settings, github_app=True) as made:
        made.github.install_app(APP_ID, "journey")
        made.github.add_repository(SLUG)
        yield made


def test_a_kill_between_taking_and_using_a_token_loses_no_run(environment, tmp_path):
    """The next process requests another token and revokes it. The first one cannot be revoked; it expires."""
    served = Served(environment, tmp_path / "serve.log").start()
    try:
        environment.sign_in_by(served.environment)
        with served.client() as client:
            caller = Caller(client)
            environment.github.inject(Fault.SLOW)
            run_id = caller.submit(SLUG, TEXT)
            limit = time.monotonic() + 60
            while not environment.github.installation_tokens:
                assert time.monotonic() < limit
                time.sleep(0.01)
            served.kill()
            environment.github.clear(Fault.SLOW)
            used = [request for request in environment.github.requests if request.path.endswith(f"/repos/{SLUG}")]
            served.start()
            run = caller.wait(run_id)
    finally:
        environment.github.clear(Fault.SLOW)
        served.close()
    assert run["status"] == "succeeded", run["failure"]
    assert used == []
    assert [token.revoked for token in environment.github.installation_tokens] == [False, True]
    assert len(environment.github.pull_requests(SLUG)) == 1
    assert environment.github.installation_token_values()[-2] not in served.log.read_text()
