"""Sample runs in every state, with logs and artifacts on disk, in a real store."""

import json
import uuid
from datetime import timedelta

from moonmind_appliance.execution.artifacts import RunArtifacts
from moonmind_appliance.models import (
    PHASE_ORDER,
    ArtifactType,
    FailureCode,
    Phase,
    PhaseName,
    PhaseStatus,
    Run,
    RunStatus,
    WaitingFor,
    WaitReason,
    failure,
)
from tests.tui.attached import Attached

PULL_REQUEST = "https://github.com/acme/shop/pull/7"
PATCH = b"""diff --git a/specs/001-basket/spec.md b/specs/001-basket/spec.md
new file mode 100644
index 0000000..1111111
--- /dev/null
+++ b/specs/001-basket/spec.md
@@ -0,0 +1,3 @@
+# Basket
+
+- FR-001: The shop MUST keep a basket.
diff --git a/specs/001-basket/plan.md b/specs/001-basket/plan.md
new file mode 100644
index 0000000..2222222
--- /dev/null
+++ b/specs/001-basket/plan.md
@@ -0,0 +1 @@
+# Plan of the basket
"""
SECONDS = (0.1, 0.8, 1.2, 110, 130, 95, 1.3, 0.4, 0.2)


def event(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def item(**fields: object) -> bytes:
    return event(type="item.completed", item={"id": "item_0", **fields})


CODEX = b"".join(
    [
        event(type="thread.started", thread_id="t"),
        *(
            item(type="command_execution", command=f"cat {name}.md", exit_code=0, aggregated_output=f"text of {name}\n")
            for name in ("one", "two", "three")
        ),
        item(type="command_execution", command="cat none.md", exit_code=1, aggregated_output="No such file\n"),
        item(type="agent_message", text="The basket is specified."),
        event(type="turn.completed", usage={"input_tokens": 10, "output_tokens": 2}),
    ]
)


def claimed(attached: Attached, run: Run, shard: int = 0) -> str:
    """Claim this run, and return the lease. No other run may be claimable."""
    lease = str(uuid.uuid4())
    taken = attached.store.queue.claim(shard, lease, now=attached.resources.clock(), lease_seconds=86_400)
    assert taken is not None
    assert taken.run_id == run.run_id
    return lease


def artifacts_of(attached: Attached, run: Run) -> RunArtifacts:
    resources = attached.resources
    return RunArtifacts(
        run.run_id, store=resources.store, files=resources.files, redactor=resources.redactor, clock=resources.clock
    )


def phases(
    attached: Attached,
    run: Run,
    lease: str,
    upto: int,
    last: PhaseStatus,
    *,
    logs: dict[PhaseName, bytes] | None = None,
) -> None:
    """Save the first `upto` phases as succeeded, and the next one in state `last`."""
    store, artifacts = attached.store, artifacts_of(attached, run)
    for number, name in enumerate(PHASE_ORDER[: upto + 1]):
        began = attached.resources.clock()
        running = Phase(phase=name, status=PhaseStatus.RUNNING, attempt=1, started_at=began)
        store.progress.save_phase(run.run_id, lease, running)
        log = (logs or {}).get(name)
        if log is not None:
            stream = ArtifactType.STDERR_LOG if name is PhaseName.COMMIT_PUSH else ArtifactType.STDOUT_LOG
            growing = artifacts.log(name, 1, stream)
            growing.write(log)
            growing.close()
        status = PhaseStatus.SUCCEEDED if number < upto else last
        if status is not PhaseStatus.RUNNING:
            attached.advance(seconds=SECONDS[number])
            ended = Phase(
                phase=name, status=status, attempt=1, started_at=began, completed_at=attached.resources.clock()
            )
            store.progress.save_phase(run.run_id, lease, ended)


def waiting(attached: Attached, **fields: object) -> Run:
    run = attached.submit(**fields)
    until = attached.resources.clock() + timedelta(hours=2)
    attached.store.queue.wait(run.run_id, WaitingFor(WaitReason.QUOTA, until))
    return run


def running(attached: Attached, **fields: object) -> Run:
    run = attached.submit(**fields)
    lease = claimed(attached, run)
    phases(attached, run, lease, 3, PhaseStatus.RUNNING, logs={PhaseName.SPECKIT_SPECIFY: CODEX})
    return run


def succeeded(attached: Attached, **fields: object) -> Run:
    run = attached.submit(**fields)
    lease = claimed(attached, run)
    logs = {PhaseName.SPECKIT_SPECIFY: CODEX, PhaseName.SPECKIT_PLAN: CODEX}
    phases(attached, run, lease, 8, PhaseStatus.SUCCEEDED, logs=logs)
    artifacts = artifacts_of(attached, run)
    artifacts.keep("change.patch", ArtifactType.DIFF_SUMMARY, PhaseName.COMMIT_PUSH, PATCH, "text/x-diff")
    attached.store.progress.update(
        run.run_id, lease, pull_request_url=PULL_REQUEST, clarifications=["How long is a basket kept?"]
    )
    attached.store.progress.finish(
        run.run_id, lease, RunStatus.SUCCEEDED, now=attached.resources.clock(), result_summary="2 files", failure=None
    )
    return run


def failed(attached: Attached, **fields: object) -> Run:
    run = attached.submit(**fields)
    lease = claimed(attached, run)
    log = b"".join(b"remote: line %d\n" % number for number in range(300)) + b"remote: error: GH006\n"
    phases(attached, run, lease, 6, PhaseStatus.FAILED, logs={PhaseName.COMMIT_PUSH: log})
    why = failure(FailureCode.PUSH_REJECTED, "remote: error: GH006: Protected branch.")
    attached.store.progress.finish(
        run.run_id, lease, RunStatus.FAILED, now=attached.resources.clock(), result_summary=None, failure=why
    )
    return run


def runs_in_every_state(attached: Attached) -> dict[str, Run]:
    """A run in each state; the clock advances by minutes."""
    made = {
        "succeeded": succeeded(attached, repository="acme/shop", external_ref="JIRA-1"),
        "failed": failed(attached, repository="acme/billing"),
    }
    made["cancelled"] = attached.submit(repository="globex/portal")
    attached.store.runs.request_cancel(made["cancelled"].run_id, now=attached.resources.clock())
    made["waiting"] = waiting(attached, repository="acme/billing")
    made["running"] = running(attached, repository="acme/shop")
    made["queued"] = attached.submit(repository="initech/reports", dry_run=True)
    attached.advance(minutes=5)
    return made
