"""From a claim to one final status, or back into the queue with a reason; nothing is left behind."""

import json
import shutil
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moonmind_appliance.errors import DiskFull, EngineError, EngineUnreachable, StoreError
from moonmind_appliance.execution.execute import MOST_INTERRUPTIONS
from moonmind_appliance.models import (
    LABEL_APPLIANCE,
    LABEL_ROLE,
    LABEL_RUN,
    PHASE_ORDER,
    ContainerSpec,
    Limits,
    LoginState,
    PhaseName,
    Run,
    RunStatus,
    WaitReason,
    failure,
)
from moonmind_appliance.models.failure import FailureCode
from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from moonmind_appliance.runs.cancel import cancel_run
from moonmind_appliance.runs.retry import retry_run
from moonmind_appliance.settings import Settings
from moonmind_appliance.store.shards import ShardChange
from tests.appliance_under_test import COMMIT, FEATURE, TOKEN, ApplianceUnderTest, InBackground, ends, open_appliance
from tests.containers.fake import FakeExec
from tests.fakes import ANN, BOB

SPECIFY, PLAN, TASKS = PhaseName.SPECKIT_SPECIFY, PhaseName.SPECKIT_PLAN, PhaseName.SPECKIT_TASKS
ALL_DONE = dict.fromkeys([name.value for name in PHASE_ORDER], "succeeded")


def says(**fields: Any) -> Any:
    """An act that only answers."""
    return lambda _process: fields


def retry(appliance: ApplianceUnderTest, run: Run) -> Run:
    retry_run(appliance.resources, ANN, run.run_id)
    appliance.work()
    return appliance.stored(run)


# Success


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
    """The run's moves and each phase's, in order, and nothing else."""
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
        "metrics_snapshot",
        "environment_info",
    }
    for artifact in artifacts:
        assert appliance.resources.files.path(artifact.storage_path).stat().st_size == artifact.size_bytes


def test_metrics_sum_the_phases(appliance: ApplianceUnderTest) -> None:
    """Tokens of the three turns, an entry a phase, how long the run waited."""
    run = appliance.run()
    artifact = next(a for a in appliance.store.artifacts.list(run.run_id) if a.name == "metrics.json")
    metrics = json.loads(appliance.resources.files.path(artifact.storage_path).read_bytes())
    assert metrics["usage"] == {"output_tokens": 21}
    assert [entry["phase"] for entry in metrics["phases"]] == [name.value for name in PHASE_ORDER]
    assert metrics["waited_seconds"] == 0


# Nothing is published


@pytest.mark.parametrize("mode", [{}, {"spec_workflow_test_mode": True}])
def test_a_dry_run_publishes_nothing(tmp_path: Path, github: StandInGitHub, mode: dict[str, bool]) -> None:
    """By request or for all: the commit is made and looked through; no push, no pull request, its words are kept."""
    with open_appliance(tmp_path / "data", github, **mode) as appliance:
        run = appliance.run(dry_run=not mode)
        assert ends(run) == (RunStatus.SUCCEEDED, None)
        assert appliance.git_verbs == ["clone", "stage"]
        assert appliance.github.pull_requests(appliance.slug) == []
        assert run.result_summary == f"Dry run: nothing was pushed; the branch would be {run.branch_name}."
        opened = run.phase(PhaseName.OPEN_PR)
        assert (opened.status.value, opened.metadata["title"]) == ("skipped", "Dark mode")


def test_a_tree_that_equals_the_base_is_no_change(appliance: ApplianceUnderTest) -> None:
    """`no_changes`, no push, no pull request, and the reason in the summary and in the skipped phase."""
    appliance.git_acts["stage"] = [says(changed=False, patch_bytes=0, files=[], file_count=0)]
    run = appliance.run()
    assert ends(run) == (RunStatus.NO_CHANGES, None)
    assert "nothing to push" in (run.result_summary or "")
    assert run.phase(PhaseName.OPEN_PR).metadata == {"reason": run.result_summary}
    assert appliance.git_verbs == ["clone", "stage"]


def test_a_run_without_changes_stays_so_after_an_interruption(appliance: ApplianceUnderTest) -> None:
    """The next attempt opens no pull request for a branch that was never pushed."""
    appliance.git_acts["stage"] = [says(changed=False, patch_bytes=0, files=[], file_count=0)]
    run = appliance.submit()
    cut_off_behind(appliance, run, PhaseName.COMMIT_PUSH)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.NO_CHANGES, None)
    assert appliance.github.pull_requests(appliance.slug) == []


