"""Maps errors of GitHub's REST API and of Git to failures.

The status alone does not decide: the phase and what the run has done so far do too. For example, a failure says that
a branch is pushed only if it is.
"""

import re
from collections.abc import Collection

from moonmind_appliance.errors import AppProblem, GitHubAppError, GitHubError
from moonmind_appliance.models import Failure, FailureCode, failure
from moonmind_appliance.phases.github_messages import (
    access_code,
    declined,
    push_code,
    remote_lines,
    trusted_address,
)
from moonmind_appliance.printable import strip

_UNAUTHORIZED, _NOT_FOUND, _TOO_MANY, _LEGAL_REASONS = 401, 404, 429, 451
_FIRST_ERROR, _SERVER = 400, 500

_APP_CODES = {
    AppProblem.REJECTED: FailureCode.GITHUB_APP_REJECTED,
    AppProblem.CLOCK: FailureCode.GITHUB_APP_CLOCK_WRONG,
    AppProblem.NOT_INSTALLED: FailureCode.GITHUB_APP_NOT_INSTALLED,
    AppProblem.SUSPENDED: FailureCode.GITHUB_APP_SUSPENDED,
    AppProblem.PERMISSION: FailureCode.GITHUB_APP_PERMISSION_MISSING,
    AppProblem.ADDRESS: FailureCode.GITHUB_UNREACHABLE,
}

# Git's own messages on standard error; the first match counts.
_GIT_MESSAGES: tuple[tuple[str, FailureCode], ...] = (
    (r"\[rejected\]|stale info|non-fast-forward|fetch first", FailureCode.BRANCH_CONFLICT),
    (r"Authentication failed|could not read Username|error: 401|Invalid username", FailureCode.GITHUB_TOKEN_REJECTED),
    (r"Permission to .{0,300} denied", FailureCode.PUSH_NOT_PERMITTED),
    (r"error: 451", FailureCode.REPOSITORY_BLOCKED),
    (r"couldn't find remote ref|Remote branch .{0,300} not found", FailureCode.BASE_BRANCH_NOT_FOUND),
    (r"error: 429|rate limit", FailureCode.GITHUB_RATE_LIMITED),
    (r"[Rr]epository .{0,300}not found|error: 404", FailureCode.REPOSITORY_NOT_FOUND),
)
_UNREACHABLE = (
    (
        r"Could not resolve host|Failed to connect|Connection (?:timed out|refused|reset)|error: [35]\d\d|"
        r"(?i:certificate|gnutls|\bTLS\b|\bproxy\b)|Operation too slow|early EOF|"
        r"unexpected disconnect|hung up|Empty reply|RPC failed|timed out|"
        # Any other error of the connection, in libcurl's words: git prints the status of a response as below.
        r"unable to access '': (?!The requested URL returned error)"
    ),
    FailureCode.GITHUB_UNREACHABLE,
)
# A repetition does not cure these: a certificate, a proxy's refusal, a redirect.
_PERMANENT = re.compile(r"certificate|\bproxy\b|CONNECT tunnel|error: 3\d\d", re.IGNORECASE)
_OWN_LINE = re.compile(r"^(?:fatal|error): .*", re.MULTILINE)
_URL = re.compile(r"'https?://[^'\n]*'")
# A push that GitHub declined for a reason without a code of its own.
_PUSH_DECLINED = re.compile(
    r"remote rejected|protected branch|hook declined|pre-receive|\bGH\d{3}\b|push declined|rule violations"
)


def rest_failure(error: GitHubError, doing: str, *, hosts: Collection[str], pushed: str | None = None) -> Failure:
    """The failure for a REST error.

    Args:
        error: the error.
        doing: completes "GitHub refused …" and "The request to GitHub … failed".
        hosts: see `trusted_hosts`.
        pushed: the run's branch if it is pushed already; None before.
    """
    code = _rest_code(error, pushed=pushed is not None)
    if isinstance(error, GitHubAppError):
        said = [f"The appliance got no token from GitHub {doing}.", strip(error.message)]
    elif code in (FailureCode.GITHUB_UNREACHABLE, FailureCode.GITHUB_PROXY_FAILED):
        said = [f"The request to GitHub {doing} failed. {error.message}"]
    else:
        said = [f"GitHub refused {doing} (status {error.status})."]
        if error.errors:
            said.append(f"GitHub said: {_sentence(strip('; '.join(error.errors)))}")
    if error.permissions and code in (
        FailureCode.GITHUB_TOKEN_INSUFFICIENT,
        FailureCode.GITHUB_APP_PERMISSION_MISSING,
    ):
        said.append(f"The request needs these permissions: {strip(error.permissions)}.")
    if code is FailureCode.GITHUB_SSO_REQUIRED:
        said.append(_authorize(trusted_address(error.sso_url or "", hosts)))
    if pushed is not None:
        said.append(f"The branch {pushed} is pushed.")
    return failure(code, " ".join(filter(None, said)), retry_at=error.retry_at)


