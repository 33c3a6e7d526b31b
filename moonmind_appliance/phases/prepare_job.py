"""Snapshot the settings and check whether the job can succeed, before any model time is used."""

import msgspec

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github import GitHub
from moonmind_appliance.models import ArtifactType, Failure, FailureCode, PhaseName, PreparedJob, failure
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.github_failures import rest_failure
from moonmind_appliance.phases.result import PhaseResult, RunFields, failed
from moonmind_appliance.settings import Loaded, options


def prepare_job(ctx: PhaseContext) -> PhaseResult:
    """Fail early, with a code, on a problem with the image, token, repository, base branch or push permission."""
    image = ctx.engine.image(ctx.settings.spec_automation_job_image)
    if image is None:
        missing = f"The Docker engine has no image {ctx.settings.spec_automation_job_image}."
        return failed(failure(FailureCode.IMAGE_MISSING, missing))
    if ctx.github is None:
        return failed(failure(FailureCode.GITHUB_TOKEN_MISSING, "GITHUB_TOKEN is not set."))
    agent = ctx.agent.info(image.labels)
    environment = {
        "settings": {v.name: v.shown for v in Loaded(ctx.settings, dict.fromkeys(options(), "")).table()},
        "engine": msgspec.to_builtins(ctx.engine.info()),
        "image": {"reference": image.reference, "id": image.image_id, "labels": image.labels},
        "agent": msgspec.to_builtins(agent),
        "shard": ctx.names.shard.index,
        "dry_run": ctx.dry_run,
    }
    ctx.artifacts.keep(
        "environment_info.json",
        ArtifactType.ENVIRONMENT_INFO,
        PhaseName.PREPARE_JOB,
        msgspec.json.format(msgspec.json.encode(environment), indent=2),
        "application/json",
    )
    repository = _access(ctx, ctx.github)
    if isinstance(repository, Failure):
        return failed(repository)
    return PhaseResult(
        output=PreparedJob(repository),
        metadata={"repository": repository, "base_branch": ctx.run.base_branch},
        run_fields=RunFields(agent=agent),
    )


def _access(ctx: PhaseContext, github: GitHub) -> str | Failure:
    """The repository's current name, or why the token is not sufficient."""
    slug, base = ctx.run.repository, ctx.run.base_branch
    try:
        repository = github.repository(slug)
        if repository.archived:
            return failure(FailureCode.REPOSITORY_ARCHIVED, f"{slug} is archived: GitHub rejects pushes to it.")
        if not repository.may_push and not ctx.dry_run:
            return failure(FailureCode.PUSH_NOT_PERMITTED, f"The token can read {slug} but not push to it.")
        if github.branch_head(repository.full_name, base) is None:
            return failure(
                FailureCode.BASE_BRANCH_NOT_FOUND,
                f"{slug} has no branch {base}; its default branch is {repository.default_branch}.",
            )
    except GitHubError as error:
        return rest_failure(error, f"to show {slug}")
    return repository.full_name
