"""Snapshot the settings and check whether the job can succeed, before any model time is used."""

import msgspec

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github import GitHub, Repository
from moonmind_appliance.models import ArtifactType, Failure, FailureCode, PhaseName, PreparedJob, failure
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.github_failures import is_rest_outage, rest_failure
from moonmind_appliance.phases.github_messages import NO_CREDENTIAL, trusted_hosts
from moonmind_appliance.phases.result import PhaseResult, RunFields, failed, unavailable
from moonmind_appliance.settings import Loaded, options


def prepare_job(ctx: PhaseContext) -> PhaseResult:
    """Fail early, with a code, on a problem with the image, token, repository, branches or push permission."""
    image = ctx.engine.image(ctx.settings.spec_automation_job_image)
    if image is None:
        missing = f"The Docker engine has no image {ctx.settings.spec_automation_job_image}."
        return failed(failure(FailureCode.IMAGE_MISSING, missing))
    if ctx.github is None:
        return failed(failure(FailureCode.GITHUB_TOKEN_MISSING, NO_CREDENTIAL))
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
    try:
        repository = _access(ctx, ctx.github)
    except GitHubError as error:
        reason = rest_failure(error, f"to show {ctx.run.repository}", hosts=trusted_hosts(ctx.settings))
        return unavailable(reason) if is_rest_outage(error) else failed(reason)
    if isinstance(repository, Failure):
        return failed(repository)
    return PhaseResult(
        output=repository,
        metadata={"repository": repository.repository, "base_branch": ctx.run.base_branch},
        run_fields=RunFields(agent=agent),
    )


def _access(ctx: PhaseContext, github: GitHub) -> PreparedJob | Failure:
    """The repository as GitHub knows it, or why the token is not sufficient."""
    repository = github.repository(ctx.run.repository)
    refusal = (
        _closed(ctx, repository)
        or _no_base(ctx, github, repository)
        or _branch_conflict(ctx, github, repository.full_name)
    )
    return refusal or PreparedJob(repository.full_name, repository.repository_id)


def _closed(ctx: PhaseContext, repository: Repository) -> Failure | None:
    """Why nothing can be pushed to the repository."""
    slug = ctx.run.repository
    if repository.archived:
        return failure(FailureCode.REPOSITORY_ARCHIVED, f"{slug} is archived: GitHub rejects pushes to it.")
    if repository.disabled:
        return failure(FailureCode.REPOSITORY_BLOCKED, f"{slug} is disabled on GitHub.")
    if not repository.may_push and not ctx.dry_run:
        return failure(FailureCode.PUSH_NOT_PERMITTED, f"The token can read {slug} but not push to it.")
    return None


def _no_base(ctx: PhaseContext, github: GitHub, repository: Repository) -> Failure | None:
    """Why the run cannot start at its base branch."""
    slug, base = ctx.run.repository, ctx.run.base_branch
    if github.branch_head(repository.full_name, base) is not None:
        return None
    if github.is_empty(repository.full_name):
        message = f"{slug} is empty: it has no commit, so it has no branch {base}."
        return failure(FailureCode.REPOSITORY_EMPTY, message)
    message = f"{slug} has no branch {base}; its default branch is {repository.default_branch}."
    return failure(FailureCode.BASE_BRANCH_NOT_FOUND, message)


def _branch_conflict(ctx: PhaseContext, github: GitHub, slug: str) -> Failure | None:
    """Why the run's branch cannot be created. Git allows no branch `a/b` if there is a branch `a`: refs are files."""
    if ctx.dry_run:
        return None
    branch = ctx.branch
    parts = branch.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts))]
    exists = next((name for name in above if github.branch_head(slug, name) is not None), None)
    exists = exists or next(iter(github.branches_at_or_below(slug, branch)), None)
    if exists is None:
        return None
    if exists == branch:
        return failure(FailureCode.BRANCH_CONFLICT, f"The run's branch {branch} already exists in {slug}.")
    message = f"{slug} has a branch {exists}, so Git allows no branch {branch} in it."
    return failure(FailureCode.BRANCH_CONFLICT, message)