def cut_off_behind(appliance: ApplianceUnderTest, run: Run, phase: PhaseName) -> None:
    """Let the process end in the moment in which the phase's row is written."""
    progress, saved = appliance.store.progress, appliance.store.progress.save_phase

    class CutOff(BaseException):
        pass

    class Stop:
        """Passes everything on to the store, up to the moment."""

        def __getattr__(self, name: str) -> Any:
            return getattr(progress, name)

        def save_phase(self, run_id: str, lease: str, entry: Any, **more: Any) -> None:
            saved(run_id, lease, entry, **more)
            if entry.phase is phase and entry.status.value == "succeeded":
                raise CutOff

    appliance.store.progress = Stop()  # type: ignore[assignment]
    try:
        with pytest.raises(CutOff):
            appliance.work()
    finally:
        appliance.store.progress = progress
    lease = appliance.stored(run).lease
    assert appliance.store.queue.requeue_abandoned(run.run_id, lease)


def test_a_dry_run_by_settings_that_are_changed_back_stays_one(appliance: ApplianceUnderTest) -> None:
    """Cut off behind its commit, and restarted without SPEC_WORKFLOW_TEST_MODE: no pull request of a missing branch."""
    run = appliance.submit()
    appliance.after(spec_workflow_test_mode=True)
    cut_off_behind(appliance, run, PhaseName.COMMIT_PUSH)
    appliance.after(spec_workflow_test_mode=False)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.github.pull_requests(appliance.slug) == []


# Failures


TURN_FAILURES = [
    ({"verdict": "failed", "message": "cannot"}, FailureCode.AGENT_FAILED),
    ({"verdict": "unreachable"}, FailureCode.AGENT_UNREACHABLE),
    ({"verdict": "skill_missing", "exit_code": 1}, FailureCode.SKILL_MISSING),
    ({"files": {}}, FailureCode.PHASE_OUTPUT_MISSING),
]


@pytest.mark.parametrize(("said", "code"), TURN_FAILURES)
def test_a_turn_that_failed_fails_the_run(
    appliance: ApplianceUnderTest, said: dict[str, Any], code: FailureCode
) -> None:
    """With a stable code, the phase marked, what follows untouched, and everything cleaned up."""
    appliance.agent.acts[SPECIFY] = [says(**said)]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, code.value)
    assert appliance.statuses(run) == ALL_DONE | {
        "speckit_specify": "failed",
        "speckit_plan": "pending",
        "speckit_tasks": "pending",
        "commit_push": "pending",
        "open_pr": "pending",
    }
    assert run.phase(SPECIFY).metadata["failure"]["code"] == code.value
    assert run.result_summary == run.failure.message if run.failure else False
    assert appliance.containers() == []


def over_the_limit(process: FakeExec) -> None:
    process.sleep(30)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"phase_time_limit": 0.05, "phase_silence_limit": 9}, FailureCode.AGENT_TIMED_OUT),
        ({"phase_time_limit": 9, "phase_silence_limit": 0.05}, FailureCode.AGENT_SILENT),
    ],
)
def test_a_turn_over_its_limit_fails_the_run(
    tmp_path: Path, github: StandInGitHub, limits: dict[str, float], code: FailureCode
) -> None:
    """Of all time, and of silence."""
    with open_appliance(tmp_path / "data", github, **limits) as appliance:
        appliance.agent.acts[PLAN] = [over_the_limit]
        assert ends(appliance.run()) == (RunStatus.FAILED, code.value)
        assert appliance.containers() == []


def test_an_agent_container_that_ends_fails_the_run(appliance: ApplianceUnderTest) -> None:
    """Out of memory, or removed from outside."""
    appliance.agent.acts[PLAN] = [lambda process: process.kill_container()]
    assert ends(appliance.run()) == (RunStatus.FAILED, FailureCode.CONTAINER_FAILED.value)


@pytest.mark.parametrize("verb", ["clone", "stage", "push"])
def test_a_git_container_that_ends_fails_the_run(appliance: ApplianceUnderTest, verb: str) -> None:
    """In each phase that runs git; the failure is not attributed to GitHub."""
    appliance.git_acts[verb] = [lambda process: process.kill_container()]
    assert ends(appliance.run()) == (RunStatus.FAILED, FailureCode.CONTAINER_FAILED.value)
    assert appliance.containers() == []


