"""Runs one of the Git container's verbs: `clone`, `stage` or `push`."""

import base64
import re
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from moonmind_appliance.errors import DiskFull
from moonmind_appliance.github.proxy import Route, git_proxy_problem, route_of
from moonmind_appliance.in_container.command import command
from moonmind_appliance.models import EndReason, ExecOutcome, ExecSpec, Failure, FailureCode, failure
from moonmind_appliance.models.container_paths import GIT_CA_FILE, GIT_FOLDER, SCAFFOLD
from moonmind_appliance.phases.commands import KILLED, Tee, lost, memory_limit, out_of_memory, run_command
from moonmind_appliance.phases.context import PhaseContext
from moonmind_appliance.phases.github_failures import git_failure
from moonmind_appliance.phases.github_messages import trusted_hosts
from moonmind_appliance.phases.logs import PhaseLogs
from moonmind_appliance.settings import Secret, Settings
from moonmind_appliance.untrusted_json import decode

_LONGEST_RESULT = 16 * 1024 * 1024
# Match local errors only; GitHub's own lines start with "remote:".
_SIGNAL_9 = re.compile(r"^(?!remote:).*died of signal 9", re.MULTILINE)
_NO_ROOM = re.compile(r"^(?!remote:).*(?:No space left on device|Disk quota exceeded)", re.MULTILINE)


_Result = TypeVar("_Result", bound=msgspec.Struct)


class GitAnswer(msgspec.Struct, Generic[_Result], frozen=True):
    """A verb's output: its result (None if Git failed), the output after it, and Git's standard error, redacted.

    `remote` says whether the verb talks to GitHub: only then can standard error contain GitHub's messages.
    """

    verb: str
    remote: bool
    outcome: ExecOutcome
    result: _Result | None
    rest: bytes
    stderr: str


class _Collected:
    """Keeps standard output up to a limit; a patch of megabytes can follow the result line."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data[: max(0, self._limit - len(self.data))]


def git_command(
    ctx: PhaseContext,
    verb: str,
    job: dict[str, Any],
    result: type[_Result],
    logs: PhaseLogs,
    *,
    credentials: Mapping[str, str] | None = None,
    time_limit: float | None = None,
) -> GitAnswer[_Result]:
    """Run a verb.

    Args:
        ctx: the context.
        verb: `clone`, `stage` or `push`.
        job: the verb's own parameters.
        result: the type of its answer, see `git_answers`.
        logs: where its output goes.
        credentials: see `git_credentials`; only for verbs that talk to GitHub.
        time_limit: seconds; None: GIT_TIME_LIMIT.

    Raises:
        DiskFull: the disk with the engine's volumes is full.
    """
    collected = _Collected(_LONGEST_RESULT + ctx.settings.max_change_bytes)
    stderr = Tee(logs.stderr)
    outcome = run_command(
        ctx,
        ctx.names.git,
        ExecSpec(
            command=command(f"git_{verb}", common_job(ctx) | job),
            env={} if credentials is None else {**credentials, **_route(ctx).environment()},
            working_dir=GIT_FOLDER,
            time_limit=ctx.settings.git_time_limit if time_limit is None else time_limit,
        ),
        stdout=collected,
        stderr=stderr,
    )
    line, _, rest = bytes(collected.data).partition(b"\n")
    logs.stdout.write(line + b"\n")
    decoded = _decoded(line, result) if outcome.ok else None
    messages = ctx.redactor.redact_text(stderr.tail.decode(errors="replace"))
    if decoded is None and _NO_ROOM.search(messages):
        raise DiskFull(
            "The Docker engine has no disk space left for the run's volumes.", hint="Free space on its disk."
        )
    return GitAnswer(verb, credentials is not None, outcome, decoded, rest, messages)


def prepare_git(ctx: PhaseContext, verb: str) -> None:
    """Start the verb's program in the background; it waits for `git_command`."""
    ctx.prepared.prepare(ctx.names.git, command(f"git_{verb}", {}))


def _decoded(line: bytes, result: type[_Result]) -> _Result | None:
    """The verb's result; None if the line exceeds the limit and was cut."""
    try:
        return decode(line, result)
    except msgspec.MsgspecError:
        return None


def answer_failure(ctx: PhaseContext, answer: GitAnswer[Any], otherwise: FailureCode, doing: str) -> Failure:
    """Why a verb gave no result; `otherwise` if the cause is unknown.

    Raises:
        ContainerLost: the git container ended.
    """
    if answer.outcome.ended is EndReason.TIMED_OUT:
        limit = f"GIT_TIME_LIMIT ({ctx.settings.git_time_limit} s)"
        return failure(FailureCode.GIT_TIMED_OUT, f"git took longer than {limit} to {doing}.")
    if answer.outcome.ended is EndReason.CONTAINER_GONE:
        raise lost(f"git {answer.verb}", "git")
    was_killed = answer.outcome.exit_code == KILLED or _SIGNAL_9.search(answer.stderr)
    if was_killed and out_of_memory(ctx, ctx.names.git):
        return failure(FailureCode.OUT_OF_MEMORY, f"git needed more memory to {doing} than {memory_limit(ctx)}.")
    if answer.remote and (problem := git_proxy_problem(answer.stderr, _route(ctx))):
        return failure(FailureCode.GITHUB_PROXY_FAILED, f"git failed to {doing}. {problem}")
    return git_failure(
        answer.stderr,
        otherwise,
        doing,
        hosts=trusted_hosts(ctx.settings),
        remote=answer.remote,
        pushing=answer.verb == "push",
    )


def _route(ctx: PhaseContext) -> Route:
    return route_of(ctx.settings.github_server_url, ctx.settings)


def common_job(ctx: PhaseContext) -> dict[str, Any]:
    """Parameters of every verb. Contains no secret."""
    return {
        "private": GIT_FOLDER,
        "extra_ca": GIT_CA_FILE,
        "scaffold": SCAFFOLD,
        "integration": ctx.agent.integration,
        "workspace": ctx.names.workspace,
        "repository": ctx.names.repository,
        "url": ctx.clone_url(),
        "branch": ctx.branch,
        "base_branch": ctx.run.base_branch,
        "depth": ctx.settings.clone_depth,
    }


def git_credentials(settings: Settings, token: Secret | None) -> dict[str, str]:
    """The GitHub token as Git configuration in the exec's environment: not an argument, file or container setting."""
    credential = f"x-access-token:{token.reveal() if token else ''}"
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{settings.github_server_url}/.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {base64.b64encode(credential.encode()).decode()}",
    }
