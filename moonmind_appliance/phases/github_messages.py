"""What GitHub's own messages mean, in REST responses and in the `remote:` lines of Git. Pure.

The texts come from GitHub's documentation and from reports of users of github.com and GitHub Enterprise Server.
"""

import re
from collections.abc import Collection, Iterator
from urllib.parse import urlsplit

from moonmind_appliance.models import FailureCode
from moonmind_appliance.printable import strip
from moonmind_appliance.settings import Settings

NO_CREDENTIAL = "Neither GITHUB_TOKEN nor GITHUB_APP_ID is set."

_GITHUB_HOST = "github.com"
_HTTPS_PORT = 443
_LONGEST_ADDRESS = 600
_LONGEST_LINE, _MOST_LINES, _LONGEST_MESSAGE = 400, 40, 3000
_ADDRESS = re.compile(r"https://[!-~]+")
_REMOTE = re.compile(r"^remote:[ \t]?(.*)$", re.MULTILINE)
_DECLINED = re.compile(r"^ ?! \[remote rejected\] [^(\n]*\((.+)\)\s*$", re.MULTILINE)
# Progress, and lines of dashes.
_NOISE = re.compile(
    r"(?:Enumerating|Counting|Compressing|Writing|Resolving) (?:objects|deltas):.*|Total \d+ \(delta .*|\W*"
)
# What GitHub prints after every accepted push; it is not about this change.
_ROUTINE = re.compile(
    r"Create a pull request for |/pull/new/|GitHub found \d+ vulnerabilit|/security/dependabot|To find"
)

# The first match counts. Access to GitHub and to the repository, by REST or by Git:
_ACCESS: tuple[tuple[str, FailureCode], ...] = (
    (r"SAML SSO|SAML enforcement", FailureCode.GITHUB_SSO_REQUIRED),
    (r"IP allow list", FailureCode.GITHUB_IP_NOT_ALLOWED),
    (r"account (?:is|was|has been) suspended", FailureCode.GITHUB_ACCOUNT_SUSPENDED),
    (r"installation has been suspended", FailureCode.GITHUB_APP_SUSPENDED),
    (r"Resource not accessible by integration", FailureCode.GITHUB_APP_PERMISSION_MISSING),
    (
        r"[Rr]epository (?:access blocked|unavailable|has been disabled)|Access to this repository has been disabled",
        FailureCode.REPOSITORY_BLOCKED,
    ),
    (r"[Rr]epository was archived so (?:it )?is read-only", FailureCode.REPOSITORY_ARCHIVED),
    (r"Git Repository is empty", FailureCode.REPOSITORY_EMPTY),
    (
        r"forbids access via|access restrictions|Resource not accessible by|Write access to repository not granted",
        FailureCode.GITHUB_TOKEN_INSUFFICIENT,
    ),
)
# A push that GitHub declined:
_PUSH: tuple[tuple[str, FailureCode], ...] = (
    (
        r"refusing to allow .{0,300} workflow|without [`'\"]?workflows?[`'\"]? (?:scope|permission)",
        FailureCode.WORKFLOW_SCOPE_MISSING,
    ),
    (r"PUSH PROTECTION|cannot contain secrets|error: GH009\b", FailureCode.PUSH_PROTECTION),
    # Before the reasons that a file's name can imitate.
    (r"error: GH001\b|exceeds GitHub(?: Enterprise)?'s file size limit", FailureCode.FILE_TOO_LARGE),
    (r"\bGH007\b|email privacy|(?:[Aa]uthor|[Cc]ommitter)(?:'s)? e-?mail", FailureCode.AUTHOR_EMAIL_REFUSED),
    (
        r"exists; cannot create|(?:directory file|refname) conflict|already exists|is at [0-9a-f]+ but expected",
        FailureCode.BRANCH_CONFLICT,
    ),
    # The base branch was rewritten while the push was prepared: the next attempt puts the change on the new one.
    (r"shallow update not allowed", FailureCode.GITHUB_UNREACHABLE),
    # Errors of GitHub itself: no rule declined the push.
    (r"Internal Server Error|fatal error in commit_refs|unpacker error|failed to lock", FailureCode.GITHUB_UNREACHABLE),
)


def access_code(messages: str) -> FailureCode | None:
    """Why GitHub refuses access, from its messages; None if they name no known reason."""
    return _first(_ACCESS, messages)


def push_code(messages: str) -> FailureCode | None:
    """Why GitHub declined a push, from its messages and Git's reason; None if they name no known reason."""
    return _first(_PUSH, messages)


def _first(table: tuple[tuple[str, FailureCode], ...], messages: str) -> FailureCode | None:
    return next((code for pattern, code in table if re.search(pattern, messages)), None)


def remote_lines(stderr: str) -> list[str]:
    """GitHub's own lines in Git's standard error: those after `remote:`, without progress and unprintable characters.

    At most 40 lines, 400 characters each and 3,000 in all; the last one is "…" if there are more.
    """
    return _bounded(_remote(stderr))


def accepted_push_lines(stderr: str) -> list[str]:
    """GitHub's lines about a push that it accepted, such as warnings, without what it prints after every push."""
    return _bounded(line for line in _remote(stderr) if not _ROUTINE.search(line))


def _remote(stderr: str) -> Iterator[str]:
    for found in _REMOTE.finditer(stderr.replace("\r", "\n")):
        line = " ".join(strip(found[1]).split())
        if not _NOISE.fullmatch(line):
            yield line


def _bounded(lines: Iterator[str]) -> list[str]:
    kept: list[str] = []
    left = _LONGEST_MESSAGE
    for line in lines:
        if len(kept) == _MOST_LINES or left < len(line[:_LONGEST_LINE]):
            return [*kept, "…"]
        kept.append(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…")
        left -= len(kept[-1])
    return kept


def declined(stderr: str) -> str | None:
    """The reason for which GitHub declined the branch; None if it did not."""
    found = _DECLINED.search(stderr)
    return found[1] if found else None


def trusted_hosts(settings: Settings) -> frozenset[str]:
    """Hosts whose addresses a message may ask people to open: github.com and the configured GitHub."""
    configured = (settings.github_server_url, settings.github_api_url)
    return frozenset({_GITHUB_HOST, *(urlsplit(url).netloc.lower() for url in configured)})


def trusted_address(text: str, hosts: Collection[str]) -> str | None:
    """The first https address in a text that is on one of these hosts; None if there is none."""
    addresses = (found[0].rstrip(".,;)'\"`") for found in _ADDRESS.finditer(text))
    return next((address for address in addresses if _is_trusted(address, hosts)), None)


def _is_trusted(address: str, hosts: Collection[str]) -> bool:
    try:
        parts = urlsplit(address)
        host = f"{parts.hostname}" if parts.port in (None, _HTTPS_PORT) else f"{parts.hostname}:{parts.port}"
    except ValueError:
        return False
    return len(address) <= _LONGEST_ADDRESS and "@" not in parts.netloc and host in hosts