def git_says(words: str) -> Any:
    def act(process: FakeExec) -> dict[str, Any]:
        process.stderr.write(words.encode())
        return {"exit_code": 1}

    return act


@pytest.mark.parametrize(
    ("verb", "words", "code"),
    [
        ("clone", "fatal: couldn't find remote ref refs/heads/main", FailureCode.BASE_BRANCH_NOT_FOUND),
        ("clone", "fatal: bad thing", FailureCode.CLONE_FAILED),
        ("stage", "error: 401", FailureCode.COMMIT_FAILED),
        ("push", "! [remote rejected] (pre-receive hook declined)", FailureCode.PUSH_REJECTED),
        ("push", "fatal: bad thing", FailureCode.PUSH_REJECTED),
    ],
)
def test_gits_refusal_fails_the_run(appliance: ApplianceUnderTest, verb: str, words: str, code: FailureCode) -> None:
    """By the verb and git's words, which the submitter reads."""
    appliance.git_acts[verb] = [git_says(words)]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, code.value)
    assert words in (run.result_summary or "")


@pytest.mark.parametrize(
    ("verb", "answer", "code"),
    [
        ("stage", {"too_large": True, "patch_bytes": 11 * 1024**2, "patch": ""}, FailureCode.CHANGE_TOO_LARGE),
        # What could not be looked through whole is not pushed.
        ("stage", {"patch_bytes": 10_000}, FailureCode.COMMIT_FAILED),
        ("push", {"pushed": False, "conflict": "d" * 40}, FailureCode.BRANCH_CONFLICT),
    ],
)
def test_a_change_that_cannot_be_pushed_fails_the_run(
    appliance: ApplianceUnderTest, verb: str, answer: dict[str, Any], code: FailureCode
) -> None:
    """Too large, not seen whole, or its branch taken; no pull request is opened."""
    appliance.git_acts[verb] = [says(**answer)]
    assert ends(appliance.run()) == (RunStatus.FAILED, code.value)
    assert appliance.github.pull_requests(appliance.slug) == []


@pytest.mark.parametrize("secret", [TOKEN, "rt_secretOfShard0-0123456789", "ghp_" + "a1B2" * 9])
def test_a_secret_in_the_change_stops_it(appliance: ApplianceUnderTest, secret: str) -> None:
    """The appliance's own, the login's, or one by its shape: nothing is pushed, and it is in no file that is kept."""
    patch = f"diff --git a/x b/x\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,2 @@\n+words\n+key: {secret}\n"
    appliance.git_acts["stage"] = [says(patch=patch, patch_bytes=len(patch))]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.SECRET_IN_CHANGE.value)
    assert "in x line 2" in (run.result_summary or "")
    assert "push" not in appliance.git_verbs
    assert_nowhere(appliance, secret)


def assert_nowhere(appliance: ApplianceUnderTest, secret: str) -> None:
    folder = appliance.resources.settings.moonmind_data_dir
    hits = [str(path) for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert hits == []


def test_a_bug_ends_the_run_and_shows_no_secret(appliance: ApplianceUnderTest) -> None:
    """`internal_error` with the error's kind alone; the worker goes on with the next run."""

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


def test_an_engine_that_refuses_fails_the_run(appliance: ApplianceUnderTest) -> None:
    """With the engine's own words."""
    appliance.engine.fail(EngineError("cannot start: no such runtime"), method="start", at=2)
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.CONTAINER_FAILED.value)
    assert "no such runtime" in (run.result_summary or "")


def test_a_missing_image_is_reported_before_any_turn(appliance: ApplianceUnderTest) -> None:
    """At the first phase."""
    appliance.work()
    appliance.engine.images.clear()
    for shard in appliance.resources.shards:
        assert appliance.store.shards.get(shard.index).login in (LoginState.PRESENT, LoginState.UNKNOWN)
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.IMAGE_MISSING.value)
    assert appliance.agent.turns == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"repository": "acme/nowhere"}, FailureCode.REPOSITORY_NOT_FOUND),
        ({"base_branch": "nowhere"}, FailureCode.BASE_BRANCH_NOT_FOUND),
    ],
)
def test_what_cannot_end_well_is_refused_first(
    appliance: ApplianceUnderTest, fields: dict[str, str], code: FailureCode
) -> None:
    """No container, no turn."""
    assert ends(appliance.run(**fields)) == (RunStatus.FAILED, code.value)
    assert appliance.agent.turns == []
    assert appliance.git_verbs == []


