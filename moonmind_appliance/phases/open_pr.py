"""Open the draft pull request, or find the existing one."""

import msgspec

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github import GitHub, PullRequest
from moonmind_appliance.in_container.egress_record import REFUSED
from moonmind_appliance.models import (
    AgentInfo,
    Failure,
    FailureCode,
    LeftOutPath,
    OpenedPullRequest,
    PathWarning,
    PhaseName,
    SpecKitChoice,
    failure,
)
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.egress_record import stored_record
from moonmind_appliance.phases.github_failures import is_rest_outage, rest_failure
from moonmind_appliance.phases.github_messages import NO_CREDENTIAL, trusted_hosts
from moonmind_appliance.phases.pull_request_text import (
    PullRequestFacts,
    PullRequestText,
    RefusedTarget,
    pull_request_text,
)
from moonmind_appliance.phases.result import PhaseResult, RunFields, failed, skipped, unavailable
from moonmind_appliance.phases.spec_kit_choice import sentence

_UNPROCESSABLE = 422
_SERVER = 500


def open_pr(ctx: PhaseContext) -> PhaseResult:
    """One pull request for the run's branch, a draft if GitHub allows it. Idempotent: finds an existing one first."""
    text = _text(ctx)
    if ctx.dry_run:
        return skipped(reason="dry run: no pull request is opened", title=text.title, body=text.body)
    if ctx.github is None:
        return failed(failure(FailureCode.GITHUB_TOKEN_MISSING, NO_CREDENTIAL))
    try:
        pull, how = _find_or_open(ctx, ctx.github, text)
    except GitHubError as error:
        if error.status == _UNPROCESSABLE and _branch_is_gone(ctx, ctx.github):
            message = f"The branch {ctx.branch} was deleted on GitHub before its pull request was opened."
            gone = failed(failure(FailureCode.PULL_REQUEST_REFUSED, message), title=text.title)
            return msgspec.structs.replace(gone, repeat=PhaseName.COMMIT_PUSH)
        refused = _refused(ctx, error, "to open the pull request for")
        again = is_rest_outage(error)
        return unavailable(refused, title=text.title) if again else failed(refused, title=text.title)
    labels, outage = _label(ctx, ctx.github, pull)
    return PhaseResult(
        outage=outage,
        output=OpenedPullRequest(how),
        metadata={"number": pull.number, "title": pull.title, "draft": pull.draft, "how": how, **labels},
        run_fields=RunFields(pull_request_url=pull.html_url),
    )


def _refused(ctx: PhaseContext, error: GitHubError, doing: str) -> Failure:
    return rest_failure(error, f"{doing} {ctx.branch}", hosts=trusted_hosts(ctx.settings), pushed=ctx.branch)


def _text(ctx: PhaseContext) -> PullRequestText:
    feature, committed = ctx.feature, ctx.committed
    agent, redact = ctx.run.agent, ctx.redactor.redact_text
    choice = ctx.run.output(SpecKitChoice)
    # Redact before the text is composed: a token that is escaped or cut is no longer recognised.
    facts = PullRequestFacts(
        run_id=ctx.run.run_id,
        heading=redact(feature.title or ""),
        feature_directory=redact(feature.directory),
        external_ref=redact(ctx.run.external_ref) if ctx.run.external_ref else None,
        clarifications=[redact(question) for question in ctx.run.clarifications],
        clarification_count=feature.question_count,
        assumptions=redact(feature.assumptions),
        files=[redact(path) for path in committed.paths],
        file_count=committed.path_count,
        agent=_made_by(agent, choice) if agent else "unknown",
        spec_kit=sentence(choice) if choice else "",
        left_out=[LeftOutPath(redact(entry.path), entry.reason) for entry in committed.left_out],
        left_out_count=committed.left_out_count,
        warnings=[PathWarning(redact(entry.path), entry.reason) for entry in committed.warnings],
        warning_count=committed.warning_count,
        github_messages=[redact(line) for line in committed.github_messages],
        refused=[RefusedTarget(redact(each.target), each.connections) for each in stored_record(ctx).of(REFUSED)],
    )
    text = pull_request_text(facts)
    return PullRequestText(ctx.redactor.redact_text(text.title), ctx.redactor.redact_text(text.body))


def _made_by(agent: AgentInfo, choice: SpecKitChoice | None) -> str:
    """The agent and its version; also the version of the prompts if they are the image's."""
    own = choice is not None and choice.used == "repository"
    return f"{agent.backend} {agent.version}" + ("" if own else f", {agent.prompt_pack_version}")


def _find_or_open(ctx: PhaseContext, github: GitHub, text: PullRequestText) -> tuple[PullRequest, str]:
    """The pull request, and whether it was found or opened."""
    found = github.find_pull_request(ctx.slug, ctx.branch)
    if found is not None:
        return github.update_pull_request(
            ctx.slug, found.number, title=found.title, body=text.body
        ), "found and updated"
    try:
        return _create(ctx, github, text, draft=True), "opened as a draft"
    except GitHubError as error:
        if error.status is not None and error.status < _SERVER and error.status != _UNPROCESSABLE:
            raise
        # GitHub may have created it but the response was lost, or another attempt was faster.
        found = github.find_pull_request(ctx.slug, ctx.branch)
        if found is not None:
            return found, "opened; GitHub's response was lost"
        if not _draft_refused(error):
            raise
    marked = msgspec.structs.replace(text, title=f"[Draft] {text.title}")
    how = "opened as a regular pull request marked [Draft]: this repository does not support draft pull requests"
    return _create(ctx, github, marked, draft=False), how


def _branch_is_gone(ctx: PhaseContext, github: GitHub) -> bool:
    """Whether the pushed branch no longer exists; False if GitHub does not say."""
    try:
        return github.branch_head(ctx.slug, ctx.branch) is None
    except GitHubError:
        return False


def _draft_refused(error: GitHubError) -> bool:
    return error.status == _UNPROCESSABLE and any("draft" in message.lower() for message in error.errors)


def _create(ctx: PhaseContext, github: GitHub, text: PullRequestText, *, draft: bool) -> PullRequest:
    base = ctx.run.base_branch
    return github.create_pull_request(
        ctx.slug, title=text.title, body=text.body, head=ctx.branch, base=base, draft=draft
    )


def _label(ctx: PhaseContext, github: GitHub, pull: PullRequest) -> tuple[dict[str, object], Failure | None]:
    """Add the labels; a refusal is recorded but does not fail the phase. Also returns why to repeat the phase."""
    labels = ctx.settings.pull_request_labels
    try:
        github.add_labels(ctx.slug, pull.number, labels)
    except GitHubError as error:
        outage = _refused(ctx, error, "to label the pull request for") if is_rest_outage(error) else None
        return {"labels": [], "labels_refused": error.message}, outage
    return {"labels": list(labels)}, None
