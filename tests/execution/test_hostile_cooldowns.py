"""What a turn reports about its account is confirmed by OpenAI before it takes a shard out of use for long."""

import copy
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.execution.claim import prepare_claim
from moonmind_appliance.models import LoginFault, LoginState, Run, RunStatus, WaitReason
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.scheduling.wake import maintain
from tests.api.served import serve
from tests.appliance_under_test import open_appliance
from tests.containers.fake_exec import FakeExec
from tests.execution.hostile import CHECKED, GOOD, LIMITED, Hostile
from tests.fakes import BOB
from tests.in_container.sent import job_of, program_of

YEAR_3000 = 32_503_680_000
WEEK = 6 * 24 * 3600


@pytest.fixture
def hostile(tmp_path: Path, github: StandInGitHub) -> Iterator[Hostile]:
    with open_appliance(tmp_path / "data", github) as appliance, serve(tmp_path / "data", codex_shards=2) as served:
        made = Hostile(appliance, served)
        made.sign_in()
        yield made


def limited(ends: float) -> dict[str, Any]:
    said = copy.deepcopy(LIMITED)
    said["report"]["rate_limits"]["primary"]["resets_at"] = ends
    return said


def dead() -> dict[str, Any]:
    said = copy.deepcopy(LIMITED)
    said["report"]["codex_error_info"] = "unauthorized"
    return said


def openai_says(used: float, ends: float | None) -> dict[str, Any]:
    windows = {"primary": {"usedPercent": used, "windowDurationMins": 10_080, "resetsAt": ends}}
    return {**CHECKED, "limits": {"id": 3, "result": {"rateLimits": windows}}}


def everywhere(hostile: Hostile, said: dict[str, Any]) -> Run:
    """One run that reports the same on every shard."""
    hostile.said = [said]
    run = hostile.appliance.submit()
    for shard in (0, 1):
        hostile.appliance.work(shard)
    hostile.said = [GOOD]
    return run


def minute_passes(hostile: Hostile, minutes: int = 1) -> None:
    hostile.appliance.clock.advance(minutes=minutes)
    maintain(hostile.resources)


def cooldowns(hostile: Hostile) -> list[datetime | None]:
    return [state.cooldown_until for state in hostile.appliance.store.shards.all(2)]


@pytest.mark.parametrize("ends", [YEAR_3000, 4_000_000_000, 1_773_000_000, 1_772_373_600 + 4 * 3600, 10**30, -5])
def test_a_forged_limit_ends_soon(hostile: Hostile, ends: float) -> None:
    """Reported on every shard, repeatedly, with any end: every shard works again soon after."""
    hostile.checked = openai_says(20, None)
    run = everywhere(hostile, limited(ends))
    waiting = hostile.appliance.stored(run).waiting_for
    assert waiting is not None
    assert waiting.reason is WaitReason.QUOTA
    assert waiting.until is not None
    assert waiting.until <= hostile.appliance.clock() + timedelta(hours=6, minutes=1)
    asked = sum(1 for _, spec in hostile.appliance.engine.execs if program_of(spec) == "codex_check")
    assert asked <= 2
    minute_passes(hostile, 16)
    assert cooldowns(hostile) == [None, None]
    hostile.appliance.work(0)
    assert hostile.appliance.stored(run).status is RunStatus.SUCCEEDED


def test_a_real_limit_of_a_week_is_waited_for(hostile: Hostile) -> None:
    """OpenAI confirms it: the shard has a cooldown until its end."""
    ends = int(hostile.appliance.clock().timestamp()) + WEEK
    hostile.checked = openai_says(100, ends)
    everywhere(hostile, limited(ends))
    minute_passes(hostile)
    assert [int(until.timestamp()) if until else None for until in cooldowns(hostile)] == [ends, ends]


def test_where_openai_does_not_answer_a_far_end_is_tried_again_soon(hostile: Hostile) -> None:
    """After a quarter of an hour; a refused request uses no quota."""
    hostile.checked = None
    run = everywhere(hostile, limited(YEAR_3000))
    minute_passes(hostile)
    assert hostile.appliance.stored(run).status is RunStatus.QUEUED
    hostile.appliance.clock.advance(minutes=16)
    hostile.appliance.work(0)
    assert hostile.appliance.stored(run).status is RunStatus.SUCCEEDED


