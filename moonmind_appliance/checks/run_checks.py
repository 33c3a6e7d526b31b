"""Checks everything that a run needs, in sequence."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from moonmind_appliance.checks import reach as reach_of
from moonmind_appliance.checks.drained import drained
from moonmind_appliance.checks.engine import BUILD, START, docker_engine, job_image
from moonmind_appliance.checks.finding import Finding, Level, guarded, note, wrong
from moonmind_appliance.checks.github_access import TOKEN, GitHubChecks, token_is_set
from moonmind_appliance.checks.github_app import installation_check
from moonmind_appliance.checks.keycloak import ask_identity_provider
from moonmind_appliance.checks.login_broker import BROKER, login_broker
from moonmind_appliance.checks.logins import logins, no_login_yet
from moonmind_appliance.checks.machine import clock, data_folder, database, free_space
from moonmind_appliance.checks.repository import repository_checks
from moonmind_appliance.checks.service import api_address, serve, serve_state
from moonmind_appliance.checks.wall import WALL, wall
from moonmind_appliance.checks.webhook import webhook
from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.containers.engine import ContainerEngine
from moonmind_appliance.errors import ApplianceError, SettingProblem
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.resources import Resources
from moonmind_appliance.settings import Settings

_FIX = "Fix the setting."


def run_checks(
    settings: Settings,
    resources: Resources | None,
    *,
    problem: ApplianceError | None = None,
    offline: bool = False,
    repository: str | None = None,
    broker: bool = False,
) -> Iterator[Finding]:
    """All findings except those about the settings, each as soon as it is found. Blocks; takes up to a minute.

    A check that fails is a finding, never an exception. Creates the job network and the logins' volumes if they are
    missing, and a container that it removes. The caller may stop after any finding, and repeat the call.

    Args:
        settings: the settings to check.
        resources: attached to the data folder; None if it does not exist yet or cannot be used.
        problem: why the data folder cannot be used.
        offline: contact neither GitHub nor Keycloak, and start no container.
        repository: "owner/name" of a repository to check too, including its Spec Kit.
        broker: compare OpenAI's answers with and without a login broker, too.
    """
    yield from guarded("data folder", lambda: data_folder(settings), to_do="Run as its owner, usually root.")
    yield from guarded("disk", lambda: free_space(settings, None if resources is None else resources.engine))
    yield from guarded("database", lambda: database(settings, resources, problem, whole=True))
    if resources is not None:
        attached = resources
        yield from guarded("drain", lambda: _unless_ok(drained(attached)))
    yield from _containers(settings, resources, offline=offline)
    if broker:
        yield from guarded(BROKER, lambda: _compared(resources), to_do="See Docker's log.")
    state = serve_state(settings)
    yield from guarded("API address", lambda: api_address(settings, state))
    yield serve(state)
    yield from guarded("webhook", lambda: webhook(settings, resources))
    known = None if resources is None else resources.redactor
    github = GitHubChecks(settings, known)
    if offline:
        yield token_is_set(settings)
    else:
        yield from guarded(TOKEN, github, to_do=_FIX)
        if repository is not None:
            yield from _checked_once(settings, repository, known)
        yield from guarded("Keycloak", lambda: filter(None, [ask_identity_provider(settings)]), to_do=_FIX)
    yield clock(github.time, datetime.now(UTC))


def _compared(resources: Resources | None) -> Iterator[Finding]:
    if resources is None:
        yield no_login_yet()
    else:
        yield from login_broker(resources)


def _unless_ok(finding: Finding) -> list[Finding]:
    """The finding, or nothing if there is no problem: only an operator's own command causes this one."""
    return [] if finding.level is Level.OK else [finding]


def _checked_once(settings: Settings, slug: str, redactor: Redactor | None) -> Iterator[Finding]:
    """The checks of a repository, without the check that `_github` yields if a setting names the repository."""
    named = settings.spec_workflow_github_repository
    known = {f"repository {name}" for name in named} | {installation_check(name.partition("/")[0]) for name in named}
    found = guarded(f"repository {slug}", lambda: repository_checks(settings, slug, redactor), to_do=_FIX)
    yield from (finding for finding in found if finding.check not in known)


def setting_problems(problems: Sequence[SettingProblem]) -> list[Finding]:
    """A finding for each setting that cannot be used."""
    return [
        wrong(
            f"setting {problem.name}",
            f"{problem.where}: {problem.message}" if problem.where else problem.message,
            problem.hint or _FIX,
        )
        for problem in problems
    ]


def _containers(settings: Settings, resources: Resources | None, *, offline: bool) -> Iterator[Finding]:
    """Engine, image, addresses that containers reach, logins: each needs the one before."""
    own: DockerEngine | None = None
    works = False
    try:
        engine: ContainerEngine
        try:
            engine = resources.engine if resources is not None else (own := DockerEngine(settings.docker_host))
        except ApplianceError as error:
            yield wrong("Docker engine", error.message, error.hint or START)
        else:
            for finding in _engine_and_image(engine, settings):
                works = finding.level is Level.OK
                yield finding
            if works and not offline:
                yield from guarded(
                    reach_of.NETWORK, lambda: reach_of.reach(engine, settings), to_do="See Docker's log."
                )
                yield from guarded(WALL, lambda: wall(engine, settings), to_do="See Docker's log.")
    finally:
        if own is not None:
            own.close()
    if not works:
        # A sign-in needs the engine and the image: the findings above are what to fix first.
        yield note("logins", "Not checked: that needs the Docker engine and the job image.")
    elif resources is not None:
        attached = resources
        yield from guarded("logins", lambda: logins(attached, check_unknown=not offline))
    elif not settings.moonmind_data_dir.exists():
        yield no_login_yet()


def _engine_and_image(engine: ContainerEngine, settings: Settings) -> Iterator[Finding]:
    for finding in guarded("Docker engine", lambda: docker_engine(engine), to_do=START):
        yield finding
        if finding.level is not Level.OK:
            return
    yield from guarded("job image", lambda: job_image(engine, settings), to_do=BUILD)
