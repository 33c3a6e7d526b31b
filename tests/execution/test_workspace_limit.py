"""A run that uses too much disk ends with its own code, leaves nothing large, and can be retried."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from moonmind_appliance.agents.adapter import LoginFacts
from moonmind_appliance.errors import EngineError, EngineUnreachable
from moonmind_appliance.execution.executor import Executor
from moonmind_appliance.models import LoginState, PhaseName, RunStatus
from moonmind_appliance.models.container_paths import LOGIN_FOLDER
from moonmind_appliance.phases.workspace_watch import Measured, WorkspaceWatch
from moonmind_appliance.runs.retry import retry_run
from tests.appliance_under_test import BEAT, SMALL, ApplianceUnderTest, ends
from tests.containers.fake import FakeEngine
from tests.containers.fake_exec import FakeExec
from tests.fakes import ANN
from tests.in_container.sent import job_of, program_of

SPECIFY, PLAN, TASKS = PhaseName.SPECKIT_SPECIFY, PhaseName.SPECKIT_PLAN, PhaseName.SPECKIT_TASKS
TOO_LARGE = SMALL | {"bytes": 11 * 1024**3}
LARGE = SMALL | {"bytes": 2 * 1024**3}


class Disk:
    """The measuring program's result for each folder."""

    def __init__(self) -> None:
        self.workspace: dict[str, int] = SMALL
        self.login: dict[str, int] = SMALL

    def answer(self, process: FakeExec) -> int:
        folders = job_of(process.spec)["folders"]
        said = self.workspace if "/work/runs" in folders else self.login
        process.stdout.write(json.dumps(said).encode() + b"\n")
        return 0

    def fills(self, **sizes: dict[str, int]) -> Callable[[FakeExec], dict[str, Any]]:
        """A turn that fills a folder, and then continues for a long time."""

        def act(process: FakeExec) -> dict[str, Any]:
            for place, size in sizes.items():
                setattr(self, place, size)
            process.sleep(30)
            return {}

        return act

    def leaves(self, size: dict[str, int], **said: Any) -> Callable[[FakeExec], dict[str, Any]]:
        """A turn that ends right after it has filled the workspace."""

        def act(_: FakeExec) -> dict[str, Any]:
            self.workspace = size
            return said

        return act


@pytest.fixture
def disk(appliance: ApplianceUnderTest) -> Disk:
    made = Disk()
    appliance.engine.on_exec(lambda _, spec: program_of(spec) == "workspace_size", made.answer)
    appliance.workspace_size = lambda: made.workspace
    appliance.executor = Executor(appliance.resources, beat=BEAT, measure_every=0.02)
    return made


@pytest.mark.parametrize(
    "filled",
    [
        {"workspace": TOO_LARGE},
        {"workspace": SMALL | {"files": 1_000_001}},
        {"workspace": SMALL | {"hidden": 1}},
        {"login": SMALL | {"bytes": 2 * 1024**3}},
        {"login": SMALL | {"files": 100_001}},
    ],
    ids=str,
)
def test_the_turn_is_ended_at_once(
    appliance: ApplianceUnderTest, disk: Disk, filled: dict[str, dict[str, int]]
) -> None:
    """With the code `workspace_too_large`; no container is left."""
    appliance.agent.acts[PLAN] = [disk.fills(**filled)]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, "workspace_too_large")
    assert appliance.containers() == []


@pytest.mark.parametrize("said", [{}, {"exit_code": 1}])
def test_what_is_too_large_is_found_when_the_turn_is_over(
    appliance: ApplianceUnderTest, disk: Disk, said: dict[str, Any]
) -> None:
    """The limit was exceeded between two measurements: nothing is pushed."""
    appliance.executor = Executor(appliance.resources, beat=BEAT)
    appliance.agent.acts[TASKS] = [disk.leaves(TOO_LARGE, **said)]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, "workspace_too_large")
    assert "push" not in appliance.git_verbs
    assert [name for name in appliance.engine.volume_data if run.run_id in name] == []


@pytest.mark.parametrize("large", [{"workspace": TOO_LARGE}, {"login": SMALL | {"bytes": 2 * 1024**3}}], ids=str)
def test_what_is_too_large_is_found_before_a_run_waits_for_a_login(
    appliance: ApplianceUnderTest, disk: Disk, large: dict[str, dict[str, int]]
) -> None:
    """A turn fills the disk and damages its login: otherwise the run would wait for a sign-in with all its files."""
    appliance.executor = Executor(appliance.resources, beat=BEAT)

    def fills_and_spoils(process: FakeExec) -> dict[str, Any]:
        for place, size in large.items():
            setattr(disk, place, size)
        process.write_file(f"{LOGIN_FOLDER}/auth.json", b"spoilt")
        return {"login": "another digest"}

    def facts(login_file: bytes) -> LoginFacts:
        return LoginFacts(usable=login_file != b"spoilt", email="ann@example.invalid")

    appliance.agent.login_facts = facts  # type: ignore[method-assign]
    appliance.agent.acts[SPECIFY] = [fills_and_spoils]
    run = appliance.run(shard=0)
    assert ends(run) == (RunStatus.FAILED, "workspace_too_large")
    assert appliance.store.shards.get(0).login is LoginState.DEAD


