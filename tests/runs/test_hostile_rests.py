"""What a turn reports about its account is confirmed by OpenAI before it takes a shard out of use for long."""

import copy
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.containers.fake import FakeExec
from moonmind_appliance.models import LoginFault, LoginState, Run, RunStatus, WaitReason
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.runs.readiness import look_after_logins, ready_to_claim
from tests.api.served import serve
from tests.runs.hostile import CHECKED, GOOD, LIMITED, Hostile
from tests.runs.world import BOB
from tests.runs.world import world as make_world

YEAR_3000 = 32_503_680_000
WEEK = 6 * 24 * 3600


@pytest.fixture
def hostile(tmp_path: Path, github: StandInGitHub) -> Iterator[Hostile]:
    with make_world(tmp_path / "data", github) as world, serve(tmp_path / "data", codex_shards=2) as served:
        made = Hostile(world, served)
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
    run = hostile.world.submit()
    for shard in (0, 1):
        hostile.world.work(shard)
    hostile.said = [GOOD]
    return run


def minute_passes(hostile: Hostile, minutes: int = 1) -> None:
    hostile.world.clock.advance(minutes=minutes)
    look_after_logins(hostile.tools)


def rests(hostile: Hostile) -> list[datetime | None]:
    return [state.rests_until for state in hostile.world.store.shards.all(2)]


@pytest.mark.parametrize("ends", [YEAR_3000, 4_000_000_000, 1_773_000_000, 1_772_373_600 + 4 * 3600, 10**30, -5])
def test_a_forged_limit_ends_soon(hostile: Hostile, ends: float) -> None:
    """Reported on every shard, over and over, whatever end it names: every shard works again soon after."""
    hostile.checked = openai_says(20, None)
    run = everywhere(hostile, limited(ends))
    waiting = hostile.world.stored(run).waiting_for
    assert waiting is not None
    assert waiting.reason is WaitReason.QUOTA
    assert waiting.until is not None
    assert waiting.until <= hostile.world.clock() + timedelta(hours=6, minutes=1)
    asked = sum(1 for _, spec in hostile.world.engine.execs if "app-server" in spec.command)
    assert asked <= 2
    minute_passes(hostile, 16)
    assert rests(hostile) == [None, None]
    hostile.world.work(0)
    assert hostile.world.stored(run).status is RunStatus.SUCCEEDED


def test_a_real_limit_of_a_week_is_waited_for(hostile: Hostile) -> None:
    """OpenAI says so: the shard rests until its end."""
    ends = int(hostile.world.clock().timestamp()) + WEEK
    hostile.checked = openai_says(100, ends)
    everywhere(hostile, limited(ends))
    minute_passes(hostile)
    assert [int(until.timestamp()) if until else None for until in rests(hostile)] == [ends, ends]


def test_where_openai_does_not_answer_a_far_end_is_tried_again_soon(hostile: Hostile) -> None:
    """After a quarter of an hour; a refused request spends nothing."""
    hostile.checked = None
    run = everywhere(hostile, limited(YEAR_3000))
    minute_passes(hostile)
    assert hostile.world.stored(run).status is RunStatus.QUEUED
    hostile.world.clock.advance(minutes=16)
    hostile.world.work(0)
    assert hostile.world.stored(run).status is RunStatus.SUCCEEDED


def test_a_rest_that_an_older_version_believed_is_over(hostile: Hostile) -> None:
    """It stands in the database until the year 3000."""
    hostile.checked = None
    with hostile.world.store.database.write() as connection:
        connection.execute(
            "UPDATE shards SET state = json_set(state, '$.rests_until', '3000-01-01T00:00:00Z') WHERE shard = 0"
        )
    assert hostile.world.store.shards.get(0).rests_until is not None
    assert ready_to_claim(hostile.tools, 0)
    assert hostile.world.store.shards.get(0).rests_until is None


def test_a_forged_death_ends_at_the_next_look(hostile: Hostile) -> None:
    """Reported on every shard: OpenAI renews the logins, so they are not dead."""
    hostile.checked = {**openai_says(20, None), "refreshed": True}
    run = everywhere(hostile, dead())
    assert [state.login for state in hostile.world.store.shards.all(2)] == [LoginState.DEAD] * 2
    minute_passes(hostile)
    assert [state.login for state in hostile.world.store.shards.all(2)] == [LoginState.PRESENT] * 2
    hostile.world.work(0)
    assert hostile.world.stored(run).status is RunStatus.SUCCEEDED


def test_a_real_death_stays_one(hostile: Hostile) -> None:
    """OpenAI refuses to renew it."""
    hostile.checked = {"account": {"id": 2, "result": {"account": None}}, "refreshed": False, "words": "revoked"}
    run = everywhere(hostile, dead())
    minute_passes(hostile)
    assert [state.login_fault for state in hostile.world.store.shards.all(2)] == [LoginFault.REFRESH_REFUSED] * 2
    minute_passes(hostile)
    assert hostile.world.stored(run).status is RunStatus.QUEUED


def test_a_run_that_reports_a_limit_in_each_turn_does_not_keep_a_shard(hostile: Hostile) -> None:
    """OpenAI denies it each time: another user's run, submitted later, is the next one on the shard."""
    hostile.checked = openai_says(20, None)
    thief = hostile.world.submit(shard=0)
    honest = hostile.world.submit(BOB, shard=0)
    hostile.world.clock.advance(seconds=1)

    def forged(process: FakeExec) -> int:
        hostile.said = [limited(YEAR_3000)]
        code = hostile.turn(process)
        hostile.said = [GOOD]
        return code

    hostile.world.engine.on_exec(lambda _, spec: thief.run_id in spec.env.get("MOONMIND_TURN", ""), forged)
    for _ in range(3):
        hostile.world.work(0)
        minute_passes(hostile, 16)
    assert hostile.world.stored(honest).status is RunStatus.SUCCEEDED
    assert hostile.world.stored(thief).status is RunStatus.QUEUED


def test_a_run_that_waited_for_its_quota_comes_before_runs_that_were_submitted_later(hostile: Hostile) -> None:
    """It lost its place to the runs that were there when its limit was reported, and to no others."""
    ends = int(hostile.world.clock().timestamp()) + 4 * 3600
    hostile.checked = openai_says(100, ends)
    hostile.said = [limited(ends)]
    first = hostile.world.submit(shard=0)
    second = hostile.world.submit(shard=0)
    hostile.world.clock.advance(seconds=1)
    hostile.world.work(0)
    hostile.said = [GOOD]
    third = hostile.world.submit(shard=0)
    hostile.checked = openai_says(1, None)
    hostile.world.clock.advance(hours=5)
    hostile.world.work(0)
    claimed = [event.run_id for event in hostile.world.store.events.after(0, limit=1000) if event.kind == "run.claimed"]
    statuses = {hostile.world.stored(run).status for run in (first, second, third)}
    assert statuses == {RunStatus.SUCCEEDED}
    assert claimed == [first.run_id, second.run_id, first.run_id, third.run_id]