def test_cleanup_that_fails_is_recorded_and_changes_no_result(appliance: ApplianceUnderTest) -> None:
    """The pull request is open: the run succeeded, and says what it could not clean."""
    appliance.engine.fail(EngineError("device or resource busy"), method="remove", at=2, times=2)
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    problems = run.phase(PhaseName.CLEANUP).metadata["not_cleaned"]
    assert len(problems) == 2
    assert all("device or resource busy" in problem for problem in problems)


def test_metrics_that_cannot_be_kept_change_no_result(appliance: ApplianceUnderTest) -> None:
    """A full disk at the very end does not undo a pull request."""

    def fill(_process: FakeExec) -> None:
        folder = appliance.resources.settings.moonmind_data_dir / "runs"
        (next(folder.iterdir()) / "artifacts" / "metrics.json").mkdir()

    appliance.git_acts["push"] = [fill]
    assert ends(appliance.run()) == (RunStatus.SUCCEEDED, None)


# Waiting


@pytest.mark.parametrize(
    "method",
    ["image", "ensure_network", "ensure_volume", "start", "put_file", "read_file", "execute", "kill"],
)
def test_an_engine_that_goes_away_is_waited_for(appliance: ApplianceUnderTest, method: str) -> None:
    """In every phase: queued with the reason and a time, a wake-up at that time, and the run then finishes."""
    appliance.work()
    appliance.store.shards.change(0, _present)
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


def _present(known: Any) -> Any:
    """A login that was checked already, so that only the run calls the engine."""
    return ShardChange(msgspec.structs.replace(known, login=LoginState.PRESENT))


def test_an_engine_without_room_is_waited_for(appliance: ApplianceUnderTest) -> None:
    """Docker's own word, and git's on a volume that is full; the run goes on when there is room."""
    run = appliance.submit()
    appliance.engine.fail(DiskFull("no space left on device"), method="ensure_volume", at=2)
    appliance.git_acts["clone"] = [git_says("fatal: write error: No space left on device")]
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
    """An artifact that cannot be written because the disk is full is no defect."""
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
    assert waiting.reason is WaitReason.DISK
    settings.full = False
    appliance.clock.advance(minutes=3)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


def test_a_run_waits_for_a_shard_in_use_by_another_process(appliance: ApplianceUnderTest) -> None:
    """The run names the user of the lock, starts later, and never changes that container."""
    run = appliance.submit(shard=0)
    lock = appliance.resources.shards[0].lock
    appliance.engine.ensure_network("jobs", {})
    held = {LABEL_APPLIANCE: "another", LABEL_ROLE: "agent", LABEL_RUN: "theirs"}
    appliance.store.shards.change(0, _present)
    appliance.engine.start(
        ContainerSpec(
            name=lock, image=next(iter(appliance.engine.images)), command=["x"], labels=held, limits=Limits(1, 1, 1)
        )
    )
    appliance.work()
    waiting = appliance.stored(run).waiting_for
    assert waiting is not None
    assert (waiting.reason, waiting.detail) == (WaitReason.SHARD_BUSY, f"{lock} is in use by agent of run theirs")
    assert appliance.containers() == [lock]
    appliance.engine.remove(lock)
    appliance.clock.advance(seconds=16)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)


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
    """The second shard takes it up at the phase that the first one could not do."""
    appliance.agent.acts[PLAN] = [says(verdict="login_dead", message="refused")]
    run = appliance.submit()
    appliance.work(1)
    appliance.work(0)
    appliance.work(1)
    run = appliance.stored(run)
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [SPECIFY, PLAN, PLAN, TASKS]
    assert appliance.git_verbs == ["clone", "stage", "push"]


# Cut off, cancelled, stopped


