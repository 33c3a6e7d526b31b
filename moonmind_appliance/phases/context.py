"""A phase's input and result."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from moonmind_appliance.agents.adapter import WORKSPACES, AgentAdapter
from moonmind_appliance.containers.engine import ByteSink, CancelToken, ContainerEngine
from moonmind_appliance.github import GitHub
from moonmind_appliance.models import (
    ArtifactType,
    EndReason,
    ExecOutcome,
    ExecSpec,
    Failure,
    ImageState,
    Limits,
    PhaseName,
    PhaseStatus,
    Run,
    ShardName,
    TurnOutcome,
    WaitingFor,
)
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Settings

LABEL_APPLIANCE = "moonmind.appliance"
LABEL_RUN = "moonmind.run"
LABEL_SHARD = "moonmind.shard"
LABEL_ROLE = "moonmind.role"

# The git container's own folder: bare clone, HOME and CA file; job_image/README.md is the paths' contract.
GIT_FOLDER = "/work/git"
GIT_CA_FILE = f"{GIT_FOLDER}/extra-ca.pem"
# The files that Spec Kit adds to a repository without it.
SCAFFOLD = "/opt/spec-kit/scaffold"


MEASURE_EVERY = 10.0
"""Minimum seconds between two measurements of a run's workspace."""


class LogSink(ByteSink, Protocol):
    """An artifact that grows while a command runs."""

    @property
    def storage_path(self) -> str:
        """Its path, relative to the data folder."""

    def close(self) -> object:
        """Close it. Idempotent."""


class ArtifactRecorder(Protocol):
    """Stores the artifacts of a run's phases; redacts all of them."""

    def log(self, phase: PhaseName, attempt: int, artifact_type: ArtifactType) -> LogSink:
        """A new log of that phase and attempt."""

    def keep(self, name: str, artifact_type: ArtifactType, phase: PhaseName, content: bytes, content_type: str) -> str:
        """Store a whole file and return its storage path. A file of the same name is replaced."""


class PhaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a phase ended. A failed job is a result, not an exception.

    At most one of `failure`, `waiting_for` and `no_changes` is set. `failure`: the phase failed. `waiting_for`: the run
    must wait and then repeat this phase. `no_changes`: it succeeded, and this is why there is nothing to publish.
    `notes` are fields of the run's row.
    """

    status: PhaseStatus = PhaseStatus.SUCCEEDED
    failure: Failure | None = None
    waiting_for: WaitingFor | None = None
    no_changes: str | None = None
    metadata: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    stdout_path: str | None = None
    stderr_path: str | None = None
    turn: TurnOutcome | None = None


def succeeded(**metadata: Any) -> PhaseResult:  # noqa: ANN401 - metadata is JSON
    """A success."""
    return PhaseResult(metadata=metadata)


def failed(reason: Failure, **metadata: Any) -> PhaseResult:  # noqa: ANN401 - metadata is JSON
    """A failure with its reason."""
    return PhaseResult(status=PhaseStatus.FAILED, failure=reason, metadata=metadata)


def skipped(**metadata: Any) -> PhaseResult:  # noqa: ANN401 - metadata is JSON
    """Nothing to do."""
    return PhaseResult(status=PhaseStatus.SKIPPED, metadata=metadata)


class Names(msgspec.Struct, frozen=True):
    """The names of a run's containers, volumes and folders. They depend only on the run and the shard."""

    run_id: str
    appliance_id: str
    shard: ShardName

    @property
    def agent(self) -> str:
        """The agent container: its name is the shard's lock."""
        return self.shard.lock

    @property
    def git(self) -> str:
        """The git container."""
        return f"moonmind-git-{self.run_id}"

    @property
    def workspace_volume(self) -> str:
        """The volume that both containers share."""
        return f"moonmind-run-{self.run_id}"

    @property
    def git_volume(self) -> str:
        """The git container's own volume."""
        return f"moonmind-git-{self.run_id}"

    @property
    def workspace(self) -> str:
        """The run's folder inside the containers."""
        return f"{WORKSPACES}/{self.run_id}"

    @property
    def repository(self) -> str:
        """The worktree inside the containers."""
        return f"{self.workspace}/repo"

    def labels(self, role: str) -> dict[str, str]:
        """Labels of every container and volume of this run."""
        return {
            LABEL_APPLIANCE: self.appliance_id,
            LABEL_RUN: self.run_id,
            LABEL_SHARD: str(self.shard.index),
            LABEL_ROLE: role,
        }


