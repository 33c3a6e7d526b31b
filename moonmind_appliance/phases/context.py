"""The input of a phase."""

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import msgspec

from moonmind_appliance.agents.adapter import AgentAdapter
from moonmind_appliance.containers.engine import CancelToken, ContainerEngine
from moonmind_appliance.errors import StoreError
from moonmind_appliance.github import GitHub
from moonmind_appliance.models import (
    ArtifactType,
    CommittedChange,
    Limits,
    PhaseName,
    PreparedJob,
    Run,
    SpecifyTurn,
    WrittenFeature,
    cache_volume,
)
from moonmind_appliance.phases.logs import PhaseLogs
from moonmind_appliance.phases.names import Names
from moonmind_appliance.phases.prepared_commands import PreparedCommands
from moonmind_appliance.phases.recorders import ArtifactRecorder, EventRecorder, LoginRecorder
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.settings import Settings

if TYPE_CHECKING:
    from moonmind_appliance.phases.wall import Wall

MEASURE_EVERY = 10.0
"""Minimum seconds between two measurements of a run's workspace."""


class RecordedLogin(msgspec.Struct, frozen=True):
    """The shard's login when it was last read: SHA-256 of its file (None: no file), and why the run must not use it.

    `by_api_key`: it is an API key, not a sign-in.
    """

    digest: str | None
    problem: str
    by_api_key: bool = False


class PhaseContext(msgspec.Struct, kw_only=True):
    """A phase's input. `run` is the current row; `attempt` counts this phase's tries from 1.

    `to_do` are the phases that were to be done when this attempt of the run began. `prepared` are the programs that
    wait for their command. `login` and `wall` are None until `start_job_container`; `wall` stays None with
    AGENT_WALL=false. `agent_files` (absolute path to content) are written into the agent container with the next
    turn's own files. `workspace_bytes` is the size of the run's volumes at the last measurement. `keep_volumes` is
    False if a retry must start again at the clone.
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
    login_recorder: LoginRecorder
    events: EventRecorder
    prepared: PreparedCommands
    to_do: Collection[PhaseName] = ()
    attempt: int = 1
    measure_every: float = MEASURE_EVERY
    workspace_bytes: int | None = None
    keep_volumes: bool = True
    login: RecordedLogin | None = None
    wall: "Wall | None" = None
    agent_files: dict[str, bytes] = {}

    @property
    def limits(self) -> Limits:
        """The limits of each job container."""
        return Limits(self.settings.container_memory, self.settings.container_cpus, self.settings.container_pids)

    @property
    def branch(self) -> str:
        """The run's branch: `<BRANCH_PREFIX>/<yyyymmdd>/<short run id>`, with the UTC date of acceptance.

        Fixed once the commit is pushed, even if the settings change.
        """
        committed = self.run.output(CommittedChange)
        fixed = committed and (committed.branch or self.run.branch_name)
        return fixed or f"{self.settings.branch_prefix}/{self.run.accepted_at:%Y%m%d}/{self.run.short_id}"

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be pushed. Once the commit is made this is fixed, even if the settings change."""
        committed = self.run.output(CommittedChange)
        if committed is not None:
            return committed.dry_run
        return self.run.dry_run or self.settings.spec_workflow_test_mode

    @property
    def slug(self) -> str:
        """The repository's current name; the submitted one before `prepare_job`."""
        prepared = self.run.output(PreparedJob)
        return prepared.repository if prepared else self.run.repository

    @property
    def cache_volume(self) -> str | None:
        """The volume with the repository's cache; None: the run uses no cache.

        Of the submitted name, so that the repository's last run can be found by it.
        """
        prepared = self.run.output(PreparedJob)
        if not self.settings.repository_cache_bytes or prepared is None or not prepared.repository_id:
            return None
        server, appliance_id = self.settings.github_server_url, self.names.appliance_id
        return cache_volume(appliance_id, server, self.run.repository, prepared.repository_id)

    @property
    def feature(self) -> WrittenFeature:
        """The feature that `specify` wrote.

        Raises:
            StoreError: `speckit_specify` has not succeeded.
        """
        turn = self.run.output(SpecifyTurn)
        if turn is None or turn.feature is None:
            raise StoreError(f"Run {self.run.run_id}: the output of speckit_specify is missing.")
        return turn.feature

    @property
    def committed(self) -> CommittedChange:
        """The change that `commit_push` committed.

        Raises:
            StoreError: `commit_push` has not succeeded.
        """
        committed = self.run.output(CommittedChange)
        if committed is None:
            raise StoreError(f"Run {self.run.run_id}: the output of commit_push is missing.")
        return committed

    def clone_url(self) -> str:
        """The URL for clone and push, without a credential."""
        return f"{self.settings.github_server_url}/{self.slug}.git"

    @contextmanager
    def logs(self, phase: PhaseName, attempt: int | None = None) -> Iterator[PhaseLogs]:
        """An attempt's stdout and stderr artifacts (None: the current attempt's); closed at the end of the block."""
        attempt = attempt or self.attempt
        with (
            closing(self.artifacts.log(phase, attempt, ArtifactType.STDOUT_LOG)) as stdout,
            closing(self.artifacts.log(phase, attempt, ArtifactType.STDERR_LOG)) as stderr,
        ):
            yield PhaseLogs(stdout, stderr)
