"""GitHub limits and fails, and the base branch is replaced: a real process waits, continues, and repeats nothing."""

from datetime import datetime

import pytest

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from tests.github.stand_in import git

from .conftest import Caller
from .served import Served

pytestmark = [pytest.mark.docker, pytest.mark.image]

PHASES = ["speckit-specify", "speckit-plan", "speckit-tasks"]


def replace_history(bare):
    """Replace main by a first commit with the same files, and delete the old commits."""
    root = git("commit-tree", "-m", "new root", "main^{tree}", folder=bare)
    git("update-ref", "refs/heads/main", root, folder=bare)
    git("gc", "--quiet", "--prune=now", folder=bare)
    return root


@pytest.mark.timeout(600)
def test_a_run_outlasts_a_limit_a_kill_failing_calls_and_a_new_history(tmp_path):
    """One pull request with one commit, on the new history; each turn of the agent runs once."""
    with RehearsalEnvironment(settings.load({}).settings, shards=1) as environment:
        served = Served(environment, tmp_path / "serve.log").start()
        try:
            environment.sign_in_by(served.environment)
            github, slug = environment.github, "journey/github"
            github.add_repository(slug)
            github.inject("too-many-requests", times=1, retry_after=6)
            with served.client() as client:
                caller = Caller(client)
                run_id = caller.submit(slug, "# Dark mode\n\n- Goal: people can switch to dark colours")
                waits = caller.wait(run_id, until=lambda run: run["waiting_for"] is not None)
                assert (waits["status"], waits["waiting_for"]["reason"]) == ("queued", "github")
                served.kill()
                served.start()
                caller.wait(run_id, until=lambda run: status(run, "speckit_specify") == "running")
                root = replace_history(github.git_folder(slug))
                for fault in ("git-refs-error", "git-fetch-error", "git-push-error"):
                    github.inject(fault, times=1)
                run = caller.wait(run_id)
            assert run["status"] == "succeeded", run["failure"]
            until = datetime.fromisoformat(waits["waiting_for"]["until"])
            assert datetime.fromisoformat(phase(run, "prepare_job")["started_at"]) >= until
            assert [turn.phase for turn in environment.openai.turns if turn.finished] == PHASES
            (pull,) = github.pull_requests(slug)
            bare = github.git_folder(slug)
            assert git("rev-parse", f"{pull.head}^", folder=bare) == root
            assert phase(run, "commit_push")["metadata"]["base_commit"] == root
            log = (tmp_path / "serve.log").read_text()
            # After the first failure the push asks for the heads again, and meets the second one in the same call.
            assert log.count("commit_push repeats git's call") == 2
        finally:
            served.close()


def phase(run, name):
    return next(each for each in run["phases"] if each["phase"] == name)


def status(run, name):
    return phase(run, name)["status"]
