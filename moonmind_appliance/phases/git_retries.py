"""Git's calls to GitHub, repeated after growing pauses while GitHub does not respond, like requests to its REST API."""

import random
import time
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github.tokens import LEFT_AT_USE, call_with_token
from moonmind_appliance.models import EndReason, Failure, FailureCode, PhaseName
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.git_commands import GitAnswer, answer_failure, git_command, git_credentials
from moonmind_appliance.phases.github_failures import is_git_outage, is_rest_outage, rest_failure
from moonmind_appliance.phases.github_messages import trusted_hosts
from moonmind_appliance.phases.logs import PhaseLogs
from moonmind_appliance.phases.workspace_watch import WorkspaceWatch, watch_git
from moonmind_appliance.settings import Secret

_Result = TypeVar("_Result", bound=msgspec.Struct)


class GitHubVerb(NamedTuple):
    """A verb that talks to GitHub, and how its failure is described.

    Attributes:
        name: `clone` or `push`. Both can be repeated.
        phase: the phase that runs it.
        job: the verb's own parameters.
        otherwise: the failure code if the cause is unknown.
        doing: completes "git failed to …".
    """

    name: str
    phase: PhaseName
    job: dict[str, Any]
    otherwise: FailureCode
    doing: str


class GitHubAnswer(NamedTuple, Generic[_Result]):
    """The result of a verb, or why there is none. `outage`: the failure is expected to resolve by itself."""

    result: _Result | None
    stderr: str
    failure: Failure | None = None
    outage: bool = False


def call_github(ctx: PhaseContext, verb: GitHubVerb, result: type[_Result], logs: PhaseLogs) -> GitHubAnswer[_Result]:
    """Run a verb. Repeat it if GitHub does not respond, after the pauses of the REST client, with an event each time.

    All attempts together take at most GIT_TIME_LIMIT. A rate limit is not tried again: the run must wait. The size of
    the run's volumes is watched meanwhile, and is the reason of the failure if it is too large.

    Raises:
        RunInterrupted: a cancel, a shutdown or a lost lease ended it.
        EngineError: the container ended by itself, or the engine does not answer.
        DiskFull: the disk with the engine's volumes is full.
    """
    with watch_git(ctx) as watch:
        answer = _repeat(ctx, verb, result, logs, watch)
    if watch.used is not None:
        ctx.workspace_bytes = watch.used
    return answer if watch.failure is None else GitHubAnswer(None, answer.stderr, watch.failure)


def _repeat(
    ctx: PhaseContext, verb: GitHubVerb, result: type[_Result], logs: PhaseLogs, watch: WorkspaceWatch
) -> GitHubAnswer[_Result]:
    deadline = time.monotonic() + ctx.settings.git_time_limit
    pauses = ctx.github.pauses if ctx.github else ()
    for attempt, pause in enumerate((*pauses, None), start=1):
        try:
            answer = _call(ctx, verb, result, logs, deadline)
        except GitHubError as error:
            refused = rest_failure(error, f"to {verb.doing}", hosts=trusted_hosts(ctx.settings))
            return GitHubAnswer(None, "", refused, is_rest_outage(error))
        if answer.result is not None or watch.failure is not None:
            return GitHubAnswer(answer.result, answer.stderr, watch.failure)
        reason = answer_failure(ctx, answer, verb.otherwise, verb.doing)
        outage = is_git_outage(reason, answer.stderr)
        repeats = outage and reason.code is not FailureCode.GITHUB_RATE_LIMITED
        if pause is None or not repeats or time.monotonic() + pause >= deadline:
            return GitHubAnswer(None, answer.stderr, reason, outage)
        _wait(ctx, verb, attempt, pause * random.uniform(0.75, 1.25), reason)  # noqa: S311 - not used for a secret
    raise AssertionError("the last round returns")


def _call(
    ctx: PhaseContext, verb: GitHubVerb, result: type[_Result], logs: PhaseLogs, deadline: float
) -> GitAnswer[_Result]:
    """Run the verb; run it again if GitHub rejected a token that can be renewed.

    Raises:
        GitHubError: GitHub gave no token.
    """

    def call(token: Secret | None) -> GitAnswer[_Result]:
        left = max(1.0, deadline - time.monotonic())
        given = git_credentials(ctx.settings, token)
        return git_command(ctx, verb.name, verb.job, result, logs, credentials=given, time_limit=left)

    def rejects(answer: GitAnswer[_Result]) -> bool:
        if answer.result is not None or answer.outcome.ended is not EndReason.EXITED:
            return False
        return answer_failure(ctx, answer, verb.otherwise, verb.doing).code is FailureCode.GITHUB_TOKEN_REJECTED

    if ctx.github is None:
        return call(None)
    return call_with_token(
        ctx.github.tokens,
        call,
        rejects=rejects,
        is_unknown=rejects,
        wait=lambda pause: _pause(ctx, pause),
        # The command may take that long.
        valid_for=ctx.settings.git_time_limit + LEFT_AT_USE,
    )


def _wait(ctx: PhaseContext, verb: GitHubVerb, attempt: int, pause: float, reason: Failure) -> None:
    data = {"phase": verb.phase.value, "attempt": attempt, "pause": round(pause, 1), "why": reason.message}
    ctx.events.record("run.git_retried", data)
    _pause(ctx, pause)


def _pause(ctx: PhaseContext, seconds: float) -> None:
    if ctx.cancel.wait(seconds):
        ctx.cancel.check()
