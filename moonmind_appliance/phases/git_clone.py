"""Clone the repository: a private bare clone, the files, a copy for the agent, and Spec Kit's files where missing."""

import msgspec

from moonmind_appliance.models import EndReason, FailureCode, PhaseName, failure
from moonmind_appliance.phases.context import PhaseContext, PhaseResult, failed
from moonmind_appliance.phases.git_commands import git_command
from moonmind_appliance.phases.github_failures import git_failure


def git_clone(ctx: PhaseContext) -> PhaseResult:
    """Begin from the base branch as it stands on GitHub now. Safe twice: it begins anew."""
    if ctx.clone is None:
        return clone(ctx, ctx.attempt)
    begun, ctx.clone = ctx.clone, None
    return begun.result()


def clone_ahead(ctx: PhaseContext) -> PhaseResult:
    """Clone before `git_clone` is begun; its logs are those of the attempt that will report it."""
    return clone(ctx, ctx.run.phase(PhaseName.GIT_CLONE).attempt + 1)


def clone(ctx: PhaseContext, attempt: int) -> PhaseResult:
    """Clone, whichever phase is being reported meanwhile."""
    with ctx.logs(PhaseName.GIT_CLONE, attempt) as logs:
        answer = git_command(ctx, "clone", {}, logs, with_token=True)
    if answer.outcome.ended is EndReason.TIMED_OUT:
        words = f"The clone of {ctx.slug} took longer than GIT_TIME_LIMIT ({ctx.settings.git_time_limit} s)."
        result = failed(failure(FailureCode.CLONE_FAILED, words))
    elif answer.result is None:
        result = failed(git_failure(answer.stderr, FailureCode.CLONE_FAILED, f"clone {ctx.slug}"))
    else:
        result = PhaseResult(metadata=answer.result, notes={"branch_name": ctx.branch})
    return msgspec.structs.replace(result, **logs.paths)