def test_a_cooldown_that_an_older_version_stored_is_over(hostile: Hostile) -> None:
    """It is in the database, with an end in the year 3000."""
    hostile.checked = None
    with hostile.appliance.store.database.write() as connection:
        connection.execute(
            "UPDATE shards SET state = json_set(state, '$.rests_until', '3000-01-01T00:00:00Z') WHERE shard = 0"
        )
    assert hostile.appliance.store.shards.get(0).cooldown_until is not None
    assert prepare_claim(hostile.resources, 0)
    assert hostile.appliance.store.shards.get(0).cooldown_until is None


def test_a_forged_dead_login_is_corrected_by_the_next_check(hostile: Hostile) -> None:
    """Reported on every shard: OpenAI renews the logins, so they are not dead."""
    hostile.checked = {**openai_says(20, None), "refreshed": True}
    run = everywhere(hostile, dead())
    assert [state.login for state in hostile.appliance.store.shards.all(2)] == [LoginState.DEAD] * 2
    minute_passes(hostile)
    assert [state.login for state in hostile.appliance.store.shards.all(2)] == [LoginState.PRESENT] * 2
    hostile.appliance.work(0)
    assert hostile.appliance.stored(run).status is RunStatus.SUCCEEDED


def test_a_real_death_stays_one(hostile: Hostile) -> None:
    """OpenAI refuses to renew it."""
    hostile.checked = {
        "account": {"id": 2, "result": {"account": None}},
        "refreshed": False,
        "refresh_error": "revoked",
    }
    run = everywhere(hostile, dead())
    minute_passes(hostile)
    assert [state.login_fault for state in hostile.appliance.store.shards.all(2)] == [LoginFault.REFRESH_REFUSED] * 2
    minute_passes(hostile)
    assert hostile.appliance.stored(run).status is RunStatus.QUEUED


def test_a_run_that_reports_a_limit_in_each_turn_does_not_keep_a_shard(hostile: Hostile) -> None:
    """OpenAI denies it each time: another user's run, submitted later, is the next one on the shard."""
    hostile.checked = openai_says(20, None)
    thief = hostile.appliance.submit(shard=0)
    honest = hostile.appliance.submit(BOB, shard=0)
    hostile.appliance.clock.advance(seconds=1)

    def forged(process: FakeExec) -> int:
        hostile.said = [limited(YEAR_3000)]
        code = hostile.turn(process)
        hostile.said = [GOOD]
        return code

    hostile.appliance.engine.on_exec(
        lambda _, spec: program_of(spec) == "codex_turn" and thief.run_id in job_of(spec)["repository"], forged
    )
    for _ in range(3):
        hostile.appliance.work(0)
        minute_passes(hostile, 16)
    assert hostile.appliance.stored(honest).status is RunStatus.SUCCEEDED
    assert hostile.appliance.stored(thief).status is RunStatus.QUEUED


def test_a_run_that_waited_for_its_quota_comes_before_runs_that_were_submitted_later(hostile: Hostile) -> None:
    """It lost its place to the runs that were there when its limit was reported, and to no others."""
    ends = int(hostile.appliance.clock().timestamp()) + 4 * 3600
    hostile.checked = openai_says(100, ends)
    hostile.said = [limited(ends)]
    first = hostile.appliance.submit(shard=0)
    second = hostile.appliance.submit(shard=0)
    hostile.appliance.clock.advance(seconds=1)
    hostile.appliance.work(0)
    hostile.said = [GOOD]
    third = hostile.appliance.submit(shard=0)
    hostile.checked = openai_says(1, None)
    hostile.appliance.clock.advance(hours=5)
    hostile.appliance.work(0)
    claimed = [
        event.run_id for event in hostile.appliance.store.events.after(0, limit=1000) if event.kind == "run.claimed"
    ]
    statuses = {hostile.appliance.stored(run).status for run in (first, second, third)}
    assert statuses == {RunStatus.SUCCEEDED}
    assert claimed == [first.run_id, second.run_id, first.run_id, third.run_id]
