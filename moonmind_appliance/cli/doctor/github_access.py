"""GitHub: the token, its scopes, and the repositories that runs may name; all through the appliance's own door."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from moonmind_appliance.cli.doctor.finding import Finding, note, ok, wrong
from moonmind_appliance.errors import GitHubError, SettingsError
from moonmind_appliance.github import GitHub
from moonmind_appliance.settings import Settings

# Any repository tells a good token from a bad one; this one is GitHub's own example.
_ANY = "octocat/Hello-World"
_REJECTED, _NOT_FOUND = 401, 404
_TIMEOUT = 10.0


class _Listening(httpx.BaseTransport):
    """Passes requests on, and keeps the last answer's headers."""

    def __init__(self, settings: Settings) -> None:
        trust = httpx.create_ssl_context()
        trust.load_default_certs()
        if settings.extra_ca_certs is not None:
            trust.load_verify_locations(cafile=settings.extra_ca_certs)
        # A client sees to the proxies of the environment, as the door's own does.
        self._client = httpx.Client(verify=trust, timeout=_TIMEOUT)
        self.headers = httpx.Headers()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        answer = self._client.send(request)
        self.headers = answer.headers
        # What was decoded once must not be decoded again.
        kept = [(name, value) for name, value in answer.headers.multi_items() if name != "content-encoding"]
        return httpx.Response(answer.status_code, headers=kept, content=answer.content)

    def close(self) -> None:
        """Let go."""
        self._client.close()


def github_findings(settings: Settings) -> tuple[list[Finding], datetime | None]:
    """The token and each repository; and the time in GitHub's answer, None where there was none."""
    check = "GitHub token"
    if settings.github_token is None:
        return [wrong(check, "GITHUB_TOKEN is not set.", "Set GITHUB_TOKEN or GITHUB_TOKEN_FILE.")], None
    try:
        heard = _Listening(settings)
        door = GitHub(
            api_url=settings.github_api_url, token=settings.github_token, timeout=_TIMEOUT, pauses=(), transport=heard
        )
    except (SettingsError, OSError) as error:
        return [wrong(check, str(error), "Mend the setting.")], None
    try:
        findings = [_token(door, heard, settings)]
        if findings[0].grade != "wrong":
            findings += [_repository(door, slug) for slug in settings.spec_workflow_github_repository]
            if not settings.spec_workflow_github_repository:
                seen = "SPEC_WORKFLOW_GITHUB_REPOSITORY is not set: runs may name every repository of the token."
                findings.append(note("repositories", seen))
        return findings, _date(heard.headers)
    finally:
        door.close()
        heard.close()


def _token(door: GitHub, heard: _Listening, settings: Settings) -> Finding:
    """Whether GitHub takes it, and which scopes it has."""
    try:
        door.repository(next(iter(settings.spec_workflow_github_repository), _ANY))
    except GitHubError as error:
        if error.status != _NOT_FOUND:
            return _refusal(error)
    return _scopes(heard.headers.get("x-oauth-scopes"), settings.github_api_url)


def _refusal(error: GitHubError) -> Finding:
    """Why a question that any good token may ask was not answered."""
    check = "GitHub token"
    if error.status is None:
        return wrong(check, error.message, "Check GITHUB_API_URL, the network, and EXTRA_CA_CERTS.")
    if error.status == _REJECTED:
        return wrong(check, "GitHub does not take it: it is wrong, revoked or over.", "Make a new one.")
    if error.retry_at is not None:
        return note(check, "GitHub's rate limit is reached for now.", f"Look again after {error.retry_at:%H:%M} UTC.")
    return wrong(check, error.message, "Read what GitHub says; a company's policy may want it authorized.")


def _scopes(given: str | None, address: str) -> Finding:
    """What a classic token may do; other kinds of token have no scopes."""
    check = "GitHub token"
    if given is None:
        return ok(check, f"{address} takes it; its kind names no scopes")
    scopes = {scope.strip() for scope in given.split(",") if scope.strip()}
    seen = f"{address} takes it; scopes: {', '.join(sorted(scopes)) or 'none'}"
    if not scopes & {"repo", "public_repo"}:
        return wrong(check, seen, "Give it the scope repo.")
    if "workflow" not in scopes:
        return note(check, seen, "Without the scope workflow, changes under .github/workflows cannot be pushed.")
    return ok(check, seen)


def _repository(door: GitHub, slug: str) -> Finding:
    check = f"repository {slug}"
    try:
        found = door.repository(slug)
        branch = door.branch_head(found.full_name, found.default_branch)
    except GitHubError as error:
        if error.status == _NOT_FOUND:
            return wrong(check, "The token does not see it.", "Check the name, or give the token access to it.")
        return wrong(check, error.message, "Read what GitHub says.")
    if found.archived:
        return wrong(check, "It is archived: GitHub takes no push.", "Unarchive it, or take it out of the setting.")
    if not found.may_push:
        return wrong(check, "The token may read it, but not push.", "Give its account write access.")
    if branch is None:
        return note(check, "It is empty: there is no branch to start from.", "Push a first commit.")
    return ok(check, f"may be pushed to; default branch {found.default_branch}")


def _date(headers: httpx.Headers) -> datetime | None:
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return None
