"""Maps errors of GitHub's REST API and of Git to failures."""

import re

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.models import Failure, FailureCode, failure

_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY = 401, 403, 404, 429
_FIRST_ERROR, _SERVER = 400, 500

# Messages of Git and GitHub on standard error; the first match counts.
_GIT_MESSAGES: tuple[tuple[str, FailureCode], ...] = (
    (r"refusing to allow .* workflow|without [`'\"]?workflow[`'\"]? scope", FailureCode.WORKFLOW_SCOPE_MISSING),
    (r"archived so it is read-only", FailureCode.REPOSITORY_ARCHIVED),
    (
        r"remote rejected|protected branch|hook declined|pre-receive|\bGH\d{3}\b|push declined|rule violations",
        FailureCode.PUSH_REJECTED,
    ),
    (r"\[rejected\]|stale info|non-fast-forward|fetch first", FailureCode.BRANCH_CONFLICT),
    (r"Authentication failed|could not read Username|error: 401|Invalid username", FailureCode.GITHUB_TOKEN_REJECTED),
    (r"error: 403|Write access to repository not granted|Permission to .* denied", FailureCode.PUSH_NOT_PERMITTED),
    (r"couldn't find remote ref|Remote branch .* not found", FailureCode.BASE_BRANCH_NOT_FOUND),
    (r"error: 429|rate limit", FailureCode.GITHUB_RATE_LIMITED),
    (r"[Rr]epository .*not found|error: 404", FailureCode.REPOSITORY_NOT_FOUND),
    (
        (
            r"Could not resolve host|Failed to connect|Connection (?:timed out|refused|reset)|error: [35]\d\d|"
            r"(?i:certificate|gnutls|\bTLS\b|\bproxy\b)|Operation too slow|early EOF|"
            r"unexpected disconnect|hung up|Empty reply|RPC failed|timed out"
        ),
        FailureCode.GITHUB_UNREACHABLE,
    ),
)


def rest_failure(error: GitHubError, doing: str) -> Failure:
    """The failure for a REST error; `doing` completes "GitHub refused …" and "The request to GitHub … failed"."""
    github_message = f" GitHub said: {'; '.join(error.errors)}" if error.errors else ""
    if error.retry_at is not None or error.status == _TOO_MANY:
        code = FailureCode.GITHUB_RATE_LIMITED
    elif error.status is None or error.status >= _SERVER or error.status < _FIRST_ERROR:
        # No response, or one that is not from GitHub.
        code = FailureCode.GITHUB_UNREACHABLE
    elif error.status == _UNAUTHORIZED:
        code = FailureCode.GITHUB_TOKEN_REJECTED
    elif error.status == _NOT_FOUND:
        code = FailureCode.REPOSITORY_NOT_FOUND
    elif error.status == _FORBIDDEN:
        code = FailureCode.PUSH_NOT_PERMITTED
    else:
        code = FailureCode.PULL_REQUEST_REFUSED
    if code is FailureCode.GITHUB_UNREACHABLE:
        return failure(code, f"The request to GitHub {doing} failed. {error.message}", retry_at=error.retry_at)
    return failure(code, f"GitHub refused {doing} (status {error.status}).{github_message}", retry_at=error.retry_at)


def git_failure(stderr: str, otherwise: FailureCode, doing: str, *, remote: bool = True) -> Failure:
    """The failure for Git's standard error; `otherwise` if no pattern matches.

    `remote`: Git talked to GitHub. If it did not, its messages contain file names, which can imitate any pattern.
    """
    known = _GIT_MESSAGES if remote else ()
    code = next((code for pattern, code in known if re.search(pattern, stderr)), otherwise)
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    shown = [line for line in lines if not line.startswith(("git ", "hint:"))][-3:]
    return failure(code, f"git failed to {doing}. Its output: {' / '.join(shown) or 'none'}")