class PhaseContext(msgspec.Struct, kw_only=True):
    """A phase's input. `run` is the current row; `attempt` counts this phase's tries from 1.

    `login_seen` stores what the login file says, and returns why the run must not use it ("" if it may). The last
    result is in `login_problem`.
    `workspace_bytes` is the size of the run's volumes at the last measurement.
    """

    run: Run
    settings: Settings
    names: Names
    engine: ContainerEngine
    github: GitHub | None
    agent: AgentAdapter
    redactor: Redactor
    artifacts: ArtifactRecorder
    cancel: CancelToken
    login_seen: Callable[[bytes | None], str]
    image: ImageState | None = None
    attempt: int = 1
    measure_every: float = MEASURE_EVERY
    workspace_bytes: int | None = None
    login_digest: str | None = None
    login_problem: str = ""
    files_there: set[str] = msgspec.field(default_factory=set)
    clone_ahead: "Callable[[PhaseContext], PhaseResult] | None" = None
    clone: "Future[PhaseResult] | None" = None
    removal: Future[tuple[list[str], list[str]]] | None = None

    @property
    def limits(self) -> Limits:
        """Of each job container."""
        return Limits(self.settings.container_memory, self.settings.container_cpus, self.settings.container_pids)

    @property
    def branch(self) -> str:
        """The run's branch: `speckit/<yyyymmdd>/<short run id>`, with the UTC date of acceptance."""
        return f"speckit/{self.run.accepted_at:%Y%m%d}/{self.run.short_id}"

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be pushed. Once the commit is made this is fixed, even if the settings change."""
        commit = self.run.phase(PhaseName.COMMIT_PUSH)
        if commit.status is PhaseStatus.SUCCEEDED and "dry_run" in commit.metadata:
            return bool(commit.metadata["dry_run"])
        return self.run.dry_run or self.settings.spec_workflow_test_mode

    def metadata(self, phase: PhaseName) -> dict[str, Any]:
        """The metadata of an earlier phase."""
        return self.run.phase(phase).metadata

    @property
    def slug(self) -> str:
        """The repository's current name: GitHub redirects after a rename, and `prepare_job` records the new name."""
        return str(self.metadata(PhaseName.PREPARE_JOB).get("repository") or self.run.repository)

    def clone_url(self) -> str:
        """The URL for clone and push, without a credential."""
        return f"{self.settings.github_server_url}/{self.slug}.git"

    @contextmanager
    def logs(self, phase: PhaseName, attempt: int | None = None) -> Iterator["PhaseLogs"]:
        """An attempt's stdout and stderr artifacts (None: the current attempt's); closed at the end of the block."""
        attempt = attempt or self.attempt
        logs = PhaseLogs(
            self.artifacts.log(phase, attempt, ArtifactType.STDOUT_LOG),
            self.artifacts.log(phase, attempt, ArtifactType.STDERR_LOG),
        )
        try:
            yield logs
        finally:
            logs.close()


class PhaseLogs:
    """The two artifacts that a command's output is streamed to, redacted."""

    def __init__(self, stdout: LogSink, stderr: LogSink) -> None:
        self.stdout = stdout
        self.stderr = stderr

    @property
    def paths(self) -> dict[str, str]:
        """Storage paths in the form of `PhaseResult`'s fields."""
        return {"stdout_path": self.stdout.storage_path, "stderr_path": self.stderr.storage_path}

    def close(self) -> None:
        """Close both, even if the first one fails."""
        try:
            self.stdout.close()
        finally:
            self.stderr.close()


class Tee:
    """Writes bytes to several sinks, and keeps the last ones. Thread-safe."""

    def __init__(self, *sinks: ByteSink, keep: int = 64 * 1024) -> None:
        self._sinks = sinks
        self._keep = keep
        self._lock = threading.Lock()
        self._kept = bytearray()

    def write(self, data: bytes) -> None:
        """Take some bytes."""
        with self._lock:
            for sink in self._sinks:
                sink.write(data)
            self._kept += data
            if len(self._kept) > self._keep:
                del self._kept[: -self._keep]

    @property
    def tail(self) -> bytes:
        """The last bytes written."""
        return bytes(self._kept)


def run_command(
    ctx: PhaseContext, container: str, spec: ExecSpec, *, stdout: ByteSink, stderr: ByteSink
) -> ExecOutcome:
    """Execute a command; ends at once if the run is interrupted.

    Raises:
        RunInterrupted: a cancel, a shutdown or a lost lease ended it.
    """
    outcome = ctx.engine.execute(container, spec, stdout=stdout, stderr=stderr, cancel=ctx.cancel)
    if outcome.ended is EndReason.CANCELLED:
        ctx.cancel.check()
    return outcome
