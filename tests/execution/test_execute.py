"""From a claim to one final status, or back into the queue with a reason; no container is left."""

import json
import shutil
from datetime import timedelta
from typing import Any

import pytest

from moonmind_appliance.errors import DiskFull, EngineError, EngineUnreachable, StoreError
from moonmind_appliance.execution.execute import MOST_INTERRUPTIONS
from moonmind_appliance.models import (
    LoginState,
    PhaseName,
    Run,
    RunStatus,
    WaitingFor,
    WaitReason,
    failure,
)
from moonmind_appliance.models.failure import FailureCode
from moonmind_appliance.settings import Settings
from tests.appliance_under_test import COMMIT, FEATURE, TOKEN, ApplianceUnderTest, ends
from tests.containers.fake_exec import FakeExec
from tests.scripted_acts import (
    ALL_DONE,
    PLAN,
    SPECIFY,
    TASKS,
    assert_nowhere,
    git_fails,
    retry,
    says,
    with_login,
)


def test_a_run_succeeds_with_a_draft_pull_request_and_leaves_no_container(appliance: ApplianceUnderTest) -> None:
    """Nine phases in order, one pull request, a summary that names it; both volumes are kept."""
    run = appliance.run()
    (pull,) = appliance.github.pull_requests(appliance.slug)
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert appliance.statuses(run) == ALL_DONE
    assert (pull.draft, pull.head, pull.html_url) == (True, run.branch_name, run.pull_request_url)
    assert run.result_summary == f"Pull request {pull.html_url} (opened as a draft)."
    assert appliance.containers() == []
    assert {f"moonmind-run-{run.run_id}", f"moonmind-git-{run.run_id}"} <= set(appliance.engine.volume_data)


def test_every_move_leaves_an_event(appliance: ApplianceUnderTest) -> None:
    """The transitions of the run and of each phase, in order, and no other events."""
    run = appliance.run()
    assert appliance.kinds(run) == [
        "run.queued",
        "run.claimed",
        *["phase.running", "phase.succeeded"] * 9,
        "run.succeeded",
    ]


def test_what_became_known_is_kept_in_the_row(appliance: ApplianceUnderTest) -> None:
    """Branch, agent, open questions, login, times."""
    text = "# Dark mode\n\n[NEEDS CLARIFICATION: who?]\n"
    appliance.agent.acts[SPECIFY] = [
        says(files={".specify/feature.json": json.dumps({"feature_directory": FEATURE}), f"{FEATURE}/spec.md": text})
    ]
    run = appliance.run()
    assert run.branch_name == f"speckit/20260301/{run.run_id[:8]}"
    assert run.agent is not None
    assert (run.agent.backend, run.clarifications, run.shard) == ("scripted", ["who?"], 0)
    assert run.completed_at == appliance.clock()
    assert appliance.store.shards.get(0).login is LoginState.PRESENT


def test_artifacts_are_kept_for_their_time(appliance: ApplianceUnderTest) -> None:
    """Every kind, complete on disk, and each expires after ARTIFACT_RETENTION."""
    run = appliance.run()
    artifacts = appliance.store.artifacts.list(run.run_id)
    expected = (
        run.completed_at + timedelta(seconds=appliance.resources.settings.artifact_retention)
        if run.completed_at
        else None
    )
    assert {artifact.expires_at for artifact in artifacts} == {expected}
    assert {artifact.artifact_type.value for artifact in artifacts} == {
        "stdout_log",
        "stderr_log",
        "diff_summary",
        "commit_status",
        "credential_audit",
        "egress_record",
        "metrics_snapshot",
        "environment_info",
    }
    for artifact in artifacts:
        assert appliance.resources.files.path(artifact.storage_path).stat().st_size == artifact.size_bytes


def test_a_bug_ends_the_run_and_shows_no_secret(appliance: ApplianceUnderTest) -> None:
    """`internal_error` with the error's type only; the worker continues with the next run."""

    def defect(_process: FakeExec) -> None:
        raise RuntimeError(f"token {TOKEN} in ~/.netrc")

    appliance.agent.acts[PLAN] = [defect]
    run, other = appliance.submit(), appliance.submit()
    appliance.work()
    run = appliance.stored(run)
    assert ends(run) == (RunStatus.FAILED, FailureCode.INTERNAL_ERROR.value)
    assert run.result_summary == "RuntimeError"
    assert run.phase(PLAN).metadata == {"error": "RuntimeError"}
    assert_nowhere(appliance, TOKEN)
    assert appliance.stored(other).status is RunStatus.SUCCEEDED
    assert appliance.containers() == []


