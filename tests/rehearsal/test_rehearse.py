"""A rehearsal plays the whole job without accounts, on good days and bad ones, and leaves nothing behind."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from moonmind_appliance import settings
from moonmind_appliance.models import FAILURES, FailureCode
from moonmind_appliance.rehearsal.rehearse import RehearsalFailed, RehearsalOptions, rehearse
from moonmind_appliance.rehearsal.scenarios import DAYS
from tests.journeys.conftest import docker

pytestmark = [pytest.mark.docker, pytest.mark.image]

BASE = settings.load({}).settings


def play(scenario, **options):
    steps = []
    report = rehearse(BASE, RehearsalOptions(scenario=scenario, think_seconds=0, **options), steps.append)
    return report, steps


def left_behind():
    """What rehearsals leave on the engine, by name."""
    places = (("ps", "--all", "--format", "{{.Names}}"), ("volume", "ls", "--format", "{{.Name}}"))
    names = [name for words in places for name in docker(*words).split()]
    names += docker("network", "ls", "--format", "{{.Name}}").split()
    return {name for name in names if "rehearsal" in name}


@pytest.mark.parametrize("scenario", list(DAYS))
def test_each_day_ends_as_it_must(scenario):
    """Status, failure code, who acts, next step and the number of pull requests are those of the scenario."""
    report, _steps = play(scenario)
    assert report.problem is None
    failure = report.run["failure"]
    if DAYS[scenario].expected.failure is not None:
        kind = FAILURES[FailureCode(failure["code"])]
        assert (failure["who_acts"], failure["next_step"]) == (kind.who_acts.value, kind.next_step)
    assert len(report.pull_requests) == DAYS[scenario].expected.pull_requests * DAYS[scenario].runs
    assert bool(report.commit_files) == bool(report.pull_requests)


def test_open_questions_reach_the_run_and_the_reviewers():
    """What the model could not decide stands in the run's detail."""
    report, _steps = play("clarifications")
    assert len(report.run["clarifications"]) == 2


@pytest.mark.alone
def test_two_rehearsals_at_once_do_not_meet_and_leave_nothing():
    """Own network, volumes, ports and data: both end as they must, and all of it is gone afterwards."""
    before = left_behind()
    with ThreadPoolExecutor(2) as pool:
        reports = [future.result()[0] for future in [pool.submit(play, "normal") for _ in range(2)]]
    assert [report.problem for report in reports] == [None, None]
    assert len({report.run["run_id"] for report in reports}) == 2
    assert left_behind() - before == set()


@pytest.mark.alone
def test_what_a_killed_rehearsal_left_is_removed_by_the_next():
    """Containers, volumes, network and folder of a rehearsal that was killed are gone once another one has begun."""
    command = [sys.executable, "-c", "from moonmind_appliance.cli import main; main()", "rehearse", "--think", "5"]
    before = left_behind()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as killed:
        told = ""
        while "speckit_specify running" not in told:
            line = killed.stdout.readline()
            assert line, told
            told += line
        killed.kill()
    assert left_behind() - before
    play("normal")
    assert left_behind() - before == set()


def test_the_phases_are_told_as_they_happen():
    """Somebody who watches sees each phase begin or end, in order."""
    _report, steps = play("normal")
    seen = list(dict.fromkeys(step.phase for step in steps if step.phase))
    assert seen[-3:] == ["commit_push", "open_pr", "cleanup"]
    assert [step.seconds for step in steps] == sorted(step.seconds for step in steps)


def test_an_unknown_scenario_is_refused_before_anything_starts():
    """The error names those that there are."""
    with pytest.raises(RehearsalFailed, match="push-refused"):
        play("rainy")