@pytest.mark.parametrize("phase", [name for name in PHASE_ORDER if name is not PhaseName.CLEANUP])
def test_a_run_interrupted_after_a_phase_continues_with_the_next(
    appliance: ApplianceUnderTest, phase: PhaseName
) -> None:
    """What is done is not done again, but for the containers, and the clone that `specify` builds on."""
    run = appliance.submit()
    cut_off_behind(appliance, run, phase)
    appliance.agent.turns.clear()
    appliance.git_verbs.clear()
    appliance.work()
    done = PHASE_ORDER.index(phase)
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [name for name in (SPECIFY, PLAN, TASKS) if PHASE_ORDER.index(name) > done]
    assert ("clone" in appliance.git_verbs) is (done < PHASE_ORDER.index(SPECIFY))
    assert ("push" in appliance.git_verbs) is (done < PHASE_ORDER.index(PhaseName.COMMIT_PUSH))
    assert len(appliance.github.pull_requests(appliance.slug)) == 1
    assert appliance.containers() == []


def test_volumes_that_vanished_meanwhile_are_made_again(appliance: ApplianceUnderTest) -> None:
    """Pruned between two attempts: the run begins again at the clone, and says so in an event."""
    run = appliance.submit()
    cut_off_behind(appliance, run, PLAN)
    for name in appliance.containers():
        appliance.engine.remove(name)
    for volume in (f"moonmind-run-{run.run_id}", f"moonmind-git-{run.run_id}"):
        appliance.engine.remove_volume(volume)
    appliance.agent.turns.clear()
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.git_verbs == ["clone", "clone", "stage", "push"]
    assert appliance.agent.turns == [SPECIFY, PLAN, TASKS]
    lost = [event for event in appliance.store.events.after(0, run_id=run.run_id) if event.kind == "run.workspace_lost"]
    assert [event.data["again"] for event in lost] == [["git_clone", "speckit_specify", "speckit_plan"]]


def test_one_lost_volume_is_as_bad_as_two(appliance: ApplianceUnderTest) -> None:
    """Without the private clone nothing of the workspace can be committed."""
    run = appliance.submit()
    cut_off_behind(appliance, run, TASKS)
    for name in appliance.containers():
        appliance.engine.remove(name)
    appliance.engine.remove_volume(f"moonmind-git-{run.run_id}")
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.git_verbs == ["clone", "clone", "stage", "push"]


def test_volumes_that_vanish_after_the_commit_do_not_matter(appliance: ApplianceUnderTest) -> None:
    """What is pushed is pushed: only the pull request is left to open, without any container."""
    run = appliance.submit()
    cut_off_behind(appliance, run, PhaseName.COMMIT_PUSH)
    for name in appliance.containers():
        appliance.engine.remove(name)
    for volume in (f"moonmind-run-{run.run_id}", f"moonmind-git-{run.run_id}"):
        appliance.engine.remove_volume(volume)
    appliance.engine.calls.clear()
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert [name for method, name in appliance.engine.calls if method == "start"] == []


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


