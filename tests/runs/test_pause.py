"""A paused shard claims no run until it is resumed."""

from datetime import timedelta

import pytest

from moonmind_appliance.errors import NotFound
from moonmind_appliance.models import LoginState, PhaseName, RunStatus, Shard, WaitingFor, WaitReason
from moonmind_appliance.runs.pause import pause_shard, resume_shard
from moonmind_appliance.scheduling.waiting import why_wait
from moonmind_appliance.scheduling.wake import first_to_wake, others_to_wake
from moonmind_appliance.shards.evidence import login_file_observed
from moonmind_appliance.shards.health import health_of
from tests.appliance_under_test import ApplianceUnderTest
from tests.fakes import NOW
from tests.shard_states import save_shard

PRESENT = LoginState.PRESENT


def kinds(appliance: ApplianceUnderTest, shard: int) -> list[str]:
    """The pauses of that shard, oldest first."""
    found = [event.kind for event in appliance.store.events.of_shard(shard)]
    return [kind for kind in reversed(found) if kind in {"shard.paused", "shard.resumed"}]


def test_a_paused_shard_claims_nothing(appliance: ApplianceUnderTest) -> None:
    """Another one takes the run, and no wait reason is set."""
    run = appliance.submit()
    state = pause_shard(appliance.resources, 0)
    appliance.work(0)
    assert appliance.stored(run).status is RunStatus.QUEUED
    assert appliance.stored(run).waiting_for is None
    assert state.paused_at == appliance.clock()
    appliance.work(1)
    assert (appliance.stored(run).status, appliance.stored(run).shard) == (RunStatus.SUCCEEDED, 1)


def test_a_claim_in_the_same_moment(appliance: ApplianceUnderTest) -> None:
    """The claim itself checks the pause: a pause after the shard's state was read also counts."""
    appliance.submit()
    pause_shard(appliance.resources, 0)
    assert appliance.store.queue.claim(0, "lease", now=appliance.clock(), lease_seconds=9) is None
    assert appliance.store.queue.claim(1, "lease", now=appliance.clock(), lease_seconds=9) is not None


def test_resume(appliance: ApplianceUnderTest) -> None:
    """The shard is woken, and takes the runs that waited for it."""
    pause_shard(appliance.resources, 0)
    run = appliance.submit(shard=0)
    appliance.wakeups.woken.clear()
    state = resume_shard(appliance.resources, 0)
    assert state.paused_at is None
    assert appliance.wakeups.woken == [0]
    appliance.work(0)
    assert appliance.stored(run).status is RunStatus.SUCCEEDED


def test_safe_twice(appliance: ApplianceUnderTest) -> None:
    """The second time changes nothing: the pause keeps its time, and there is one event of each."""
    first = pause_shard(appliance.resources, 0)
    appliance.clock.advance(seconds=60)
    assert pause_shard(appliance.resources, 0).paused_at == first.paused_at
    resume_shard(appliance.resources, 0)
    assert resume_shard(appliance.resources, 0).paused_at is None
    assert kinds(appliance, 0) == ["shard.paused", "shard.resumed"]


def test_a_pinned_run_shows_what_it_waits_for(appliance: ApplianceUnderTest) -> None:
    """Without a time; also a run from before the pause; and no longer after the shard is resumed."""
    before = appliance.submit(shard=0)
    pause_shard(appliance.resources, 0)
    after = appliance.submit(shard=0)
    anywhere = appliance.submit()
    paused = WaitingFor(WaitReason.SHARD_BUSY, None, "shard 0 is paused")
    assert [appliance.stored(run).waiting_for for run in (before, after, anywhere)] == [paused, paused, None]
    resume_shard(appliance.resources, 0)
    assert [appliance.stored(run).waiting_for for run in (before, after, anywhere)] == [None, None, None]


def test_a_paused_shard_is_not_woken(appliance: ApplianceUnderTest) -> None:
    """Neither for a new run, nor after a sign-in, nor by a periodic job."""
    pause_shard(appliance.resources, 0)
    appliance.wakeups.woken.clear()
    appliance.submit(shard=0)
    save_shard(appliance.store, Shard(shard=0, login=LoginState.ABSENT, paused_at=NOW))
    appliance.clock.advance(seconds=60)
    appliance.minute_passes()
    assert appliance.store.shards.get(0).login is PRESENT
    assert [shard for shard in appliance.wakeups.woken if shard == 0] == []


def test_a_run_in_progress_continues(appliance: ApplianceUnderTest) -> None:
    """A pause in the middle of a run ends nothing; the next run waits."""
    first, second = appliance.submit(), appliance.submit()

    def pause_in_the_middle(_: object) -> dict[str, str]:
        pause_shard(appliance.resources, 0)
        return {}

    appliance.agent.acts[PhaseName.SPECKIT_PLAN].append(pause_in_the_middle)
    appliance.work(0)
    assert appliance.stored(first).status is RunStatus.SUCCEEDED
    assert appliance.stored(second).status is RunStatus.QUEUED


@pytest.mark.parametrize("shard", [-1, 99])
def test_no_such_shard(appliance: ApplianceUnderTest, shard: int) -> None:
    """It is not found, and nothing is created for it."""
    for verb in (pause_shard, resume_shard):
        with pytest.raises(NotFound, match="does not exist"):
            verb(appliance.resources, shard)


def test_the_pause_outlives_the_login(appliance: ApplianceUnderTest) -> None:
    """A shard whose login is removed stays paused."""
    gone = login_file_observed(Shard(shard=0, login=PRESENT, paused_at=NOW), None, None, now=NOW)
    assert (gone.shard.login, gone.shard.paused_at) == (LoginState.ABSENT, NOW)


def test_health() -> None:
    """A paused shard takes no runs, and its next step is to resume it; a missing login comes first."""
    health = health_of(Shard(shard=1, login=PRESENT, paused_at=NOW), now=NOW)
    assert (health.takes_runs, health.next_step) == (False, "Run `moonmind-appliance resume-shard 1`.")
    absent = health_of(Shard(shard=1, login=LoginState.ABSENT, paused_at=NOW), now=NOW)
    assert "login-shard 1" in absent.next_step


@pytest.mark.parametrize(
    ("shards", "reason"),
    [
        ([Shard(shard=0, login=PRESENT, paused_at=NOW), Shard(shard=1, login=PRESENT)], None),
        ([Shard(shard=0, login=PRESENT, paused_at=NOW)], WaitReason.SHARD_BUSY),
        ([Shard(shard=0, paused_at=NOW)], WaitReason.SHARD_BUSY),
        ([Shard(shard=0, login=PRESENT, paused_at=NOW), Shard(shard=1, login=LoginState.DEAD)], WaitReason.LOGIN),
        (
            [
                Shard(shard=0, login=PRESENT, paused_at=NOW),
                Shard(shard=1, login=PRESENT, cooldown_until=NOW + timedelta(hours=1)),
            ],
            WaitReason.QUOTA,
        ),
    ],
)
def test_why_a_run_waits(shards: list[Shard], reason: WaitReason | None) -> None:
    """A paused shard counts for nothing; only where all are paused that is the reason."""
    waits = why_wait(shards, NOW)
    assert (waits.reason if waits else None) is reason


def test_which_shard_is_woken() -> None:
    """Never a paused one."""
    shards = [Shard(shard=0, login=PRESENT, paused_at=NOW), Shard(shard=1, login=LoginState.DEAD)]
    assert first_to_wake(shards, {0, 1}, None, NOW) == 1
    assert first_to_wake(shards, {0, 1}, 0, NOW) is None
    assert others_to_wake(shards, {0, 1}, None, NOW) == []