def work_until_it_ends(appliance: ApplianceUnderTest, run: Run) -> list[WaitingFor]:
    """Execute the run, also after its waits; returns what it waited for."""
    waited = []
    for _ in range(20):
        appliance.work()
        stored = appliance.stored(run)
        if stored.status is not RunStatus.QUEUED:
            return waited
        assert stored.waiting_for is not None
        waited.append(stored.waiting_for)
        appliance.clock.advance(seconds=21)
    raise AssertionError("the run never ended")


def test_an_engine_that_refuses_three_times_fails_the_run(appliance: ApplianceUnderTest) -> None:
    """With the engine's own message; until then the run waits and tries again. Each attempt starts three containers."""
    appliance.store.shards.change(0, with_login)
    appliance.engine.fail(EngineError("cannot start: no such runtime"), method="start", times=9)
    run = appliance.submit()
    waited = work_until_it_ends(appliance, run)
    assert [(each.reason, each.detail) for each in waited] == [(WaitReason.ENGINE, "cannot start: no such runtime")] * 2
    run = appliance.stored(run)
    assert ends(run) == (RunStatus.FAILED, FailureCode.CONTAINER_FAILED.value)
    assert "no such runtime" in (run.result_summary or "")


def test_an_engine_that_refuses_for_a_moment_delays_the_run(appliance: ApplianceUnderTest) -> None:
    """Such as one that is just being restarted. No finished phase is repeated."""
    appliance.agent.acts[PLAN] = [lambda process: process.kill_container()]
    appliance.git_acts["push"] = [lambda process: process.kill_container()] * 2
    run = appliance.submit()
    waited = work_until_it_ends(appliance, run)
    assert [each.detail.partition(". ")[0] for each in waited] == [
        "The agent container ended during speckit_plan",
        "The git container ended during git push",
        "The git container ended during git push",
    ]
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [SPECIFY, PLAN, PLAN, TASKS]
    assert len(appliance.github.pull_requests(appliance.slug)) == 1


def test_a_file_that_cannot_be_written_is_waited_for(appliance: ApplianceUnderTest) -> None:
    """With the file and the reason; it is no bug, and the run continues when the operator has repaired it."""
    run = appliance.submit()
    folder = appliance.resources.settings.moonmind_data_dir / "runs"
    folder.write_text("in the way")
    appliance.work()
    waiting = appliance.stored(run).waiting_for
    assert waiting is not None
    assert waiting.reason is WaitReason.DISK
    assert waiting.detail.startswith(f"{folder}/{run.run_id}")
    folder.unlink()
    assert [each for each in work_until_it_ends(appliance, run) if each != waiting] == []
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


def test_an_appliance_without_memory_starts_the_run_again(appliance: ApplianceUnderTest) -> None:
    """It counts as an interruption, and is no bug."""

    def exhausted(_process: FakeExec) -> None:
        raise MemoryError

    appliance.agent.acts[PLAN] = [exhausted]
    run = appliance.submit()
    appliance.work()
    stored = appliance.stored(run)
    assert ends(stored) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [SPECIFY, PLAN, PLAN, TASKS]


@pytest.mark.parametrize(
    "method",
    ["image", "ensure_network", "ensure_volume", "start", "read_file", "execute", "freeze"],
)
def test_an_engine_that_goes_away_is_waited_for(appliance: ApplianceUnderTest, method: str) -> None:
    """In every phase: queued with the reason and a time, a wake-up at that time, and the run then finishes."""
    appliance.work()
    appliance.store.shards.change(0, with_login)
    run = appliance.submit()
    appliance.engine.fail(EngineUnreachable("no engine at unix:///nowhere"), method=method)
    appliance.work()
    waiting = appliance.stored(run)
    assert waiting.status is RunStatus.QUEUED
    assert waiting.waiting_for is not None
    assert (waiting.waiting_for.reason, waiting.waiting_for.until) == (
        WaitReason.ENGINE,
        appliance.clock() + timedelta(seconds=20),
    )
    assert (0, waiting.waiting_for.until) in appliance.wakeups.timed
    assert appliance.containers() == []
    appliance.work()
    assert appliance.stored(run).status is RunStatus.QUEUED, "it waits for its time"
    appliance.clock.advance(seconds=21)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert len(appliance.github.pull_requests(appliance.slug)) == 1


def test_an_engine_without_room_is_waited_for(appliance: ApplianceUnderTest) -> None:
    """By Docker's message, or git's about a full volume; the run continues when there is space."""
    run = appliance.submit()
    appliance.engine.fail(DiskFull("no space left on device"), method="ensure_volume", at=2)
    appliance.git_acts["clone"] = [git_fails("fatal: write error: No space left on device")]
    for _ in range(2):
        appliance.work()
        waiting = appliance.stored(run).waiting_for
        assert waiting is not None
        assert waiting.reason is WaitReason.DISK
        appliance.clock.advance(minutes=3)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


