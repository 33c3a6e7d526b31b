"""A run waits for GitHub's rate limit and for outages, as long as that is sensible."""

from datetime import datetime, timedelta

import pytest

from moonmind_appliance.execution.github_wait import (
    LONGEST_LIMIT,
    LONGEST_PAUSE,
    OUTAGE_PAUSES,
    PastWait,
    given_up,
    next_pause,
    past_waits,
)
from moonmind_appliance.models import Event, FailureCode, PhaseName, Run, RunStatus, WaitingFor, WaitReason, failure
from moonmind_appliance.rehearsal.github import Fault
from tests.appliance_under_test import ApplianceUnderTest, ends
from tests.fakes import NOW
from tests.scripted_acts import PLAN, git_fails, retry

LIMITED, UNREACHABLE = FailureCode.GITHUB_RATE_LIMITED, FailureCode.GITHUB_UNREACHABLE


def pause_after(
    code: FailureCode, *past: tuple[FailureCode, float], retry_at: datetime | None = None, random: float = 0.0
) -> float | None:
    waits = [PastWait(each.value, seconds) for each, seconds in past]
    return next_pause(failure(code, "x", retry_at=retry_at), waits, now=NOW, random=random)


def test_an_outage_is_waited_for_half_an_hour() -> None:
    """With growing pauses; then the run fails."""
    past: list[tuple[FailureCode, float]] = []
    while (pause := pause_after(UNREACHABLE, *past)) is not None:
        past.append((UNREACHABLE, pause))
    assert [pause for _, pause in past] == list(OUTAGE_PAUSES)
    assert sum(pause for _, pause in past) == 1800


@pytest.mark.parametrize(
    ("seconds", "pause"),
    [(1, 1.0), (-5, 1.0), (0, 1.0), (90, 90.0), (3600, 3600.0), (7 * 86400, 3600.0)],
)
def test_a_rate_limit_is_waited_for_until_the_time_that_github_names(seconds: int, pause: float) -> None:
    """At most an hour: a longer one may be lifted earlier."""
    assert pause_after(LIMITED, retry_at=NOW + timedelta(seconds=seconds)) == pause


def test_pauses_grow_if_github_names_no_time_or_one_that_does_not_help() -> None:
    """As GitHub asks its callers to do."""
    unsaid = [pause_after(LIMITED, *[(LIMITED, 1.0)] * count) for count in (0, 1, 2, 3, 9)]
    assert unsaid == [60.0, 120.0, 240.0, 480.0, 3600.0]
    over = [pause_after(LIMITED, *[(LIMITED, 1.0)] * count, retry_at=NOW) for count in (0, 1, 5, 30)]
    assert over == [1.0, 2.0, 32.0, 3600.0]


def test_a_phase_waits_for_a_day_in_all() -> None:
    """Limits and outages together, so alternating ones end too."""
    hours = [(LIMITED, LONGEST_PAUSE)] * 23
    retry_at = NOW + timedelta(hours=1)
    assert pause_after(LIMITED, *hours, retry_at=retry_at) == LONGEST_PAUSE
    assert pause_after(LIMITED, *hours, (UNREACHABLE, 1.0), retry_at=retry_at) is None
    assert pause_after(UNREACHABLE, (LIMITED, LONGEST_LIMIT)) is None


def test_an_outage_after_a_rate_limit_has_its_own_half_hour() -> None:
    """Only attempts in a row with the same cause count."""
    assert pause_after(UNREACHABLE, (UNREACHABLE, 30.0), (LIMITED, 7200.0)) == OUTAGE_PAUSES[0]


@pytest.mark.parametrize(("retry_in", "most"), [(1, 2.0), (100, 110.0), (3600, 3660.0)])
def test_runs_that_met_the_same_limit_return_at_different_times(retry_in: int, most: float) -> None:
    """Later by up to a tenth, at least a second and at most a minute; never earlier."""
    retry_at = NOW + timedelta(seconds=retry_in)
    assert pause_after(LIMITED, retry_at=retry_at, random=1.0) == most
    assert pause_after(LIMITED, retry_at=retry_at, random=0.0) == retry_in


def event(kind: str, **data: object) -> Event:
    return Event(event_id=1, kind=kind, at=NOW, data=data)


def test_waits_are_counted_since_the_phase_last_succeeded_or_the_run_was_retried() -> None:
    """Other phases and other reasons to repeat a phase do not count."""
    waits = event("phase.retrying", phase="open_pr", failure="github_unreachable", pause=30.0)
    other = event("phase.retrying", phase="commit_push", failure="github_unreachable", pause=60.0)
    interrupted = event("phase.retrying", phase="open_pr", reason="shutdown")
    counted = [PastWait("github_unreachable", 30.0)]
    assert past_waits([waits, other, interrupted, waits], PhaseName.OPEN_PR) == counted * 2
    assert past_waits([waits, event("run.retried"), waits], PhaseName.OPEN_PR) == counted
    assert past_waits([waits, event("phase.succeeded", phase="open_pr")], PhaseName.OPEN_PR) == []
    assert past_waits([waits, event("phase.succeeded", phase="git_clone")], PhaseName.OPEN_PR) == counted


def test_a_failure_after_the_waits_says_how_long_they_were() -> None:
    """Times and duration, after GitHub's message."""
    gone = given_up(failure(UNREACHABLE, "No response."), [PastWait("github_unreachable", 30.0)] * 2)
    assert gone.message == "No response. The run waited for GitHub 2 times, 1 m 00 s in all."


