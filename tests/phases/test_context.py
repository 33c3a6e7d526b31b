"""The values that a phase derives from its run."""

import pytest

from moonmind_appliance.errors import StoreError
from moonmind_appliance.models import (
    ArtifactType,
    CommittedChange,
    Phase,
    PhaseName,
    PhaseOutput,
    PhaseStatus,
    PreparedJob,
)
from tests.phases.contexts import make_context


def done(name: PhaseName, output: PhaseOutput) -> Phase:
    return Phase(phase=name, status=PhaseStatus.SUCCEEDED, output=output)


def test_the_branch_has_the_date_of_acceptance_and_the_short_id() -> None:
    """It never changes, so that a retry finds the branch of an earlier attempt."""
    assert make_context().branch == "speckit/20260301/0f3a9c1e"


def test_the_branch_begins_with_the_operators_prefix() -> None:
    """Until the commit: afterwards a changed setting does not change the branch."""
    settings = {"branch_prefix": "bot/specs"}
    assert make_context(settings=settings).branch == "bot/specs/20260301/0f3a9c1e"
    committed = done(PhaseName.COMMIT_PUSH, CommittedChange(dry_run=False, branch="speckit/20260301/0f3a9c1e"))
    assert make_context(settings=settings, run={"phases": [committed]}).branch == "speckit/20260301/0f3a9c1e"
    # Committed by a version that did not record the branch.
    older = done(PhaseName.COMMIT_PUSH, CommittedChange(dry_run=False))
    run = {"phases": [older], "branch_name": "speckit/20260301/0f3a9c1e"}
    assert make_context(settings=settings, run=run).branch == "speckit/20260301/0f3a9c1e"


@pytest.mark.parametrize(
    ("submitted", "setting", "committed", "dry"),
    [
        (False, False, None, False),
        (True, False, None, True),
        (False, True, None, True),
        (False, True, False, False),
        (True, False, True, True),
        (False, False, True, True),
    ],
)
def test_a_dry_run_is_fixed_with_the_commit(
    *, submitted: bool, setting: bool, committed: bool | None, dry: bool
) -> None:
    """Before, the request and SPEC_WORKFLOW_TEST_MODE decide; afterwards, what was done."""
    phases = [] if committed is None else [done(PhaseName.COMMIT_PUSH, CommittedChange(dry_run=committed))]
    context = make_context(settings={"spec_workflow_test_mode": setting}, run={"dry_run": submitted, "phases": phases})
    assert context.dry_run is dry


def test_the_repository_has_its_current_name() -> None:
    """GitHub reports the new name of a renamed repository."""
    assert make_context().slug == "acme/shop"
    renamed = make_context(run={"phases": [done(PhaseName.PREPARE_JOB, PreparedJob("acme/store"))]})
    assert renamed.slug == "acme/store"
    assert renamed.clone_url() == f"{renamed.settings.github_server_url}/acme/store.git"


def test_an_output_that_is_missing_is_an_error() -> None:
    """It names the run and the phase."""
    context = make_context()
    with pytest.raises(StoreError, match="speckit_specify is missing"):
        _ = context.feature
    with pytest.raises(StoreError, match="commit_push is missing"):
        _ = context.committed


def test_the_logs_are_closed_after_an_error() -> None:
    """Otherwise their last bytes would be lost."""
    closed: list[str] = []

    class Sink:
        def __init__(self, name: str) -> None:
            self.storage_path = name

        def write(self, data: bytes, /) -> None:
            """Nothing is written here."""

        def close(self) -> None:
            closed.append(self.storage_path)

    class Artifacts:
        def log(self, phase: PhaseName, attempt: int, artifact_type: ArtifactType) -> Sink:
            return Sink(f"{phase.value}.{attempt}.{artifact_type.value}")

    context = make_context(artifacts=Artifacts(), attempt=2)
    with pytest.raises(ZeroDivisionError), context.logs(PhaseName.GIT_CLONE):
        _ = 1 / 0
    assert closed == ["git_clone.2.stdout_log", "git_clone.2.stderr_log"]
