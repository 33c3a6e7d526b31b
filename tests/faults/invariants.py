"""What must be true when everything has ended. Pure: from collected facts to the list of what is not true."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

FINAL = frozenset({"succeeded", "failed", "no_changes", "cancelled"})
_PHASE_ENDS = frozenset({"succeeded", "failed", "skipped", "retrying"})
_TEMPORARY = re.compile(r"(^\.|\.part$|\.tmp$|~$)")


class Violation(NamedTuple):
    """One thing that is not true: the invariant's name, what it is about, and what was found."""

    invariant: str
    subject: str
    found: str


class RunRow(NamedTuple):
    """A stored run."""

    run_id: str
    status: str
    failure: str | None
    branch: str | None
    pull_request: str | None
    dry_run: bool


class EventRow(NamedTuple):
    """A stored event."""

    event_id: int
    kind: str
    run_id: str | None
    data: Mapping[str, Any]


class ArtifactRow(NamedTuple):
    """An artifact's row."""

    run_id: str
    path: str
    size: int
    sha256: str


class FileOnDisk(NamedTuple):
    """A file of an artifact as it is on disk."""

    size: int
    sha256: str


class Pull(NamedTuple):
    """A pull request on GitHub; `commits` are those that its base does not have."""

    repository: str
    branch: str
    url: str
    commits: int


@dataclass
class Facts:
    """What was found.

    Attributes:
        accepted: the ids of the runs that a caller got a 202 for, and the statuses with which each may end.
        runs: all stored runs.
        events: all stored events, in order.
        pulls: all pull requests.
        branches: `repository branch` of every pushed branch except base branches.
        artifacts: all artifact rows.
        phase_logs: paths of the logs of phases that succeeded, by run id.
        files: the files of artifacts on disk by path in the data folder.
        removed: ids of runs whose retention time is over; they may have nothing any more.
        other_files: other files in the data folder.
        left_in_docker: containers, volumes and networks that should not exist.
        secrets: where a known secret was found.
        database: what SQLite's own checks report.
        logins: the state of each shard's login.
    """

    accepted: dict[str, Collection[str]] = field(default_factory=dict)
    runs: list[RunRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    pulls: list[Pull] = field(default_factory=list)
    branches: list[str] = field(default_factory=list)
    artifacts: list[ArtifactRow] = field(default_factory=list)
    phase_logs: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, FileOnDisk] = field(default_factory=dict)
    removed: Collection[str] = ()
    other_files: list[str] = field(default_factory=list)
    left_in_docker: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    database: list[str] = field(default_factory=list)
    logins: dict[int, str] = field(default_factory=dict)


def violations(facts: Facts) -> list[Violation]:
    """Everything that is not true, by invariant."""
    return [Violation(name, subject, found) for name, check in INVARIANTS.items() for subject, found in check(facts)]


_Found = Iterator[tuple[str, str]]


def _lost_runs(facts: Facts) -> _Found:
    stored = {run.run_id for run in facts.runs}
    for run_id in facts.accepted.keys() - stored:
        yield run_id, "was accepted and is not stored"
    for run_id in stored - facts.accepted.keys():
        yield run_id, "is stored, and no caller got its id"


def _runs_that_did_not_end(facts: Facts) -> _Found:
    for run in facts.runs:
        if run.status not in FINAL:
            yield run.run_id, f"is still {run.status}"


def _wrong_ends(facts: Facts) -> _Found:
    for run in facts.runs:
        allowed = facts.accepted.get(run.run_id)
        if allowed is not None and run.status in FINAL and run.status not in allowed:
            why = f" ({run.failure})" if run.failure else ""
            yield run.run_id, f"ended {run.status}{why}, not {' or '.join(sorted(allowed))}"


def _pull_requests(facts: Facts) -> _Found:
    of_branch = Counter((pull.repository, pull.branch) for pull in facts.pulls)
    for (repository, branch), count in of_branch.items():
        if count > 1:
            yield f"{repository} {branch}", f"has {count} pull requests"
    for pull in facts.pulls:
        if pull.commits != 1:
            yield f"{pull.repository} {pull.branch}", f"has {pull.commits} commits"
    urls = {pull.url for pull in facts.pulls}
    named = Counter(run.pull_request for run in facts.runs if run.pull_request)
    for run in facts.runs:
        if run.status == "succeeded" and not run.dry_run and run.pull_request not in urls:
            yield run.run_id, f"succeeded, and its pull request does not exist: {run.pull_request}"
        if run.dry_run and run.pull_request:
            yield run.run_id, "is a dry run and has a pull request"
    for url, count in named.items():
        if count > 1:
            yield url, f"belongs to {count} runs"