class Blocked:
    """A command that starts, reports that, and does not end by itself."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    def __call__(self, process: FakeExec) -> None:
        self.begun.set()
        process.sleep(30)


@pytest.fixture
def blocked() -> Blocked:
    return Blocked()


@pytest.mark.parametrize("place", ["clone", SPECIFY, "stage", "push"])
def test_a_cancelled_run_ends_soon_and_leaves_nothing(
    appliance: ApplianceUnderTest, blocked: Blocked, place: str
) -> None:
    """In a turn as in git: its processes end with it, no pull request, one final status; its files expire."""
    if place == SPECIFY:
        appliance.agent.acts[SPECIFY] = [blocked]
    else:
        appliance.git_acts[place] = [blocked]
    run = appliance.submit()
    worker = InBackground(appliance.work)
    assert blocked.begun.wait(10)
    cancel_run(appliance.resources, ANN, run.run_id)
    worker.join()
    run = appliance.stored(run)
    assert ends(run) == (RunStatus.CANCELLED, None)
    assert run.result_summary == "The run was cancelled."
    assert appliance.containers() == []
    assert appliance.github.pull_requests(appliance.slug) == []
    assert all(artifact.expires_at for artifact in appliance.store.artifacts.list(run.run_id))


def test_a_cancelled_run_can_be_retried(appliance: ApplianceUnderTest, blocked: Blocked) -> None:
    """It goes on at the phase that was cut."""
    appliance.agent.acts[PLAN] = [blocked]
    run = appliance.submit()
    worker = InBackground(appliance.work)
    assert blocked.begun.wait(10)
    cancel_run(appliance.resources, ANN, run.run_id)
    worker.join()
    assert ends(retry(appliance, run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == [SPECIFY, PLAN, PLAN, TASKS]


def test_a_run_that_waits_is_cancelled_at_once(appliance: ApplianceUnderTest) -> None:
    """And stays so when its time has come."""
    run = appliance.submit()
    appliance.engine.fail(DiskFull("full"), method="ensure_volume", at=2)
    appliance.work()
    cancel_run(appliance.resources, ANN, run.run_id)
    appliance.clock.advance(minutes=5)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.CANCELLED, None)
    assert appliance.agent.turns == []


@pytest.mark.parametrize("place", ["clone", SPECIFY, "push"])
def test_a_stop_puts_the_run_back_and_the_next_start_finishes_it(
    appliance: ApplianceUnderTest, blocked: Blocked, place: str
) -> None:
    """At once, without a container left and without counting as a crash; one pull request in the end."""
    if place == SPECIFY:
        appliance.agent.acts[SPECIFY] = [blocked]
    else:
        appliance.git_acts[place] = [blocked]
    run = appliance.submit()
    worker = InBackground(appliance.work)
    assert blocked.begun.wait(10)
    assert appliance.executor.stop() == [run.run_id]
    worker.join()
    stopped = appliance.stored(run)
    assert (stopped.status, stopped.waiting_for, stopped.interruptions) == (RunStatus.QUEUED, None, 0)
    assert appliance.containers() == []
    appliance.work()
    assert appliance.stored(run).status is RunStatus.QUEUED, "a stopping executor claims nothing"
    appliance.after()
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert len(appliance.github.pull_requests(appliance.slug)) == 1


def test_a_lost_lease_lets_go_of_the_row(appliance: ApplianceUnderTest, blocked: Blocked) -> None:
    """Whoever claims it next owns it: the first one writes nothing more."""
    appliance.agent.acts[PLAN] = [blocked]
    run = appliance.submit()
    worker = InBackground(appliance.work)
    assert blocked.begun.wait(10)
    assert appliance.store.queue.requeue_abandoned(run.run_id, appliance.stored(run).lease)
    other = appliance.store.queue.claim(1, "other", now=appliance.clock(), lease_seconds=30)
    assert other is not None
    worker.join()
    kept = appliance.stored(run)
    assert (kept.status, kept.lease, kept.shard) == (RunStatus.IN_PROGRESS, "other", 1)


# Retry


@pytest.mark.parametrize(
    ("arrange", "first", "second"),
    [
        (lambda w: w.git_acts["clone"].append(git_says("fatal: x")), [], [SPECIFY, PLAN, TASKS]),
        (lambda w: w.agent.acts[SPECIFY].append(says(verdict="failed")), [SPECIFY], [SPECIFY, PLAN, TASKS]),
        (lambda w: w.agent.acts[TASKS].append(says(verdict="failed")), [SPECIFY, PLAN, TASKS], [TASKS]),
        (lambda w: w.git_acts["push"].append(git_says("fatal: x")), [SPECIFY, PLAN, TASKS], []),
    ],
)
def test_a_retried_run_continues_at_the_failed_phase(
    appliance: ApplianceUnderTest, arrange: Any, first: Any, second: Any
) -> None:
    """And finishes: no turn that went well is paid twice."""
    arrange(appliance)
    run = appliance.run()
    assert run.status is RunStatus.FAILED
    assert appliance.agent.turns == first
    appliance.agent.turns.clear()
    again = retry(appliance, run)
    assert ends(again) == (RunStatus.SUCCEEDED, None)
    assert appliance.agent.turns == second
    assert all(artifact.expires_at for artifact in appliance.store.artifacts.list(run.run_id))


def test_each_attempt_keeps_its_own_logs(appliance: ApplianceUnderTest) -> None:
    """What the first one said can still be read."""
    appliance.agent.acts[PLAN] = [says(verdict="failed", message="first words")]
    again = retry(appliance, appliance.run())
    names = {artifact.name: artifact for artifact in appliance.store.artifacts.list(again.run_id)}
    assert {"speckit_plan.stdout.jsonl", "speckit_plan.attempt-2.stdout.jsonl"} <= set(names)
    first = appliance.resources.files.path(names["speckit_plan.stdout.jsonl"].storage_path).read_text()
    assert "first words" in first
    assert again.phase(PLAN).attempt == 2


def test_a_pull_request_whose_answer_was_lost_is_found_again(appliance: ApplianceUnderTest) -> None:
    """Neither failed nor opened twice."""
    appliance.github.inject(Fault.LOST_ANSWER, times=1)
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert len(appliance.github.pull_requests(appliance.slug)) == 1
    assert "response was lost" in (run.result_summary or "")


def test_a_repository_without_drafts_gets_a_marked_pull_request(appliance: ApplianceUnderTest) -> None:
    """An ordinary one with [Draft] in its title, and the summary says so."""
    appliance.github.inject(Fault.DRAFT_REFUSED)
    try:
        run = appliance.run()
    finally:
        appliance.github.clear(Fault.DRAFT_REFUSED)
    (pull,) = appliance.github.pull_requests(appliance.slug)
    assert (pull.draft, pull.title) == (False, "[Draft] Dark mode")
    assert "does not support draft pull requests" in (run.result_summary or "")


def test_github_that_cannot_be_reached_for_the_pull_request_is_retried_without_a_push(
    appliance: ApplianceUnderTest,
) -> None:
    """The branch is there: the retry opens the pull request, and starts no container."""
    appliance.git_acts["push"] = [lambda _process: appliance.github.inject(Fault.UNREACHABLE)]
    try:
        run = appliance.run()
    finally:
        appliance.github.clear(Fault.UNREACHABLE)
    assert ends(run) == (RunStatus.FAILED, FailureCode.GITHUB_UNREACHABLE.value)
    appliance.engine.calls.clear()
    again = retry(appliance, run)
    assert ends(again) == (RunStatus.SUCCEEDED, None)
    assert "start" not in {method for method, _ in appliance.engine.calls}


# Several at once


def test_a_shard_executes_the_queue_and_alternates_between_users(appliance: ApplianceUnderTest) -> None:
    """Oldest first; while one user's run is in progress elsewhere, another user's comes before that user's next."""
    anns = [appliance.submit(ANN) for _ in range(2)]
    bobs = appliance.submit(BOB)
    blocked = Blocked()
    appliance.agent.acts[SPECIFY] = [blocked]
    worker = InBackground(lambda: appliance.work(0))
    assert blocked.begun.wait(10)
    claimed = appliance.store.queue.claim(1, "probe", now=appliance.clock(), lease_seconds=30)
    assert claimed is not None
    assert claimed.run_id == bobs.run_id
    appliance.store.queue.release(bobs.run_id, "probe", waiting_for=None, interrupted=False)
    appliance.work(1)
    assert [appliance.stored(run).status.value for run in (bobs, anns[1])] == ["succeeded", "succeeded"]
    appliance.executor.stop()
    worker.join()