def waiting(appliance: ApplianceUnderTest, run: Run) -> WaitingFor:
    kept = appliance.stored(run)
    assert (kept.status, kept.failure) == (RunStatus.QUEUED, None)
    assert kept.waiting_for is not None
    assert kept.waiting_for.reason is WaitReason.GITHUB
    return kept.waiting_for


def pass_time(appliance: ApplianceUnderTest, waits: WaitingFor) -> None:
    """Until the run may continue, and execute it."""
    assert waits.until is not None
    appliance.clock.now = waits.until
    appliance.work()


def test_a_limit_before_the_run_is_waited_for(appliance: ApplianceUnderTest) -> None:
    """Queued with GitHub's message and a time; each shard is woken at that time; no container was started."""
    appliance.github.inject(Fault.TOO_MANY_REQUESTS, times=1, retry_after=20)
    run = appliance.submit()
    appliance.work()
    waits = waiting(appliance, run)
    assert waits.until is not None
    assert 20 <= (waits.until - appliance.clock()).total_seconds() <= 23
    assert "Too many requests" in waits.detail
    assert {shard for shard, at in appliance.wakeups.timed if at == waits.until} == {0, 1}
    appliance.work()
    assert appliance.stored(run).status is RunStatus.QUEUED
    pass_time(appliance, waits)
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


def test_other_runs_do_not_ask_github_while_the_limit_applies(appliance: ApplianceUnderTest) -> None:
    """They wait too, without a request; afterwards all of them finish."""
    appliance.github.inject(Fault.SECONDARY_RATE_LIMITED, times=1, retry_after=60)
    runs = [appliance.submit() for _ in range(3)]
    before = len(appliance.github.requests)
    appliance.work()
    for run in runs:
        waiting(appliance, run)
    assert len(appliance.github.requests) == before + 1
    appliance.clock.advance(seconds=70)
    appliance.work()
    assert [appliance.stored(run).status for run in runs] == [RunStatus.SUCCEEDED] * 3


def test_a_used_up_hour_is_waited_for(appliance: ApplianceUnderTest) -> None:
    """The primary limit: 403 with no remaining request and the time of the reset."""
    appliance.github.inject(Fault.RATE_LIMITED, times=1)
    run = appliance.submit()
    appliance.work()
    pass_time(appliance, waiting(appliance, run))
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


LIMIT = "remote: You have exceeded a secondary rate limit.\nfatal: unable to access 'http://x/': error: 429"
DOWN = "error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502\nfatal: expected flush"


@pytest.mark.parametrize("stderr", [LIMIT, DOWN])
@pytest.mark.parametrize("verb", ["clone", "push"])
def test_git_waits_too_and_repeats_nothing_that_succeeded(
    appliance: ApplianceUnderTest, verb: str, stderr: str
) -> None:
    """Each turn of the agent runs once."""
    appliance.git_acts[verb] = [git_fails(stderr), git_fails(stderr)]
    run = appliance.submit()
    appliance.work()
    first = waiting(appliance, run)
    pass_time(appliance, first)
    second = waiting(appliance, run)
    assert first.until is not None
    assert second.until is not None
    assert second.until - appliance.clock() > first.until - NOW - timedelta(seconds=10)
    pass_time(appliance, second)
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert len(appliance.agent.turns) == 3
    assert appliance.containers() == []


def test_an_outage_that_lasts_fails_the_run_and_a_retry_waits_anew(appliance: ApplianceUnderTest) -> None:
    """After half an hour, with the waits in the message. The count survives a restart."""
    appliance.github.inject(Fault.SERVER_ERRORS)
    try:
        run = appliance.submit()
        appliance.work()
        for _ in OUTAGE_PAUSES:
            appliance.after()
            pass_time(appliance, waiting(appliance, run))
        failed = appliance.stored(run)
        assert ends(failed) == (RunStatus.FAILED, UNREACHABLE.value)
        assert failed.failure is not None
        assert "The run waited for GitHub 6 times, 3" in failed.failure.message
        retry(appliance, run)
        assert waiting(appliance, run).until is not None
    finally:
        appliance.github.clear(Fault.SERVER_ERRORS)


def test_each_wait_is_an_event_with_its_cause_and_its_pause(appliance: ApplianceUnderTest) -> None:
    """The phase will be repeated, and the run waits."""
    appliance.github.inject(Fault.UNREACHABLE, times=1)
    run = appliance.submit()
    appliance.work()
    again, waits = appliance.store.events.after(0, run_id=run.run_id)[-2:]
    assert (again.kind, again.data["phase"], again.data["reason"]) == ("phase.retrying", "prepare_job", "github")
    assert again.data["failure"] == UNREACHABLE.value
    assert 30 <= again.data["pause"] <= 34
    assert (waits.kind, waits.data["waiting_for"]["reason"]) == ("run.waiting", "github")
    assert "No response from" in waits.data["waiting_for"]["detail"]


def test_a_run_that_waits_for_github_can_be_cancelled(appliance: ApplianceUnderTest) -> None:
    """At once, like every queued run."""
    appliance.github.inject(Fault.UNREACHABLE, times=1)
    run = appliance.submit()
    appliance.work()
    waiting(appliance, run)
    appliance.store.runs.request_cancel(run.run_id, now=appliance.clock())
    assert appliance.stored(run).status is RunStatus.CANCELLED


def test_a_refusal_is_not_waited_for(appliance: ApplianceUnderTest) -> None:
    """A person must act, so the run fails at once."""
    appliance.git_acts["push"] = [git_fails("fatal: Authentication failed for 'http://x/'")]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.GITHUB_TOKEN_REJECTED.value)
    assert PLAN in appliance.agent.turns
