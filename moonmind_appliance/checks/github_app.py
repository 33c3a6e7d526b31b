"""Checks of the GitHub App: its key, its installation on each repository, and permissions that runs do not need."""

from collections.abc import Iterator

from moonmind_appliance.checks.finding import Finding, Level, note, ok, wrong
from moonmind_appliance.errors import GitHubError, SettingsError
from moonmind_appliance.github import GitHubApp, Installation
from moonmind_appliance.phases.github_failures import rest_failure
from moonmind_appliance.phases.github_messages import trusted_hosts
from moonmind_appliance.settings import Settings

APP = "GitHub App"
_LIMITED = "The tokens of runs have only the needed permissions."


def registered_app(app: GitHubApp, settings: Settings) -> Finding:
    """Whether GitHub accepts the App's key."""
    try:
        app.check_key()
        found = app.registered()
    except SettingsError as error:
        problem = error.problems[0]
        return wrong(APP, f"{problem.name} {problem.message}", problem.hint)
    except GitHubError as error:
        return refused(APP, error, settings, "for the App")
    observed = (
        f"{settings.github_api_url} accepts the key of {found.name} (GITHUB_APP_ID {app.app_id}). Each run gets a "
        "token for its repository only, valid for at most an hour"
    )
    return ok(APP, observed)


def everywhere(app: GitHubApp) -> Finding:
    """What runs may use if no setting limits the repositories."""
    try:
        count = app.registered().installations_count
    except GitHubError:
        count = None
    known = "" if count is None else f" It has {count} installation{'' if count == 1 else 's'}."
    observed = (
        "SPEC_WORKFLOW_GITHUB_REPOSITORY is not set: runs may use every repository on which the GitHub App is "
        f"installed.{known}"
    )
    return note("repositories", observed)


class AppInstallations:
    """Checks the installation on each repository; an installation on several repositories is reported once."""

    def __init__(self, app: GitHubApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._reported: set[int] = set()

    def __call__(self, slug: str) -> Iterator[Finding]:
        """The findings about the installation on this repository; a problem is the last one."""
        try:
            found = self._app.installation(slug)
        except GitHubError as error:
            yield refused(f"repository {slug}", error, self._settings, f"for {slug}")
            return
        if found.id not in self._reported:
            self._reported.add(found.id)
            yield _reach(found, slug.partition("/")[0])


def _reach(found: Installation, account: str) -> Finding:
    """What the installation allows beyond what runs need."""
    check = installation_check(account)
    beyond = ", ".join(f"{name}: {level}" for name, level in found.beyond().items())
    every = found.repository_selection == "all"
    if not beyond and not every:
        return ok(check, "it has the needed permissions on selected repositories, and no others")
    observed, to_do = [], []
    if beyond:
        observed.append(f"It has permissions that runs do not need: {beyond}.")
        to_do.append("Remove them in the App's settings on GitHub.")
    if every:
        observed.append(f"It is installed on all repositories of {account}.")
        to_do.append("If runs need only some repositories, select these in the installation's settings.")
    return note(check, " ".join([*observed, _LIMITED]), " ".join(to_do))


def installation_check(account: str) -> str:
    """The name of the check of the installation on an account."""
    return f"{APP} on {account}"


def refused(check: str, error: GitHubError, settings: Settings, doing: str) -> Finding:
    """Why GitHub did not answer the App's request, and what to do."""
    reason = rest_failure(error, doing, hosts=trusted_hosts(settings))
    if error.retry_at is not None:
        return note(check, "GitHub's rate limit is reached.", f"Check again after {error.retry_at:%H:%M} UTC.")
    return wrong(check, reason.message, reason.next_step)


def is_wrong(finding: Finding) -> bool:
    """Whether it prevents runs."""
    return finding.level is Level.WRONG
