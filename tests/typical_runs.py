"""Runs with the rows that a real one leaves in the database.

The sequence of writes, and the values with their lengths, are those of a run of `moonmind-appliance rehearse`: 52
events, 16 artifacts, and what each phase stores.
"""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from moonmind_appliance.models import (
    PHASE_ORDER,
    Actor,
    AgentInfo,
    Artifact,
    ArtifactType,
    Phase,
    PhaseName,
    PhaseStatus,
    Run,
    RunStatus,
)
from moonmind_appliance.models.phase_output import (
    AgentTurn,
    CommittedChange,
    OpenedPullRequest,
    PhaseOutput,
    PreparedJob,
    SpecifyTurn,
    SpecKitChoice,
    StartedContainers,
    WrittenFeature,
)
from moonmind_appliance.store import Store

AT_ONCE = 3
_LEASE_SECONDS = 3600
_TURNS = (PhaseName.SPECKIT_SPECIFY, PhaseName.SPECKIT_PLAN, PhaseName.SPECKIT_TASKS)
_WITH_LOGS = (PhaseName.GIT_CLONE, *_TURNS, PhaseName.COMMIT_PUSH)
_ASSUMPTIONS = (
    "- Users reach the feature in the same way as existing features.\n"
    "- Existing behaviour does not change unless a requirement above changes it."
)
_USAGE = {
    "input_tokens": 62298,
    "cached_input_tokens": 21201,
    "cache_write_input_tokens": 0,
    "output_tokens": 941,
    "reasoning_output_tokens": 0,
}


def store_runs(store: Store, count: int) -> list[str]:
    """Store that many ended runs, three at a time; returns their ids."""
    ids: list[str] = []
    running: list[Iterator[bool]] = []
    while len(ids) < count or running:
        if len(ids) < count and len(running) < AT_ONCE:
            ids.append(str(uuid.uuid4()))
            running.append(_writes(store, ids[-1], len(ids)))
        running = [steps for steps in running if next(steps, False)]
    return ids


def not_durable(store: Store) -> None:
    """Do not wait for the disk at each commit, in this thread."""
    with store.database.read() as connection:
        pass
    connection.execute("PRAGMA synchronous = OFF")


def remove_what_expires(store: Store, run_ids: list[str]) -> None:
    """Remove their artifacts and events, as retention does after days and months."""
    store.retention.remove_artifacts(run_ids)
    before, after, removed = datetime.now(UTC) + timedelta(days=1), 0, 1
    while removed:
        removed, after = store.retention.remove_events(before, after=after)


def _writes(store: Store, run_id: str, number: int) -> Iterator[bool]:
    """One transaction of the run at each step."""
    run = Run(
        run_id=run_id,
        repository="rehearsal/reading-list",
        specify_text=f"# Wish {number}\n\n- Goal: wish number {number} comes true\n",
        accepted_at=datetime.now(UTC),
        created_by=Actor("local:served-35697", "served-35697", operator=True),
    )
    store.runs.insert(run)
    yield True
    lease = f"lease {run_id}"
    claimed = store.queue.claim(number % AT_ONCE, lease, now=datetime.now(UTC), lease_seconds=_LEASE_SECONDS)
    assert claimed is not None
    assert claimed.run_id == run_id
    yield True
    branch = f"speckit/20261127/{run_id[:8]}"
    results = _results(run_id, branch, f"specs/001-wish-{number}", number)
    for name in PHASE_ORDER:
        started = datetime.now(UTC)
        phase = Phase(phase=name, status=PhaseStatus.RUNNING, attempt=1, started_at=started)
        store.progress.save_phase(run_id, lease, phase)
        yield True
        for artifact_type, file in _files(name):
            _save(store, run_id, name, artifact_type, file)
            yield True
        if name is PhaseName.PREPARE_JOB:
            agent = AgentInfo("codex", "0.169.0", "spec-kit 1.2.3, unattended 1")
            store.progress.update(run_id, lease, agent=agent)
        elif name is PhaseName.SPECKIT_SPECIFY:
            store.progress.update(run_id, lease, clarifications=[])
        elif name in {PhaseName.GIT_CLONE, PhaseName.COMMIT_PUSH}:
            store.progress.update(run_id, lease, branch_name=branch)
        elif name is PhaseName.OPEN_PR:
            store.progress.update(run_id, lease, pull_request_url=_pull_request(number))
        yield True
        metadata, output = results[name]
        logs = f"runs/{run_id}/artifacts/{name}"
        has_logs = name in _WITH_LOGS
        phase = Phase(
            phase=name,
            status=PhaseStatus.SUCCEEDED,
            attempt=1,
            started_at=started,
            completed_at=datetime.now(UTC),
            stdout_path=f"{logs}.{_stdout(name)}" if has_logs else None,
            stderr_path=f"{logs}.stderr.log" if has_logs else None,
            metadata=metadata,
            output=output,
        )
        store.progress.save_phase(run_id, lease, phase)
        yield True
    _save(store, run_id, PhaseName.CLEANUP, ArtifactType.METRICS_SNAPSHOT, "metrics.json")
    yield True
    store.artifacts.expire_at(run_id, datetime.now(UTC) + timedelta(days=7))
    store.progress.finish(
        run_id,
        lease,
        RunStatus.SUCCEEDED,
        now=datetime.now(UTC),
        result_summary=f"Pull request {_pull_request(number)} (opened as a draft).",
        failure=None,
    )


def _pull_request(number: int) -> str:
    return f"http://172.18.0.1:37561/rehearsal/reading-list/pull/{number}"


