"""What a run used: seconds per phase, tokens, artifact bytes."""

import msgspec

from moonmind_appliance.models import AgentTurn, ArtifactType, PhaseName
from moonmind_appliance.phases import PhaseContext


def keep_metrics(ctx: PhaseContext) -> None:
    """Store the `metrics_snapshot` artifact: seconds and token counts of each phase."""
    phases, usage = [], dict[str, int]()
    for phase in ctx.run.phases:
        if phase.started_at is None:
            continue
        took = (phase.completed_at - phase.started_at).total_seconds() if phase.completed_at else None
        used = phase.output.usage if isinstance(phase.output, AgentTurn) else {}
        for key, value in used.items():
            usage[key] = usage.get(key, 0) + value
        phases.append(
            {
                "phase": phase.phase.value,
                "status": phase.status.value,
                "attempt": phase.attempt,
                "seconds": took,
                "usage": used,
            }
        )
    snapshot = {
        "run_id": ctx.run.run_id,
        "waited_seconds": ((ctx.run.started_at - ctx.run.accepted_at).total_seconds() if ctx.run.started_at else None),
        "interruptions": ctx.run.interruptions,
        "usage": usage,
        "phases": phases,
    }
    content = msgspec.json.format(msgspec.json.encode(snapshot), indent=2)
    ctx.artifacts.keep("metrics.json", ArtifactType.METRICS_SNAPSHOT, PhaseName.CLEANUP, content, "application/json")
