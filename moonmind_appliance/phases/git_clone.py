"""Clone the repository: a private bare clone, the files, a copy for the agent, and the run's Spec Kit."""

import msgspec

from moonmind_appliance.models import FailureCode, PhaseName, failure
from moonmind_appliance.models.container_paths import CACHE_FOLDER
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.git_answers import ClonedRepository
from moonmind_appliance.phases.git_retries import GitHubVerb, call_github
from moonmind_appliance.phases.result import PhaseResult, RunFields, failed, unavailable
from moonmind_appliance.phases.spec_kit_choice import choice_of, sentence


def git_clone(ctx: PhaseContext, attempt: int | None = None) -> PhaseResult:
    """Clone the base branch at its current commit on GitHub. May be repeated: it starts over.

    Args:
        ctx: the context.
        attempt: the attempt that the logs belong to, if the phase itself has not begun yet; None: the current one.
    """
    cache = {
        "folder": CACHE_FOLDER,
        "most_bytes": ctx.settings.repository_cache_bytes,
        "min_free": ctx.settings.min_free_disk,
    }
    job = {"cache": cache} if ctx.cache_volume else {}
    verb = GitHubVerb("clone", PhaseName.GIT_CLONE, job, FailureCode.CLONE_FAILED, f"clone {ctx.slug}")
    with ctx.logs(PhaseName.GIT_CLONE, attempt) as logs:
        answer = call_github(ctx, verb, ClonedRepository, logs)
    if answer.failure is not None:
        result = unavailable(answer.failure) if answer.outage else failed(answer.failure)
    elif answer.result is not None:
        result = _cloned(ctx, answer.result)
    return msgspec.structs.replace(result, **logs.paths)


def _cloned(ctx: PhaseContext, cloned: ClonedRepository) -> PhaseResult:
    """The phase's result, with the Spec Kit that the run uses; a failure if none can be used."""
    choice = choice_of(cloned.spec_kit, ctx.redactor)
    metadata = {
        "base_commit": cloned.base_commit,
        "scaffold_files": cloned.scaffold_files,
        "spec_kit": msgspec.to_builtins(choice),
    }
    if cloned.cache is not None:
        metadata["cache"] = msgspec.to_builtins(cloned.cache)
    if cloned.spec_kit.problem:
        return failed(failure(FailureCode.SPEC_KIT_UNUSABLE, choice.reason), **metadata)
    said = sentence(choice)
    return PhaseResult(
        output=choice,
        metadata=metadata | {"spec_kit_summary": said},
        run_fields=RunFields(branch_name=ctx.branch),
        note=said,
    )
