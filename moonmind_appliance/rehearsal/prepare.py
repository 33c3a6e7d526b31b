"""What every rehearsal begins with: its options, the hosted repository, the faults of its scenario, the sign-ins."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.rehearsal.environment import SLUG, RehearsalEnvironment, RunningAppliance
from moonmind_appliance.rehearsal.github import GitFailed, StandInGitHub
from moonmind_appliance.rehearsal.scenarios import SCENARIOS, Scenario, configure

BASE_BRANCH = "main"
SAMPLE_SPEC = """# Due dates for the reading list

- Goal: people can give each book a date by which they want to have read it
- Scope: the command line and the stored list
- The list shows overdue books first
- A book without a date stays where it is today
"""


class RehearsalFailed(ApplianceError):
    """The rehearsal could not run, or did not end as its scenario expects."""


class RehearsalStopped(ApplianceError):
    """The caller stopped the rehearsal before its end."""


class RehearsalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a rehearsal.

    `think_seconds` is the stand-in model's pause before each answer. `shards` None: as many as the scenario needs.
    `login_broker`: with LOGIN_BROKER.
    """

    spec: str = SAMPLE_SPEC
    repository: Path | None = None
    scenario: str = "normal"
    keep: bool = False
    think_seconds: float = 0.3
    shards: int | None = None
    login_broker: bool = False


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A progress message, reported as it happens. `phase` and `status` are set for phases of the run."""

    text: str
    seconds: float
    phase: str | None = None
    status: str | None = None


class ProgressReport:
    """Reports progress with the seconds since the start.

    Every message is also a point at which the caller can stop the rehearsal: `stopped` is asked before it. Nothing is
    interrupted between two such points, so everything that exists is known and can be removed.
    """

    def __init__(self, on_progress: Callable[[Progress], None], stopped: Callable[[], bool]) -> None:
        self._began = time.monotonic()
        self._on_progress = on_progress
        self._stopped = stopped

    @property
    def seconds(self) -> float:
        """The time since the start."""
        return time.monotonic() - self._began

    def __call__(self, text: str, *, phase: str | None = None, status: str | None = None) -> None:
        """Report it.

        Raises:
            RehearsalStopped: the caller wants the rehearsal to stop.
        """
        self.check()
        self._on_progress(Progress(text=text, seconds=self.seconds, phase=phase, status=status))

    def check(self) -> None:
        """Raise RehearsalStopped if the caller wants the rehearsal to stop."""
        if self._stopped():
            raise RehearsalStopped("The rehearsal was stopped.")


def scenario_of(options: RehearsalOptions) -> Scenario:
    """The scenario that the options name.

    Raises:
        RehearsalFailed: there is none of that name.
    """
    scenario = SCENARIOS.get(options.scenario)
    if scenario is None:
        known = ", ".join(SCENARIOS)
        raise RehearsalFailed(f"Unknown scenario {options.scenario!r}.", hint=f"Choose one of: {known}.")
    return scenario


def prepare(
    environment: RehearsalEnvironment, scenario: Scenario, options: RehearsalOptions, progress: ProgressReport
) -> None:
    """Host the repository, and configure the stand-ins for the scenario.

    Raises:
        RehearsalFailed: the engine has no job image, or the repository cannot be used.
        RehearsalStopped: the caller wants the rehearsal to stop.
    """
    environment.keep = options.keep
    image = environment.settings.spec_automation_job_image
    if environment.engine.image(image) is None:
        raise RehearsalFailed(f"The Docker engine has no image {image}.", hint="Build it with ./install.sh.")
    progress.check()
    _host_repository(environment.github, options.repository, progress)
    if scenario.prepare is not None:
        with tempfile.TemporaryDirectory(prefix="moonmind-rehearsal-files-") as folder:
            scenario.prepare(Path(folder), options.spec)
            environment.github.add_files(SLUG, Path(folder))
    configure(scenario, environment.openai, environment.github)
    progress(f"Local stand-ins for OpenAI and GitHub listen on {environment.github.server_url}.")


def sign_in_shards(
    environment: RehearsalEnvironment, running: RunningAppliance, shards: int, progress: ProgressReport
) -> None:
    """Sign in each shard by device code."""
    for shard in range(shards):
        prompt = environment.sign_in(running, shard)
        progress(f"Shard {shard} is signed in by device code {prompt.code}.")


def _host_repository(github: StandInGitHub, source: Path | None, progress: ProgressReport) -> None:
    """Copy the operator's folder or Git repository to the stand-in; None: the sample."""
    if source is not None and not source.is_dir():
        raise RehearsalFailed(f"{source} is not a folder.", hint="Use a folder or a Git repository.")
    try:
        # Git runs in other folders: a relative path would have another meaning there.
        github.add_repository(SLUG, None if source is None else source.resolve())
    except (GitFailed, OSError) as error:
        # The signal that stops the rehearsal may also end its git.
        progress.check()
        reason = "; ".join(line for line in str(error).splitlines() if line and not line.startswith("hint:"))
        raise RehearsalFailed(
            f"{source} cannot be copied: {reason.removesuffix('.')}.",
            hint="Check that this user can read everything in it, and that Git repositories in it have a commit.",
        ) from error
    if BASE_BRANCH not in github.branches(SLUG):
        raise RehearsalFailed(
            f"The Git repository {source} has no commit on its current branch.",
            hint="Commit its files, or use a copy of them without .git.",
        )