@pytest.mark.parametrize(("size", "kept"), [(LARGE, 0), (SMALL, 2)])
def test_a_large_workspace_goes_when_the_run_ends(
    appliance: ApplianceUnderTest, disk: Disk, size: dict[str, int], kept: int
) -> None:
    """Also that of a successful run; a small one is kept for its retention time."""
    appliance.agent.acts[TASKS] = [disk.leaves(size)]
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    assert len([name for name in appliance.engine.volume_data if run.run_id in name]) == kept
    assert run.phase(PhaseName.CLEANUP).metadata["workspace_bytes"] == size["bytes"]


@pytest.mark.parametrize("verb", ["clone", "push"])
def test_git_that_fetches_too_much_is_ended(appliance: ApplianceUnderTest, disk: Disk, verb: str) -> None:
    """The clone, and before a push the new history of a rewritten base branch; it is not a lost container."""
    appliance.git_acts[verb] = [disk.fills(workspace=TOO_LARGE)]
    run = appliance.run()
    assert ends(run) == (RunStatus.FAILED, "workspace_too_large")
    assert appliance.github.branches(appliance.slug) == {"main"}


def test_a_retry_begins_at_the_clone(appliance: ApplianceUnderTest, disk: Disk) -> None:
    """The workspace is gone; the run's id and branch stay."""
    appliance.agent.acts[PLAN] = [disk.fills(workspace=TOO_LARGE)]
    run = appliance.run()
    disk.workspace = SMALL
    retry_run(appliance.resources, ANN, run.run_id)
    appliance.work()
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
    assert appliance.git_verbs.count("clone") == 2


def test_a_full_disk_is_waited_for(appliance: ApplianceUnderTest, disk: Disk) -> None:
    """The run's containers are removed, and with them open files without a name; it continues later."""
    appliance.agent.acts[PLAN] = [disk.fills(workspace=SMALL | {"free_bytes": 0})]
    appliance.after(min_free_disk=2)
    appliance.executor = Executor(appliance.executor._resources, beat=BEAT, measure_every=0.02)
    run = appliance.run()
    assert run.status is RunStatus.QUEUED
    assert run.waiting_for is not None
    assert run.waiting_for.reason.value == "disk"
    assert appliance.containers() == []


def test_a_log_is_cut(appliance: ApplianceUnderTest) -> None:
    """At MAX_LOG_BYTES, which its last line reports; the turn is read to its end."""
    appliance.after(max_log_bytes=2000)

    def talks(process: FakeExec) -> dict[str, Any]:
        for _ in range(100):
            process.stdout.write(b"x" * 99 + b"\n")
        return {}

    appliance.agent.acts[PLAN] = [talks]
    run = appliance.run()
    assert ends(run) == (RunStatus.SUCCEEDED, None)
    (log,) = (a for a in appliance.store.artifacts.list(run.run_id) if a.name == "speckit_plan.stdout.jsonl")
    content = appliance.resources.files.path(log.storage_path).read_bytes()
    assert len(content) < 2100
    assert content.splitlines()[-1] == b"[moonmind: cut here, as the log has more than 2000 bytes (MAX_LOG_BYTES)]"


def test_all_logs_of_a_run_together_are_limited(appliance: ApplianceUnderTest) -> None:
    """At MAX_RUN_LOG_BYTES, over all attempts: the second attempt's logs are cut, and say so."""
    appliance.after(max_run_log_bytes=8000)

    def talks(process: FakeExec) -> dict[str, Any]:
        for _ in range(60):
            process.stdout.write(b"x" * 99 + b"\n")
            process.stderr.write(b"y" * 9 + b"\n")
        return {"verdict": "failed"}

    appliance.agent.acts[PLAN] = [talks, talks]
    run = appliance.run()
    retry_run(appliance.resources, ANN, run.run_id)
    appliance.work()
    logs = {a.name: a for a in appliance.store.artifacts.list(run.run_id) if a.name.endswith((".jsonl", ".log"))}
    assert sum(log.size_bytes for log in logs.values()) < 8000 + 200 * len(logs)
    second = appliance.resources.files.path(logs["speckit_plan.attempt-2.stdout.jsonl"].storage_path).read_bytes()
    cut = b"[moonmind: cut here, as the run's logs have more than 8000 bytes (MAX_RUN_LOG_BYTES)]"
    assert second.splitlines()[-1] == cut


@pytest.mark.parametrize("error", [EngineUnreachable("no engine"), EngineError("cannot exec")])
def test_only_an_engine_that_answers_makes_a_workspace_too_large(error: EngineError) -> None:
    """An engine that is away says nothing about it; a measurement that an agent can prevent counts as too much."""
    engine = FakeEngine()
    engine.fail(error, method="execute", times=3)
    measured = [Measured("git", ["/work"], 1, 1, "the workspace")]
    watch = WorkspaceWatch(engine, measured, ends="agent", every=60)
    for _ in range(3):
        watch.measure_now()
    assert (watch.failure is None) == isinstance(error, EngineUnreachable)
