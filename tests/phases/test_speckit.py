"""A Spec Kit phase: its turn, the end of the turn, and the files that decide."""

from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.models import (
    LoginState,
    RunStatus,
)
from moonmind_appliance.models.failure import FailureCode, WhoActs
from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.appliance_under_test import ApplianceUnderTest, ends, open_appliance
from tests.containers.fake_exec import FakeExec
from tests.scripted_acts import (
    ALL_DONE,
    PLAN,
    SPECIFY,
    says,
)

TURN_FAILURES = [
    ({"verdict": "failed", "message": "cannot"}, FailureCode.AGENT_FAILED),
    ({"verdict": "unreachable"}, FailureCode.AGENT_UNREACHABLE),
    ({"verdict": "model_unavailable"}, FailureCode.MODEL_UNAVAILABLE),
    ({"verdict": "text_flagged"}, FailureCode.TEXT_FLAGGED),
    ({"verdict": "context_window_exceeded"}, FailureCode.CONTEXT_WINDOW_EXCEEDED),
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


@pytest.mark.parametrize(("model", "named"), [("gpt-9", "the model gpt-9 (CODEX_MODEL)"), (None, "the default model")])
def test_a_model_that_the_account_may_not_use_is_named(
    tmp_path: Path, github: StandInGitHub, model: str | None, named: str
) -> None:
    """The operator changes CODEX_MODEL; the login stays usable, whatever the agent's container reports."""
    with open_appliance(tmp_path / "data", github, codex_model=model) as appliance:
        appliance.agent.acts[PLAN] = [says(verdict="model_unavailable", message="The 'x' model is not supported.")]
        run = appliance.run()
        assert run.failure is not None
        assert (run.failure.code, run.failure.who_acts) == (FailureCode.MODEL_UNAVAILABLE, WhoActs.OPERATOR)
        assert named in run.failure.message
        assert "CODEX_MODEL" in run.failure.next_step
        assert appliance.store.shards.get(run.shard or 0).login is LoginState.PRESENT


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


def test_an_agent_container_that_ends_is_started_again(appliance: ApplianceUnderTest) -> None:
    """The engine restarted, or the container was removed from outside: the run waits, and then repeats the phase."""
    appliance.agent.acts[PLAN] = [lambda process: process.kill_container()]
    run = appliance.run()
    assert run.waiting_for is not None
    assert run.waiting_for.detail.startswith("The agent container ended during speckit_plan.")
    assert run.interruptions == 1


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"files": {}}, "specify completed, but wrote no specification: no spec.md is new or changed."),
        (
            {"files": {}, "feature_problem": "specs/001-\x1b: its name contains control or invisible characters"},
            (
                "specify completed, but its feature folder cannot be used. "
                "specs/001-\\x1b: its name contains control or invisible characters."
            ),
        ),
        (
            {"files": {".specify/feature.json": '{"feature_directory": ".git/hooks"}'}},
            "specify completed, but its feature folder cannot be used. .git/hooks: it is in a .git folder.",
        ),
    ],
    ids=["nothing", "refused in the container", "a forged report"],
)
def test_a_turn_without_a_usable_feature_names_the_reason(
    appliance: ApplianceUnderTest, said: dict[str, Any], message: str
) -> None:
    """With the agent's last message, and one turn spent."""
    appliance.agent.acts[SPECIFY] = [says(**said, message="Shall I begin?")]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, FailureCode.PHASE_OUTPUT_MISSING.value)
    assert run.result_summary == f"{message} The agent said: Shall I begin?"
    assert appliance.agent.turns == [SPECIFY]


def test_a_repeated_specify_begins_with_a_new_clone(appliance: ApplianceUnderTest) -> None:
    """Files of an interrupted attempt could be mistaken for the feature of this one."""
    appliance.agent.acts[SPECIFY] = [says(verdict="quota")]
    run = appliance.run()
    assert appliance.git_verbs == ["clone"]
    appliance.work(1)
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.git_verbs == ["clone", "clone", "stage", "push"]
