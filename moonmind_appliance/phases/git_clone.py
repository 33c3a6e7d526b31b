"""Clone the repository: a private bare clone, the files, a copy for the agent, and Spec Kit's files if missing."""

import msgspec

from moonmind_appliance.models import FailureCode, PhaseName
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.git_commands import answer_failure, git_command
from moonmind_appliance.phases.result import PhaseResult, failed
from moonmind_appliance.phases.workspace_watch import watch_git


def git_clone(ctx: PhaseContext) -> PhaseResult:
    """Clone the base branch at its current commit on GitHub. May be repeated: it starts over."""
    if ctx.clone is None:
        return clone(ctx, ctx.attempt)
    begun, ctx.clone = ctx.clone, None
    return begun.result()


def clone_ahead(ctx: PhaseContext) -> PhaseResult:
    """Clone before `git_clone` begins; the logs belong to the attempt that will report it."""
    return clone(ctx, ctx.run.phase(PhaseName.GIT_CLONE).attempt + 1)


def clone(ctx: PhaseContext, attempt: int) -> PhaseResult:
    """Clone, whichever phase is current."""
    with ctx.logs(PhaseName.GIT_CLONE, attempt) as logs, watch_git(ctx) as watch:
        answer = git_command(ctx, "clone", {}, logs, with_token=True)
    ctx.workspace_bytes = watch.used
    if watch.failure is not None:
        result = failed(watch.failure)
    elif answer.result is None:
        result = failed(answer_failure(ctx, answer, FailureCode.CLONE_FAILED, f"clone {ctx.slug}"))
    else:
        result = PhaseResult(metadata=answer.result, notes={"branch_name": ctx.branch})
    return msgspec.structs.replace(result, **logs.paths)
