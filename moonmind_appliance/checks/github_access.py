"""Checks of GitHub: the token or the App, what it may do, and the allowed repositories, with the appliance's client."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from moonmind_appliance.checks.finding import Finding, Level, note, ok, wrong
from moonmind_appliance.checks.github_app import APP, AppInstallations, everywhere, is_wrong, registered_app
from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github import BEYOND, GitHub, GitHubApp, KnownTokens
from moonmind_appliance.github.proxy import route_of
from moonmind_appliance.settings import Settings
from moonmind_appliance.trust import trust_context

# Any repository shows whether a token is valid; this one is GitHub's own example.
_ANY = "octocat/Hello-World"
TOKEN = "GitHub token"  # noqa: S105 - the name of a check
_REJECTED, _NOT_FOUND = 401, 404
_TIMEOUT = 10.0
_NEEDED_SCOPES = frozenset({"repo", "public_repo", "repo:status", "repo_deployment", "workflow"})
PROXY_TO_DO = "Check GITHUB_HTTPS_PROXY: address, user and password, and that the proxy allows GitHub's hosts."


class _Listening(httpx.BaseTransport):
    """Passes requests on, and keeps the headers of the last response."""

    def __init__(self, settings: Settings) -> None:
        # Use the client: it selects the same proxy as the appliance does.
        route = route_of(settings.github_api_url, settings)
        self._client = httpx.Client(
            verify=trust_context(settings.extra_ca_certs),
            timeout=_TIMEOUT,
            proxy=route.proxy.reveal() if route.proxy else None,
            trust_env=route.from_environment,
        )
        self.headers = httpx.Headers()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        answer = self._client.send(request)
        self.headers = answer.headers
        # The content is already decoded.
        kept = [(name, value) for name, value in answer.headers.multi_items() if name != "content-encoding"]
        return httpx.Response(answer.status_code, headers=kept, content=answer.content)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def token_is_set(settings: Settings) -> Finding:
    """Check that a token or an App is set, without a request to GitHub."""
    if settings.github_app_id is not None:
        return ok(APP, f"GITHUB_APP_ID {settings.github_app_id} is set, not checked")
    if settings.github_token is None:
        to_do = "Set GITHUB_TOKEN, or GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY_FILE, and restart `serve`."
        return wrong(TOKEN, "Neither GITHUB_TOKEN nor GITHUB_APP_ID is set.", to_do)
    return ok(TOKEN, "set, not checked")


class GitHubChecks:
    """Checks the credential and each repository at GitHub. After that `time` is the time in GitHub's response, if any.

    `known` gets each token of an App before it is used.
    """

    def __init__(self, settings: Settings, known: KnownTokens | None = None) -> None:
        self._settings = settings
        self._known = known
        self.time: datetime | None = None

    def __call__(self) -> Iterator[Finding]:
        """The findings, one by one.

        Raises:
            SettingsError: the token cannot be sent, or a CA file cannot be used.
            OSError: a CA file cannot be read.
        """
        settings = self._settings
        heard = _Listening(settings)
        try:
            app = GitHubApp.of(settings, timeout=_TIMEOUT, pauses=(), transport=heard, known=self._known)
            if app is not None:
                yield from self._app(app, heard)
                return
            client = GitHub.of(settings, timeout=_TIMEOUT, pauses=(), transport=heard)
            if client is None:
                yield token_is_set(settings)
                return
            try:
                token = _token(client, heard, settings)
                self.time = _date(heard.headers)
                yield token
                if token.level is Level.WRONG:
                    return
                yield from _more_than_needed(client, settings)
                for slug in settings.spec_workflow_github_repository:
                    yield repository_access(client, slug)
                if not settings.spec_workflow_github_repository:
                    observed = (
                        "SPEC_WORKFLOW_GITHUB_REPOSITORY is not set: runs may use every repository that the "
                        "token can access."
                    )
                    yield note("repositories", observed)
            finally:
                client.close()
        finally:
            heard.close()

    def _app(self, app: GitHubApp, heard: _Listening) -> Iterator[Finding]:
        settings = self._settings
        try:
            registered = registered_app(app, settings)
            self.time = _date(heard.headers)
            yield registered
            if is_wrong(registered):
                return
            installations = AppInstallations(app, settings)
            for slug in settings.spec_workflow_github_repository:
                found = list(installations(slug))
                yield from found
                if not any(map(is_wrong, found)):
                    client = app.client(slug)
                    access = repository_access(client, slug)
                    # Before the finding: the caller may stop after it.
                    client.tokens.end()
                    yield access
            if not settings.spec_workflow_github_repository:
                yield everywhere(app)
        finally:
            app.close()


def _more_than_needed(client: GitHub, settings: Settings) -> Iterator[Finding]:
    """What a fine-grained token can do beyond what runs need, as far as reads can show it.

    GitHub does not report the permissions of such a token, so the check tries reads that need other permissions.
    """
    slug = next(iter(settings.spec_workflow_github_repository), None)
    if slug is None or settings.github_token is None or not settings.github_token.reveal().startswith("github_pat_"):
        return
    try:
        found = [name for name in BEYOND if client.may_read(slug, name)]
    except GitHubError:
        return
    check, rest = f"{TOKEN}, permissions", "GitHub does not report all permissions of a fine-grained token."
    if found:
        to_do = "Remove them: runs need Contents and Pull requests, both Read and write. Or use a GitHub App."
        yield note(check, f"It can also read {', '.join(found)}, which runs do not need. {rest}", to_do)
    else:
        yield ok(check, f"it cannot read {', '.join(BEYOND)}. {rest}")


def _token(client: GitHub, heard: _Listening, settings: Settings) -> Finding:
    """Whether GitHub accepts the token, and its scopes."""
    try:
        client.repository(next(iter(settings.spec_workflow_github_repository), _ANY))
    except GitHubError as error:
        if error.status != _NOT_FOUND:
            return _refusal(error)
    return _scopes(heard.headers, settings.github_api_url)


def _refusal(error: GitHubError) -> Finding:
    """Why GitHub refused a request that any valid token may make."""
    check = TOKEN
    if error.status is None:
        return wrong(check, error.message, _without_response(error))
    if error.status == _REJECTED:
        return wrong(check, "GitHub rejected it: it is wrong, revoked or expired.", "Create a new one.")
    if error.retry_at is not None:
        return note(check, "GitHub's rate limit is reached.", f"Check again after {error.retry_at:%H:%M} UTC.")
    return wrong(
        check, error.message, "Read GitHub's message; the organization's policy may require the token to be authorized."
    )


def _without_response(error: GitHubError) -> str:
    """What to do if GitHub did not respond."""
    return PROXY_TO_DO if error.proxy else "Check GITHUB_API_URL, the network, and EXTRA_CA_CERTS."


def _scopes(headers: httpx.Headers, address: str) -> Finding:
    """The scopes of a classic token; other kinds of token have none. Both may expire (docs.github.com/rest)."""
    check = TOKEN
    given = headers.get("x-oauth-scopes")
    end = headers.get("github-authentication-token-expiration", "")
    until = f"; it expires {end}" if end else ""
    if given is None:
        return ok(check, f"{address} accepts GITHUB_TOKEN; this kind of token has no scopes{until}")
    scopes = {scope.strip() for scope in given.split(",") if scope.strip()}
    observed = f"{address} accepts GITHUB_TOKEN; scopes: {', '.join(sorted(scopes)) or 'none'}{until}"
    if "repo" in scopes:
        observed = f"{observed}; `repo` covers every repository of its account"
    if not scopes & {"repo", "public_repo"}:
        return wrong(check, observed, "Give it the `repo` scope.")
    if beyond := sorted(scopes - _NEEDED_SCOPES):
        to_do = "Use a token without them, or a GitHub App, whose tokens are for one repository and one hour."
        return note(check, f"{observed}. Runs do not need {', '.join(beyond)}.", to_do)
    if "workflow" not in scopes:
        return note(check, observed, "Without the `workflow` scope, changes under .github/workflows cannot be pushed.")
    return ok(check, observed)


def repository_access(client: GitHub, slug: str) -> Finding:
    """Whether the token may push to the repository, and whether there is a branch to start from."""
    check = f"repository {slug}"
    try:
        found = client.repository(slug)
        branch = client.branch_head(found.full_name, found.default_branch)
    except GitHubError as error:
        if error.status == _NOT_FOUND:
            return wrong(check, "The token has no access to it.", "Check the name, or give the token access.")
        if error.status is None:
            return wrong(check, error.message, _without_response(error))
        return wrong(check, error.message, "Read GitHub's message.")
    problems = (
        (
            found.archived,
            "It is archived: GitHub rejects pushes to it.",
            "Unarchive it, or remove it from the setting.",
        ),
        (found.disabled, "GitHub has disabled it.", "Its owner must resolve the block with GitHub."),
        (not found.may_push, "The token can read it but not push to it.", "Give its account write access."),
    )
    for applies, observed, to_do in problems:
        if applies:
            return wrong(check, observed, to_do)
    if branch is None:
        return note(check, "It is empty: there is no branch to start from.", "Push a first commit.")
    return ok(check, f"push access; default branch {found.default_branch}")


def _date(headers: httpx.Headers) -> datetime | None:
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return None