def test_two_shards_work_side_by_side_each_under_its_own_lock(appliance: ApplianceUnderTest) -> None:
    """Two runs at once, on two logins, in four containers; neither waits for the other."""
    appliance.store.shards.change(0, _present)
    appliance.store.shards.change(1, _present)
    both = threading.Barrier(3)
    seen: list[list[str]] = []

    def meet(_process: FakeExec) -> None:
        both.wait(10)
        seen.append(appliance.containers())
        both.wait(10)

    appliance.agent.acts[SPECIFY] = [meet, meet]
    runs = [appliance.submit(ANN, shard=0), appliance.submit(ANN, shard=1)]
    workers = [InBackground(lambda shard=shard: appliance.work(shard)) for shard in (0, 1)]  # type: ignore[misc]
    both.wait(10)
    both.wait(10)
    for worker in workers:
        worker.join()
    assert [ends(appliance.stored(run)) for run in runs] == [(RunStatus.SUCCEEDED, None)] * 2
    assert set(seen[0]) == {
        *(shard.lock for shard in appliance.resources.shards),
        *(f"moonmind-git-{run.run_id}" for run in runs),
    }


def test_every_failure_of_a_run_has_the_texts_of_its_code(appliance: ApplianceUnderTest) -> None:
    """Row, phase and summary say the same."""
    appliance.git_acts["push"] = [says(pushed=False, conflict="d" * 40)]
    run = appliance.run()
    assert run.failure == failure(FailureCode.BRANCH_CONFLICT, run.result_summary or "")
    assert run.phase(PhaseName.COMMIT_PUSH).metadata["commit"] == COMMIT