class Filling:
    """Settings of a disk that fills up during a run."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.full = False

    def __getattr__(self, name: str) -> Any:
        if name == "min_free_disk" and self.full:
            return shutil.disk_usage(self._settings.moonmind_data_dir).total + 1
        return getattr(self._settings, name)


def test_a_data_disk_without_room_is_waited_for(appliance: ApplianceUnderTest) -> None:
    """An artifact that cannot be written because the disk is full is no defect. No newer run overtakes the run."""
    settings = Filling(appliance.resources.settings)

    def fill(_process: FakeExec) -> None:
        settings.full = True
        raise StoreError("x cannot be written: no space left on the disk.")

    appliance.agent.acts[PLAN] = [fill]
    appliance.with_resources(settings=settings)
    run = appliance.submit()
    appliance.work()
    waiting = appliance.stored(run).waiting_for
    assert waiting is not None
    assert (waiting.reason, waiting.until) == (WaitReason.DISK, None)
    newer = appliance.submit()
    settings.full = False
    appliance.work()
    ended = [appliance.stored(each) for each in (run, newer)]
    assert [ends(each) for each in ended] == [(RunStatus.SUCCEEDED, None)] * 2
    claims = [event.run_id for event in appliance.store.events.after(0, limit=1000) if event.kind == "run.claimed"]
    assert claims == [run.run_id, run.run_id, newer.run_id]


def test_a_shard_without_a_login_is_waited_for(appliance: ApplianceUnderTest) -> None:
    """Until the next sign-in: no turn, no failure, no time."""
    for shard in (0, 1):
        appliance.sign_out(shard)
    run = appliance.submit()
    appliance.work(0)
    appliance.work(1)
    waiting = appliance.stored(run).waiting_for
    assert waiting is not None
    assert (waiting.reason, waiting.until) == (WaitReason.LOGIN, None)
    appliance.sign_in(1)
    appliance.work(1)
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


def test_a_run_whose_login_is_revoked_continues_on_another_shard(appliance: ApplianceUnderTest) -> None:
    """The second shard continues it at the phase that the first one could not complete."""
    appliance.agent.acts[PLAN] = [says(verdict="login_dead", message="refused")]
    run = appliance.submit()
    appliance.work(1)
    appliance.work(0)
    appliance.work(1)
    run = appliance.stored(run)
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [SPECIFY, PLAN, PLAN, TASKS]
    assert appliance.git_verbs == ["clone", "stage", "push"]


def test_a_run_that_is_cut_off_too_often_fails(appliance: ApplianceUnderTest) -> None:
    """The run may be what crashes the appliance: the operator must check."""
    run = appliance.submit()
    for _ in range(MOST_INTERRUPTIONS + 1):
        claimed = appliance.store.queue.claim(0, "lease", now=appliance.clock(), lease_seconds=30)
        assert claimed is not None
        assert appliance.store.queue.requeue_abandoned(run.run_id, "lease")
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.FAILED, FailureCode.CUT_OFF_TOO_OFTEN.value)
    again = retry(appliance, run)
    assert ends(again) == (RunStatus.SUCCEEDED, None)


def test_interruptions_with_progress_do_not_end_a_run(appliance: ApplianceUnderTest) -> None:
    """Only interruptions since the last finished phase count."""
    run = appliance.submit()

    def interrupted(times: int) -> None:
        for _ in range(times):
            assert appliance.store.queue.claim(0, "lease", now=appliance.clock(), lease_seconds=30) is not None
            assert appliance.store.queue.requeue_abandoned(run.run_id, "lease")

    def killed(_process: FakeExec) -> None:
        raise KeyboardInterrupt

    for phase in (PLAN, TASKS):
        interrupted(MOST_INTERRUPTIONS - 1)
        appliance.agent.acts[phase] = [killed]
        with pytest.raises(KeyboardInterrupt):
            appliance.work()
        (left,) = appliance.store.run_lists.in_progress()
        assert left.interruptions == 0
        assert appliance.store.queue.requeue_abandoned(run.run_id, left.lease)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


def test_every_failure_of_a_run_has_the_texts_of_its_code(appliance: ApplianceUnderTest) -> None:
    """Row, phase and summary say the same."""
    appliance.git_acts["push"] = [says(pushed=False, conflict="d" * 40)]
    run = appliance.run()
    assert run.failure == failure(FailureCode.BRANCH_CONFLICT, run.result_summary or "")
    assert run.phase(PhaseName.COMMIT_PUSH).metadata["commit"] == COMMIT