def _pull_requests_without_a_run(facts: Facts) -> _Found:
    named = {run.pull_request for run in facts.runs}
    cancelled = {run.branch for run in facts.runs if run.status == "cancelled"}
    short_ids = {run.run_id[:8] for run in facts.runs if run.status == "cancelled"}
    for pull in facts.pulls:
        # A cancel may come between GitHub's answer and its record.
        known = pull.branch in cancelled or pull.branch.rpartition("/")[2] in short_ids
        if pull.url not in named and not known:
            yield pull.url, "belongs to no run"


def _artifact_rows(facts: Facts) -> _Found:
    for row in facts.artifacts:
        if row.run_id in facts.removed:
            continue
        file = facts.files.get(row.path)
        if file is None:
            yield row.path, "has a row and no file"
        elif (file.size, file.sha256) != (row.size, row.sha256):
            yield (
                row.path,
                f"its row says {row.size} bytes {row.sha256[:8]}; the file has {file.size} {file.sha256[:8]}",
            )


def _artifact_files(facts: Facts) -> _Found:
    with_row = {row.path for row in facts.artifacts}
    for path in facts.files:
        if _TEMPORARY.search(path.rpartition("/")[2]):
            yield path, "is a temporary file"
        elif path not in with_row:
            yield path, "has no row"
    for path in facts.other_files:
        if _TEMPORARY.search(path.rpartition("/")[2]):
            yield path, "is a temporary file"


def _logs_of_phases(facts: Facts) -> _Found:
    with_row = {row.path for row in facts.artifacts}
    for run_id, paths in facts.phase_logs.items():
        if run_id not in facts.removed:
            for path in paths:
                if path not in with_row:
                    yield path, "is the log of a phase that succeeded, and has no row"


def _events(facts: Facts) -> _Found:
    running: dict[tuple[str, str], bool] = {}
    ends: Counter[str] = Counter()
    for event in facts.events:
        if event.run_id is None:
            continue
        kind, _, what = event.kind.partition(".")
        if kind == "phase":
            key = (event.run_id, str(event.data.get("phase")))
            if what == "running" and running.get(key):
                yield event.run_id, f"{key[1]} starts twice without an end between (event {event.event_id})"
            running[key] = what == "running" or (running.get(key, False) and what not in _PHASE_ENDS)
        elif kind == "run" and what in FINAL:
            ends[event.run_id] += 1
        elif event.kind == "run.retried":
            ends[event.run_id] -= 1
    final = {run.run_id for run in facts.runs if run.status in FINAL}
    for (run_id, phase), is_running in running.items():
        if is_running and run_id in final:
            yield run_id, f"{phase} has a start and no end"
    for run_id in final:
        if ends[run_id] != 1:
            yield run_id, f"has {ends[run_id]} events of its end"


def _texts(name: str) -> Callable[[Facts], _Found]:
    def check(facts: Facts) -> _Found:
        entries: Iterable[str] = getattr(facts, name)
        for entry in entries:
            yield entry, "was found"

    return check


def _logins(facts: Facts) -> _Found:
    for shard, state in facts.logins.items():
        if state != "present":
            yield f"shard {shard}", f"its login is {state}"


INVARIANTS: dict[str, Callable[[Facts], _Found]] = {
    "no run is lost": _lost_runs,
    "every run ends": _runs_that_did_not_end,
    "runs end as they should": _wrong_ends,
    "one pull request for each run, with one commit": _pull_requests,
    "each pull request belongs to a run": _pull_requests_without_a_run,
    "artifact rows are true": _artifact_rows,
    "artifact files have rows": _artifact_files,
    "logs of finished phases are kept": _logs_of_phases,
    "events are consistent": _events,
    "nothing is left in Docker": _texts("left_in_docker"),
    "no secret in any file": _texts("secrets"),
    "the database is sound": _texts("database"),
    "logins still work": _logins,
}