def _stdout(name: PhaseName) -> str:
    return "stdout.jsonl" if name in _TURNS else "stdout.log"


def _files(name: PhaseName) -> Iterator[tuple[ArtifactType, str]]:
    """What a phase saves, in order. The record of a log is written when it begins and when it ends."""
    if name is PhaseName.PREPARE_JOB:
        yield ArtifactType.ENVIRONMENT_INFO, "environment_info.json"
    if name not in _WITH_LOGS:
        return
    logs = ((ArtifactType.STDOUT_LOG, f"{name}.{_stdout(name)}"), (ArtifactType.STDERR_LOG, f"{name}.stderr.log"))
    yield from logs
    if name is PhaseName.COMMIT_PUSH:
        yield ArtifactType.CREDENTIAL_AUDIT, "credential_audit.json"
        yield ArtifactType.DIFF_SUMMARY, "diff_summary.md"
        yield ArtifactType.DIFF_SUMMARY, "change.patch"
        yield ArtifactType.COMMIT_STATUS, "commit_status.json"
    yield from logs


def _save(store: Store, run_id: str, phase: PhaseName, artifact_type: ArtifactType, name: str) -> None:
    store.artifacts.save(
        Artifact(
            artifact_id=str(uuid.uuid4()),
            run_id=run_id,
            name=name,
            artifact_type=artifact_type,
            storage_path=f"runs/{run_id}/artifacts/{name}",
            content_type="text/plain; charset=utf-8",
            size_bytes=2641,
            sha256=_hex(64),
            source_phase=phase,
            created_at=datetime.now(UTC),
        )
    )


def _hex(digits: int) -> str:
    return hashlib.sha256(uuid.uuid4().bytes).hexdigest()[:digits]


def _turn(what: str, path: str, title: str) -> dict[str, Any]:
    return {
        "turn": {
            "verdict": "completed",
            "message": f"The {what} of \u201c{title}\u201d is in {path}.",
            "thread_id": str(uuid.uuid4()),
            "usage": _USAGE,
            "quota": [
                {"used_percent": 14.0, "window_minutes": 300, "resets_at": "2026-11-27T15:01:00Z"},
                {"used_percent": 2.8, "window_minutes": 10080, "resets_at": "2026-12-01T14:01:00Z"},
            ],
            "resets_at": None,
            "limit": None,
            "advice": "",
        },
        "seconds": 3.16,
        "feature_directory": path.rpartition("/")[0],
        "file": path,
        "bytes": 1094,
    }


def _results(
    run_id: str, branch: str, feature: str, number: int
) -> dict[PhaseName, tuple[dict[str, Any], PhaseOutput | None]]:
    """Each phase's metadata and output."""
    title, repository, how = f"Wish {number}", "rehearsal/reading-list", "opened as a draft"
    spec_kit = SpecKitChoice(used="image", kind="none", reason="It has no Spec Kit.")
    names = ("checklists/requirements", "contracts/outcomes", "data-model", "plan", "quickstart", "research")
    paths = [f"{feature}/{name}.md" for name in (*names, "spec", "tasks")]
    return {
        PhaseName.PREPARE_JOB: ({"repository": repository, "base_branch": "main"}, PreparedJob(repository)),
        PhaseName.START_JOB_CONTAINER: (
            {
                "agent_container": _hex(64),
                "git_container": _hex(64),
                "workspace_volume": f"moonmind-run-{run_id}",
                "shard_volume": "moonmind_rehearsal_ef951afc_2",
            },
            StartedContainers(volumes_are_new=True),
        ),
        PhaseName.GIT_CLONE: (
            {
                "base_commit": _hex(40),
                "scaffold_files": 30,
                "spec_kit": spec_kit,
                "spec_kit_summary": "Spec Kit: the appliance's, because the repository has none.",
            },
            spec_kit,
        ),
        PhaseName.SPECKIT_SPECIFY: (
            {**_turn("specification", f"{feature}/spec.md", title), "title": title, "assumptions": _ASSUMPTIONS},
            SpecifyTurn(_USAGE, WrittenFeature(feature, title, _ASSUMPTIONS)),
        ),
        PhaseName.SPECKIT_PLAN: (_turn("plan", f"{feature}/plan.md", title), AgentTurn(_USAGE)),
        PhaseName.SPECKIT_TASKS: (_turn("tasks", f"{feature}/tasks.md", title), AgentTurn(_USAGE)),
        PhaseName.COMMIT_PUSH: (
            {
                "branch": branch,
                "base_branch": "main",
                "base_commit": _hex(40),
                "commit": _hex(40),
                "changed": True,
                "pushed": True,
                "github_messages": [],
                "dry_run": False,
                "files": len(paths),
                "patch_bytes": 6941,
                "paths": paths,
                "left_out": [],
                "left_out_count": 0,
                "warnings": [],
                "warning_count": 0,
                "nested_repositories_removed": [],
                "nested_repository_count": 0,
                "failure": None,
            },
            CommittedChange(dry_run=False, paths=paths, path_count=len(paths), branch=branch),
        ),
        PhaseName.OPEN_PR: (
            {"number": number, "title": title, "draft": True, "how": how, "labels": ["spec-kit"]},
            OpenedPullRequest(how),
        ),
        PhaseName.CLEANUP: (
            {
                "removed": [f"moonmind-git-{run_id}", "moonmind_rehearsal_ef951afc_2-in-use"],
                "not_cleaned": [],
                "volumes_kept": [f"moonmind-run-{run_id}", f"moonmind-git-{run_id}"],
                "volumes_dropped": [],
                "workspace_bytes": 958464,
            },
            None,
        ),
    }
