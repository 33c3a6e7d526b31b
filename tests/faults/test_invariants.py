"""Each invariant finds the violation that it is named after; without one, nothing is found."""

from collections.abc import Callable

import pytest

from tests.faults.invariants import (
    INVARIANTS,
    ArtifactRow,
    EventRow,
    Facts,
    FileOnDisk,
    Pull,
    RunRow,
    violations,
)

LOG = "runs/one/artifacts/git_clone.stdout.log"


def event(number: int, kind: str, run_id: str = "one", **data: object) -> EventRow:
    return EventRow(number, kind, run_id, data)


def good() -> Facts:
    """One run that succeeded after an interruption, and one that was cancelled in the queue."""
    return Facts(
        accepted={"one": {"succeeded"}, "two": {"succeeded", "cancelled"}},
        runs=[
            RunRow("one", "succeeded", None, "speckit/1/one", "http://github/acme/shop/pull/1", dry_run=False),
            RunRow("two", "cancelled", None, None, None, dry_run=False),
        ],
        events=[
            event(1, "run.queued"),
            event(2, "phase.running", phase="git_clone"),
            event(3, "phase.retrying", phase="git_clone"),
            event(4, "phase.running", phase="git_clone"),
            event(5, "phase.succeeded", phase="git_clone"),
            event(6, "run.succeeded"),
            event(7, "run.cancelled", "two"),
            EventRow(8, "shard.signed_in", None, {}),
        ],
        pulls=[Pull("acme/shop", "speckit/1/one", "http://github/acme/shop/pull/1", 1)],
        artifacts=[ArtifactRow("one", LOG, 8, "abc")],
        phase_logs={"one": [LOG]},
        files={LOG: FileOnDisk(8, "abc")},
        other_files=["appliance.db", "huey.db", "serve.lock"],
        logins={0: "present"},
    )


def found(facts: Facts) -> set[str]:
    return {each.invariant for each in violations(facts)}


def test_nothing_is_found_where_everything_is_true() -> None:
    """Also with a run that was interrupted, and one that was cancelled before it began."""
    assert violations(good()) == []


def _lost(facts: Facts) -> None:
    facts.accepted["three"] = {"succeeded"}


def _unknown(facts: Facts) -> None:
    del facts.accepted["two"]


def _open(facts: Facts) -> None:
    facts.runs[0] = facts.runs[0]._replace(status="in_progress")


def _failed(facts: Facts) -> None:
    facts.runs[0] = facts.runs[0]._replace(status="failed", failure="internal_error")
    facts.events[5] = event(6, "run.failed")


def _second_pull_request(facts: Facts) -> None:
    facts.pulls.append(facts.pulls[0]._replace(url="http://github/acme/shop/pull/2"))


def _second_commit(facts: Facts) -> None:
    facts.pulls[0] = facts.pulls[0]._replace(commits=2)


def _missing_pull_request(facts: Facts) -> None:
    facts.pulls.clear()


def _foreign_pull_request(facts: Facts) -> None:
    facts.pulls.append(Pull("acme/shop", "other", "http://github/acme/shop/pull/9", 1))


def _untrue_row(facts: Facts) -> None:
    facts.artifacts[0] = facts.artifacts[0]._replace(size=0, sha256="")


def _row_without_file(facts: Facts) -> None:
    facts.files.clear()


def _file_without_row(facts: Facts) -> None:
    facts.files["runs/one/artifacts/unknown.json"] = FileOnDisk(2, "cd")


def _temporary_file(facts: Facts) -> None:
    facts.other_files.append("backups/.appliance.db.17.part")


def _missing_log(facts: Facts) -> None:
    facts.artifacts.clear()
    facts.files.clear()


def _phase_without_end(facts: Facts) -> None:
    del facts.events[4]


def _phase_starts_twice(facts: Facts) -> None:
    del facts.events[2]


def _two_ends(facts: Facts) -> None:
    facts.events.append(event(9, "run.succeeded"))


def _container(facts: Facts) -> None:
    facts.left_in_docker.append("container moonmind-git-one")


def _secret(facts: Facts) -> None:
    facts.secrets.append("the GitHub token in serve.log")


def _damaged(facts: Facts) -> None:
    facts.database.append("row 3 missing from index runs_newest")


def _dead_login(facts: Facts) -> None:
    facts.logins[0] = "dead"


@pytest.mark.parametrize(
    ("plant", "invariant"),
    [
        (_lost, "no run is lost"),
        (_unknown, "no run is lost"),
        (_open, "every run ends"),
        (_failed, "runs end as they should"),
        (_second_pull_request, "one pull request for each run, with one commit"),
        (_second_commit, "one pull request for each run, with one commit"),
        (_missing_pull_request, "one pull request for each run, with one commit"),
        (_foreign_pull_request, "each pull request belongs to a run"),
        (_untrue_row, "artifact rows are true"),
        (_row_without_file, "artifact rows are true"),
        (_file_without_row, "artifact files have rows"),
        (_temporary_file, "artifact files have rows"),
        (_missing_log, "logs of finished phases are kept"),
        (_phase_without_end, "events are consistent"),
        (_phase_starts_twice, "events are consistent"),
        (_two_ends, "events are consistent"),
        (_container, "nothing is left in Docker"),
        (_secret, "no secret in any file"),
        (_damaged, "the database is sound"),
        (_dead_login, "logins still work"),
    ],
)
def test_a_violation_is_found(plant: Callable[[Facts], None], invariant: str) -> None:
    """By the invariant that is named after it."""
    facts = good()
    plant(facts)
    assert invariant in found(facts)


def test_every_invariant_has_a_violation_in_these_tests() -> None:
    """An invariant that cannot fail proves nothing."""
    planted = {mark.args[1][number][1] for mark in _marks() for number in range(len(mark.args[1]))}
    assert planted == set(INVARIANTS)


def _marks() -> list[pytest.Mark]:
    return [mark for mark in test_a_violation_is_found.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]


def test_what_retention_removed_is_not_missed() -> None:
    """Rows and logs of a run whose retention time is over."""
    facts = good()
    facts.files.clear()
    facts.removed = {"one"}
    assert violations(facts) == []
