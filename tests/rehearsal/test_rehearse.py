"""A rehearsal does a complete run without accounts, with or without faults, and leaves nothing."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from moonmind_appliance.models import FAILURES, FailureCode
from moonmind_appliance.rehearsal import environment
from moonmind_appliance.rehearsal.leftovers import make_environment_folder
from moonmind_appliance.rehearsal.rehearse import RehearsalFailed
from moonmind_appliance.rehearsal.scenarios import SCENARIOS
from tests.rehearsal.rehearsed import leftovers, run_scenario

pytestmark = [pytest.mark.docker, pytest.mark.image]


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_each_scenario_ends_as_expected(scenario):
    """Status, failure code, who acts, next step and number of pull requests match the scenario."""
    report, _steps = run_scenario(scenario)
    assert report.problem is None
    failure = report.run["failure"]
    if SCENARIOS[scenario].expected.failure is not None:
        kind = FAILURES[FailureCode(failure["code"])]
        assert (failure["who_acts"], failure["next_step"]) == (kind.who_acts.value, kind.next_step)
    assert len(report.pull_requests) == SCENARIOS[scenario].expected.pull_requests * SCENARIOS[scenario].runs
    assert bool(report.commit_files) == bool(report.pull_requests)


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_each_scenario_ends_the_same_with_a_login_broker(scenario):
    """And Codex needs nothing that the broker refuses."""
    report, _steps = run_scenario(scenario, login_broker=True)
    assert (report.problem, report.refused_hosts) == (None, [])
    assert len(report.pull_requests) == SCENARIOS[scenario].expected.pull_requests * SCENARIOS[scenario].runs


def test_open_questions_are_in_the_runs_detail():
    """Reviewers see what the model could not decide."""
    report, _steps = run_scenario("clarifications")
    assert len(report.run["clarifications"]) == 2


def test_two_rehearsals_at_once_are_independent(monkeypatch):
    """Each has its own network, volumes, ports and data, and removes them."""
    made = []

    def make(environment_id):
        made.append(environment_id)
        return make_environment_folder(environment_id)

    monkeypatch.setattr(environment, "make_environment_folder", make)
    with ThreadPoolExecutor(2) as pool:
        reports = [future.result()[0] for future in [pool.submit(run_scenario, "normal") for _ in range(2)]]
    assert [report.problem for report in reports] == [None, None]
    assert len({report.run["run_id"] for report in reports}) == 2
    assert len(set(made)) == len(reports)
    assert leftovers(made) == set()


def test_phases_are_reported_as_they_happen():
    """Each phase's start or end is reported, in order."""
    _report, steps = run_scenario("normal")
    reported = list(dict.fromkeys(step.phase for step in steps if step.phase))
    assert reported[-3:] == ["commit_push", "open_pr", "cleanup"]
    assert [step.seconds for step in steps] == sorted(step.seconds for step in steps)


def test_an_unknown_scenario_is_refused_before_anything_starts():
    """The error lists the known scenarios."""
    with pytest.raises(RehearsalFailed, match="push-refused"):
        run_scenario("rainy")
