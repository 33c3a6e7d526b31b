"""The errors of an App's requests, with their causes.

GitHub's answers are those of docs.github.com/rest/apps/apps, and those that users report.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from moonmind_appliance.errors import AppProblem, GitHubAppError, GitHubError
from moonmind_appliance.github.app_answers import NEEDED

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _UNPROCESSABLE = 401, 403, 404, 422
_FIRST_REDIRECT, _FIRST_ERROR = 300, 400
# A larger difference between the clocks is reported; below it, the response's own age may be the reason.
_SMALL_SKEW = timedelta(seconds=30)


class AppErrors:
    """Finds the cause of a `GitHubError` of one App, on the GitHub at `api_url`."""

    def __init__(self, app_id: str, api_url: str, clock: Callable[[], datetime]) -> None:
        self._app_id = app_id
        self._api_url = api_url
        self._clock = clock

    def of_request(self, error: GitHubError, slug: str = "") -> GitHubError:
        """The error of any request with the App's JWT; the same error if its cause is not the App."""
        said = "; ".join(error.errors)
        if error.retry_at is not None or error.status is None:
            return error
        if error.status == _UNAUTHORIZED and re.search(r"claim \('(?:exp|iat)'\)|has expired", said):
            return self._wrong_clock(error, said)
        if error.status == _UNAUTHORIZED:
            message = (
                f"GitHub does not accept the App {self._app_id} with its private key: {said or 'no reason given'}. "
                "GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY must belong to the same App, on the GitHub of GITHUB_API_URL."
            )
            return GitHubAppError(message, problem=AppProblem.REJECTED, errors=error.errors)
        if error.status == _FORBIDDEN and "suspended" in said:
            return self.suspended(slug, error.errors)
        if error.status < _FIRST_ERROR or (error.status == _NOT_FOUND and not error.errors):
            return self.wrong_address(error.status)
        return error

    def of_lookup(self, error: GitHubError, slug: str) -> GitHubError:
        """The error of a request for the installation on a repository."""
        if error.status == _NOT_FOUND and error.errors:
            message = f"The GitHub App {self._app_id} is not installed on {slug}, or the repository does not exist."
            return GitHubAppError(message, problem=AppProblem.NOT_INSTALLED, errors=error.errors)
        return self.of_request(error, slug)

    def of_issue(self, error: GitHubError, slug: str) -> GitHubError:
        """The error of a request for a token for a repository."""
        said = "; ".join(error.errors)
        if error.status == _UNPROCESSABLE and "permissions" in said:
            return self.not_permitted(slug, NEEDED, error.errors)
        if error.status in (_NOT_FOUND, _UNPROCESSABLE) and error.errors:
            # It was removed from the installation, or the installation was removed, a moment ago.
            return self.of_lookup(GitHubError(error.message, status=_NOT_FOUND, errors=error.errors), slug)
        return self.of_request(error, slug)

    def suspended(self, slug: str, errors: Sequence[str] = ()) -> GitHubAppError:
        """The installation is suspended."""
        message = f"The installation of the GitHub App {self._app_id} on the account of {slug} is suspended."
        return GitHubAppError(message, problem=AppProblem.SUSPENDED, errors=errors)

    def not_permitted(self, slug: str, missing: Mapping[str, str], errors: Sequence[str] = ()) -> GitHubAppError:
        """The installation lacks needed permissions."""
        names = ", ".join(f"{name}: {level}" for name, level in missing.items())
        message = f"The installation of the GitHub App {self._app_id} on {slug} does not have the permissions {names}."
        return GitHubAppError(message, problem=AppProblem.PERMISSION, errors=errors)

    def wrong_address(self, status: int) -> GitHubAppError:
        """A server that is not GitHub's API answered with that status."""
        why = f"it answered with status {status}" if status >= _FIRST_REDIRECT else "its answer has another format"
        message = f"{self._api_url} is not the address of GitHub's REST API: {why}."
        return GitHubAppError(message, problem=AppProblem.ADDRESS)

    def _wrong_clock(self, error: GitHubError, said: str) -> GitHubAppError:
        difference = ""
        if error.server_time is not None and abs(skew := self._clock() - error.server_time) >= _SMALL_SKEW:
            side = "ahead of" if skew > timedelta() else "behind"
            difference = f" This machine's clock is {abs(round(skew.total_seconds()))} s {side} GitHub's."
        message = f"GitHub does not accept the times in the App's JWT: {said}.{difference}"
        return GitHubAppError(message, problem=AppProblem.CLOCK, errors=error.errors)
