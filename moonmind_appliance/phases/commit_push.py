"""Commit the agent's files, search the commit for secrets, and push it."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.models import (
    ArtifactType,
    CommittedChange,
    Failure,
    FailureCode,
    PhaseName,
    failure,
)
from moonmind_appliance.phases.background import in_background
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.credential_audit import FoundSecret, credential_audit, scan_change
from moonmind_appliance.phases.diff_summary import diff_summary
from moonmind_appliance.phases.git_answers import PushAnswer, StagedChange
from moonmind_appliance.phases.git_commands import answer_failure, git_command, prepare_git
from moonmind_appliance.phases.git_retries import GitHubAnswer, GitHubVerb, call_github
from moonmind_appliance.phases.github_messages import accepted_push_lines
from moonmind_appliance.phases.logs import PhaseLogs
from moonmind_appliance.phases.pull_request_text import quiet
from moonmind_appliance.phases.result import PhaseResult, RunFields, failed
from moonmind_appliance.phases.workspace_watch import measure_job, watch_git

_PHASE = PhaseName.COMMIT_PUSH
_LONGEST_PATH, _MOST_PATHS = 500, 200
_MOST_NAMED = 5
_NEW_BASE = "The history of {base} was rewritten during the run: the change is on top of the new history ({commit})."
_PROTECTED = "Changes at {count} protected paths (PROTECTED_PATHS) are not in the commit."
_NO_CHANGES = "The phases' files are complete and identical to those on the base branch: there is nothing to push."
_ONLY_PROTECTED = (
    "There is nothing to push: the phases' files are complete and identical to those on the base branch, and all other "
    "changes ({count}) are at protected paths (PROTECTED_PATHS)."
)


def commit_push(ctx: PhaseContext, files_read: Callable[[], None]) -> PhaseResult:
    """Commit and push, or return why not. A dry run makes the commit and pushes nothing.

    Idempotent: the same files give the same commit, and a branch that is already at that commit counts as pushed.

    Args:
        ctx: the context.
        files_read: called when the files have been read. Until then the agent container is frozen; then it may go.
    """
    if not ctx.dry_run:
        prepare_git(ctx, "push")
    # Processes left in the agent's container must not write any more.
    ctx.engine.freeze(ctx.names.agent)
    with ctx.logs(_PHASE) as logs:
        result = _commit_and_push(ctx, logs, files_read)
    return msgspec.structs.replace(result, **logs.paths)


def _commit_and_push(ctx: PhaseContext, logs: PhaseLogs, files_read: Callable[[], None]) -> PhaseResult:
    base_head = None if ctx.dry_run else in_background("base", lambda: _base_head(ctx))
    with watch_git(ctx) as watch:
        staged = git_command(ctx, "stage", _stage_job(ctx), StagedChange, logs)
    if staged.result is None:
        # The size may be the reason.
        watch.measure_now()
    else:
        watch.take(staged.result.size)
    files_read()
    ctx.workspace_bytes = watch.used
    if watch.failure is not None:
        return failed(watch.failure)
    if staged.result is None:
        return failed(answer_failure(ctx, staged, FailureCode.COMMIT_FAILED, "commit the change"))
    change = staged.result
    if change.changed and not change.too_large and len(staged.rest) != change.patch_bytes:
        message = f"Of the change's {change.patch_bytes} bytes, only {len(staged.rest)} could be searched for secrets."
        return failed(failure(FailureCode.COMMIT_FAILED, message))
    paths = [file.path for file in change.files]
    findings = scan_change(ctx, staged.rest, paths)
    refusal = _refusal(ctx, change, findings)
    push = change.changed and refusal is None and not ctx.dry_run
    if ctx.wall is not None:
        ctx.wall.keep(_PHASE)
    _keep(
        ctx,
        "credential_audit.json",
        ArtifactType.CREDENTIAL_AUDIT,
        credential_audit(ctx, pushed_with_token=push, findings=findings),
    )
    ctx.artifacts.keep(
        "diff_summary.md", ArtifactType.DIFF_SUMMARY, _PHASE, diff_summary(ctx, change).encode(), "text/markdown"
    )
    if change.changed and refusal is None:
        ctx.artifacts.keep("change.patch", ArtifactType.DIFF_SUMMARY, _PHASE, staged.rest, "text/x-diff")
    status = _status(ctx, change)
    outage = None
    notes = [_PROTECTED.format(count=change.protected_count)] if change.protected_count else []
    if refusal is None and push:
        answer = _push(ctx, change.commit, base_head, logs)
        refusal, outage = answer.failure, answer.failure if answer.outage else None
        if answer.failure is None and answer.result is not None:
            status["pushed"] = True
            status["commit"] = answer.result.commit
            status["github_messages"] = accepted_push_lines(answer.stderr)
            if answer.result.new_base:
                status["base_commit"] = answer.result.new_base
                notes.append(_NEW_BASE.format(base=ctx.run.base_branch, commit=answer.result.new_base[:12]))
    status["failure"] = msgspec.to_builtins(refusal) if refusal else None
    _keep(ctx, "commit_status.json", ArtifactType.COMMIT_STATUS, status)
    if refusal is not None:
        return msgspec.structs.replace(failed(refusal, **status), outage=outage)
    no_changes = None if change.changed else _no_changes(change)
    if no_changes:
        status["no_changes"] = no_changes
    committed = CommittedChange(
        dry_run=ctx.dry_run,
        no_changes=no_changes,
        paths=status["paths"],
        path_count=change.file_count,
        left_out=change.left_out,
        left_out_count=change.left_out_count,
        warnings=change.warnings,
        warning_count=change.warning_count,
        branch=ctx.branch,
        github_messages=status["github_messages"],
    )
    return PhaseResult(
        output=committed, metadata=status, note=" ".join(notes), run_fields=RunFields(branch_name=ctx.branch)
    )


def _no_changes(change: StagedChange) -> str:
    count = change.protected_count
    return _ONLY_PROTECTED.format(count=count) if count else _NO_CHANGES


def _stage_job(ctx: PhaseContext) -> dict[str, Any]:
    heading = quiet(ctx.feature.title or "specification")
    message = f"Add the specification: {heading}\n\nSpecification, plan and tasks by GitHub Spec Kit.\n\n"
    return {
        "feature_directory": ctx.feature.directory,
        "commit_scaffold": ctx.settings.commit_scaffold,
        "protected": ctx.settings.protected_patterns,
        "max_bytes": ctx.settings.max_change_bytes,
        "measure": measure_job(ctx),
        "author_name": ctx.settings.git_author_name,
        "author_email": ctx.settings.git_author_email,
        "date": f"{int(ctx.run.accepted_at.timestamp())} +0000",
        "message": ctx.redactor.redact_text(f"{message}MoonMind-Run: {ctx.run.run_id}\n"),
    }


def _refusal(ctx: PhaseContext, change: StagedChange, findings: list[FoundSecret]) -> Failure | None:
    """Why the change must not be pushed; None if it may."""
    if change.feature_protected:
        message = (
            f"The specification in {ctx.feature.directory} is at a protected path (PROTECTED_PATHS), so its documents "
            "cannot be committed. Nothing was pushed."
        )
        return failure(FailureCode.COMMIT_FAILED, message)
    if change.too_large:
        limit = f"MAX_CHANGE_BYTES ({ctx.settings.max_change_bytes})"
        return failure(FailureCode.CHANGE_TOO_LARGE, f"The change has {change.patch_bytes} bytes, more than {limit}.")
    if findings:
        return failure(FailureCode.SECRET_IN_CHANGE, _secret_message(findings))
    return None


def _secret_message(findings: list[FoundSecret]) -> str:
    where = "; ".join(map(_position, findings[:_MOST_NAMED]))
    more = f"; and {len(findings) - _MOST_NAMED} more" if len(findings) > _MOST_NAMED else ""
    known = any(found.sha256 is None for found in findings)
    return f"The change contains {'a secret' if known else 'what looks like a secret'}: {where}{more}."


def _position(found: FoundSecret) -> str:
    place = f"{found.file} line {found.line}" if found.line else f"the name of {found.file}"
    return f"{found.kind} in {place}" + (f" (SHA-256 {found.sha256})" if found.sha256 else " (known to the appliance)")


def _base_head(ctx: PhaseContext) -> str | None:
    """The commit of the base branch on GitHub, if the run's branch does not exist there; None also if GitHub fails.

    None for a complete clone, too: GitHub accepts its push even if the base was rewritten a moment ago.
    """
    if ctx.github is None or ctx.attempt > 1 or not ctx.settings.clone_depth:
        return None
    try:
        if ctx.github.branch_head(ctx.slug, ctx.branch) is not None:
            return None
        return ctx.github.branch_head(ctx.slug, ctx.run.base_branch)
    except GitHubError:
        return None


def _push(
    ctx: PhaseContext, commit: str, base_head: Future[str | None] | None, logs: PhaseLogs
) -> GitHubAnswer[PushAnswer]:
    """Push; the answer has a failure if GitHub does not have the commit afterwards."""
    doing = f"push {ctx.branch} to {ctx.slug}"
    # If GitHub has not answered yet, the program of the push asks.
    known = base_head.result() if base_head is not None and base_head.done() else None
    verb = GitHubVerb("push", _PHASE, {"commit": commit, "base_head": known}, FailureCode.PUSH_REJECTED, doing)
    answer = call_github(ctx, verb, PushAnswer, logs)
    if answer.result is None or answer.result.pushed:
        return answer
    return answer._replace(failure=_not_pushed(ctx, answer.result))


def _not_pushed(ctx: PhaseContext, answer: PushAnswer) -> Failure:
    base = f"the base branch {ctx.run.base_branch}"
    if answer.base_gone:
        message = f"{ctx.slug} no longer has {base}: it was deleted or renamed during the run. Nothing was pushed."
        return failure(FailureCode.BASE_BRANCH_NOT_FOUND, message)
    if answer.in_the_way:
        # A retry needs the current files: it must not continue in these volumes.
        ctx.keep_volumes = False
        files = ", ".join(answer.in_the_way[:_MOST_NAMED])
        message = f"The history of {base} in {ctx.slug} was rewritten during the run, with other content in {files}."
        return failure(FailureCode.BASE_BRANCH_REWRITTEN, message)
    message = f"The branch {ctx.branch} already exists in {ctx.slug} at another commit ({answer.conflict[:12]})."
    return failure(FailureCode.BRANCH_CONFLICT, message)


def _status(ctx: PhaseContext, change: StagedChange) -> dict[str, Any]:
    return {
        "branch": ctx.branch,
        "base_branch": ctx.run.base_branch,
        "base_commit": change.base_commit,
        "commit": change.commit if change.changed else None,
        "changed": change.changed,
        "pushed": False,
        "github_messages": [],
        "dry_run": ctx.dry_run,
        "files": change.file_count,
        "patch_bytes": change.patch_bytes,
        "paths": [file.path[:_LONGEST_PATH] for file in change.files][:_MOST_PATHS],
        "left_out": msgspec.to_builtins(change.left_out),
        "left_out_count": change.left_out_count,
        "protected_count": change.protected_count,
        "warnings": msgspec.to_builtins(change.warnings),
        "warning_count": change.warning_count,
        "nested_repositories_removed": change.nested_repositories_removed,
        "nested_repository_count": change.nested_repository_count,
    }


def _keep(ctx: PhaseContext, name: str, artifact_type: ArtifactType, content: dict[str, Any]) -> None:
    body = msgspec.json.format(msgspec.json.encode(content), indent=2)
    ctx.artifacts.keep(name, artifact_type, _PHASE, body, "application/json")
