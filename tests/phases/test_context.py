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


def test_a_repository_that_is_not_known_by_its_number_has_no_cache() -> None:
    """The number of a run that an older version prepared is unknown, and 0 bytes turn caches off."""
    known = done(PhaseName.PREPARE_JOB, PreparedJob("acme/shop", 7))
    older = done(PhaseName.PREPARE_JOB, PreparedJob("acme/shop"))
    volume = make_context(run={"phases": [known]}).cache_volume
    assert str(volume).startswith("moonmind-cache-")
    assert make_context(run={"phases": [known], "repository": "Acme/Shop"}).cache_volume == volume
    assert make_context(run={"phases": [older]}).cache_volume is None
    assert make_context().cache_volume is None
    assert make_context(run={"phases": [known]}, settings={"repository_cache_bytes": 0}).cache_volume is None


def test_an_output_that_is_missing_is_an_error() -> None:
    """It names the run and the phase."""
    context = make_context()
    with pytest.raises(StoreError, match="speckit_specify is missing"):
        _ = context.feature
    with pytest.raises(StoreError, match="commit_push is missing"):
        _ = context.committed


class Sink:
    """A log that records that it was closed."""

    def __init__(self, name: str, closed: list[str], fails: str) -> None:
        self.storage_path, self._closed, self._fails = name, closed, fails

    def write(self, data: bytes, /) -> None:
        """Nothing is written here."""

    def close(self) -> None:
        self._closed.append(self.storage_path)
        if self._fails == "close":
            raise StoreError("no space left on the disk")


class Sinks:
    """An `ArtifactRecorder` whose logs fail to be closed, or whose second log cannot be made."""

    def __init__(self, fails: str = "") -> None:
        self.closed: list[str] = []
        self._fails = fails

    def log(self, phase: PhaseName, attempt: int, artifact_type: ArtifactType) -> Sink:
        if self._fails == "second" and artifact_type is ArtifactType.STDERR_LOG:
            raise StoreError("no space left on the disk")
        return Sink(f"{phase.value}.{attempt}.{artifact_type.value}", self.closed, self._fails)


def test_the_logs_are_closed_after_an_error() -> None:
    """Otherwise their last bytes would be lost."""
    sinks = Sinks()
    context = make_context(artifacts=sinks, attempt=2)
    with pytest.raises(ZeroDivisionError), context.logs(PhaseName.GIT_CLONE):
        _ = 1 / 0
    assert sorted(sinks.closed) == ["git_clone.2.stderr_log", "git_clone.2.stdout_log"]


@pytest.mark.parametrize(("fails", "closed"), [("close", 2), ("second", 1)])
def test_each_open_log_is_closed_on_a_full_disk(fails: str, closed: int) -> None:
    """Also if the other one cannot be closed, or cannot be made: otherwise its file would stay open."""
    sinks = Sinks(fails)
    with pytest.raises(StoreError, match="no space left"), make_context(artifacts=sinks).logs(PhaseName.GIT_CLONE):
        pass
    assert len(sinks.closed) == closed
