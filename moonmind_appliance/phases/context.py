"""The input of a phase."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import msgspec

from moonmind_appliance.agents.adapter import AgentAdapter
from moonmind_appliance.containers.engine import CancelToken, ContainerEngine
from moonmind_appliance.github import GitHub
from moonmind_appliance.models import ArtifactType, ImageState, Limits, PhaseName, PhaseStatus, Run
from moonmind_appliance.phases.logs import PhaseLogs
from moonmind_appliance.phases.names import Names
from moonmind_appliance.phases.recorders import ArtifactRecorder
from moonmind_appliance.phases.result import PhaseResult
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Settings

MEASURE_EVERY = 10.0
"""Minimum seconds between two measurements of a run's workspace."""


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
        """The limits of each job container."""
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
    def logs(self, phase: PhaseName, attempt: int | None = None) -> Iterator[PhaseLogs]:
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