def is_rest_outage(error: GitHubError) -> bool:
    """Whether the error is expected to resolve by itself: a rate limit, no response, or an error of GitHub itself."""
    if error.proxy or error.untrusted:
        return False
    return error.retry_at is not None or error.status is None or error.status == _TOO_MANY or error.status >= _SERVER


def is_git_outage(reason: Failure, stderr: str) -> bool:
    """The same for Git, from the failure of `git_failure` and Git's standard error."""
    if reason.code is FailureCode.GITHUB_RATE_LIMITED:
        return True
    own = "\n".join(_OWN_LINE.findall(_URL.sub("''", stderr)))
    return reason.code is FailureCode.GITHUB_UNREACHABLE and not _PERMANENT.search(own)


def _rest_code(error: GitHubError, *, pushed: bool) -> FailureCode:
    if isinstance(error, GitHubAppError):
        return _APP_CODES[error.problem]
    if error.proxy:
        return FailureCode.GITHUB_PROXY_FAILED
    if error.retry_at is not None or error.status == _TOO_MANY:
        return FailureCode.GITHUB_RATE_LIMITED
    if error.status is None or error.status >= _SERVER or error.status < _FIRST_ERROR:
        # No response, or one that is not from GitHub.
        return FailureCode.GITHUB_UNREACHABLE
    if error.sso_url is not None:
        return FailureCode.GITHUB_SSO_REQUIRED
    by_status = {
        _UNAUTHORIZED: FailureCode.GITHUB_TOKEN_REJECTED,
        _NOT_FOUND: FailureCode.REPOSITORY_NOT_FOUND,
        _LEGAL_REASONS: FailureCode.REPOSITORY_BLOCKED,
    }
    refused = FailureCode.PULL_REQUEST_REFUSED if pushed else FailureCode.GITHUB_REFUSED
    return access_code("\n".join(error.errors)) or by_status.get(error.status, refused)


def _sentence(text: str) -> str:
    """The text with a full stop, unless it ends with another punctuation mark or with an address."""
    ended = text.endswith((".", "!", "?")) or "://" in text.rpartition(" ")[2]
    return text if ended else f"{text}."


def _authorize(address: str | None) -> str:
    return f"Authorize the token at {address} (valid for one hour)." if address else ""


def git_failure(
    stderr: str,
    otherwise: FailureCode,
    doing: str,
    *,
    hosts: Collection[str] = (),
    remote: bool = True,
    pushing: bool = False,
) -> Failure:
    """The failure for Git's standard error; `otherwise` if no pattern matches.

    Args:
        stderr: redacted.
        otherwise: the code for an unknown cause.
        doing: completes "git failed to …".
        hosts: see `trusted_hosts`.
        remote: whether Git talked to GitHub. If not, its messages contain file names, which can imitate any pattern.
        pushing: whether the command was a push.
    """
    lines = remote_lines(stderr) if remote else []
    code = _git_code(stderr, "\n".join(lines), pushing=pushing) if remote else None
    code = code or otherwise
    if lines:
        reason = declined(stderr)
        message = f"git failed to {doing}. GitHub said: {' / '.join(lines)}" + (f" ({reason})" if reason else "")
    else:
        own = [line.strip() for line in stderr.splitlines() if line.strip()]
        shown = [line for line in own if not line.startswith(("git ", "hint:"))][-3:]
        message = f"git failed to {doing}. Its output: {' / '.join(shown) or 'none'}"
    if code is FailureCode.GITHUB_SSO_REQUIRED:
        message = f"{message} {_authorize(trusted_address(' '.join(lines), hosts))}".rstrip()
    return failure(code, message)


def _git_code(stderr: str, github_text: str, *, pushing: bool) -> FailureCode | None:
    reason = declined(stderr) or ""
    if reason or _PUSH_DECLINED.search(github_text):
        return push_code(f"{github_text}\n{reason}") or access_code(github_text) or FailureCode.PUSH_REJECTED
    refused = (r"error: 403", FailureCode.PUSH_NOT_PERMITTED if pushing else FailureCode.GITHUB_REFUSED)
    # A repository's name can imitate a pattern.
    messages = _URL.sub("''", stderr)
    known = (code for pattern, code in (*_GIT_MESSAGES, refused, _UNREACHABLE) if re.search(pattern, messages))
    return access_code(github_text) or next(known, None)
