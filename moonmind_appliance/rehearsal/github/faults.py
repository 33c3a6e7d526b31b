"""Faults that can be injected into the stand-in GitHub."""

import threading
from enum import StrEnum


class Fault(StrEnum):
    """A fault. Those of the first group last until `clear`; the others can be limited to a number of requests."""

    PUSH_REFUSED = "push-refused"  # a branch rule declines every push
    PUSH_RULESET = "push-ruleset"  # a ruleset requires signed commits
    PUSH_PROTECTION = "push-protection"  # secret scanning finds a secret in every push
    PUSH_PRIVATE_EMAIL = "push-private-email"  # the commit's e-mail address is private
    PUSH_LARGE_FILE = "push-large-file"  # a file exceeds GitHub's limit
    PUSH_HOOK = "push-hook"  # a pre-receive hook of GitHub Enterprise Server declines every push
    PUSH_WARNING = "push-warning"  # every push is accepted with a warning
    PR_EXISTS = "pr-exists"  # another user opens a pull request from each new branch as soon as it is pushed
    PR_RACED = "pr-raced"  # another user opens one between the appliance's search and its request to create one
    DRAFT_REFUSED = "draft-refused"  # no repository takes draft pull requests

    SSO_REQUIRED = "sso-required"  # the token is not authorized for the organization's single sign-on
    TAKEN_DOWN = "taken-down"  # a DMCA notice blocks the repository
    REPOSITORY_DISABLED = "repository-disabled"  # GitHub's staff disabled the repository
    ACCOUNT_SUSPENDED = "account-suspended"  # GitHub suspended the token's account
    IP_NOT_ALLOWED = "ip-not-allowed"  # the organization has an IP allow list
    TOKEN_LIFETIME = "token-lifetime"  # noqa: S105 - the organization does not allow the token's lifetime
    TOKEN_PERMISSION = "token-permission"  # noqa: S105 - the token lacks a permission

    UNREACHABLE = "unreachable"  # connections are closed without an answer
    SERVER_ERRORS = "server-errors"  # 502
    RATE_LIMITED = "rate-limited"  # the requests per hour are used up
    SECONDARY_RATE_LIMITED = "secondary-rate-limited"  # too many requests at once
    TOO_MANY_REQUESTS = "too-many-requests"  # 429, in REST
    GIT_RATE_LIMITED = "git-rate-limited"  # 429, in Git
    GIT_REFS_ERROR = "git-refs-error"  # info/refs answers 502
    GIT_FETCH_ERROR = "git-fetch-error"  # git-upload-pack answers 503
    GIT_PUSH_ERROR = "git-push-error"  # git-receive-pack answers 502, and accepts nothing
    GIT_RESET = "git-reset"  # the connection is closed in the middle of git-upload-pack's answer
    GIT_LOST_ANSWER = "git-lost-answer"  # a push is accepted, and the answer to it is lost
    TOKEN_LAG = "token-lag"  # noqa: S105 - an installation token is not known everywhere yet
    REVOCATION_ERROR = "revocation-error"  # the revocation of an installation token answers 502
    SLOW = "slow"  # every answer takes a second longer
    LOST_ANSWER = "lost-answer"  # a pull request is created, and the answer to it is lost


class ActiveFaults:
    """The active faults, and how many times each is still to occur. Safe to use from several threads."""

    def __init__(self) -> None:
        self._times_left: dict[Fault, int | None] = {}
        self._lock = threading.Lock()

    def inject(self, fault: Fault, times: int | None) -> None:
        """Inject the fault that many times; None: until `clear`."""
        with self._lock:
            self._times_left[fault] = times

    def clear(self, fault: Fault) -> None:
        """Clear the fault. Idempotent."""
        with self._lock:
            self._times_left.pop(fault, None)

    def take(self, fault: Fault) -> bool:
        """Whether the fault occurs now; each True counts as one time."""
        with self._lock:
            if fault not in self._times_left:
                return False
            times_left = self._times_left[fault]
            if times_left is None:
                return True
            if times_left <= 1:
                del self._times_left[fault]
            else:
                self._times_left[fault] = times_left - 1
            return times_left > 0
