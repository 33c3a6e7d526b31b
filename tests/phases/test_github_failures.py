"""The failures for GitHub's and Git's errors."""

from datetime import UTC, datetime

import pytest

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.models import FailureCode, WhoActs
from moonmind_appliance.phases.github_failures import git_failure, rest_failure

AT = datetime(2026, 3, 1, 13, 0, tzinfo=UTC)
URL = "https://github.com/acme/shop.git/"
DENIED = f"fatal: unable to access '{URL}': The requested URL returned error: 403"

# As seen on git 2.39 (Debian, GnuTLS) and in GitHub's documentation of its own messages.
GIT_MESSAGES = {
    FailureCode.REPOSITORY_NOT_FOUND: [f"remote: Repository not found.\nfatal: repository '{URL}' not found"],
    FailureCode.REPOSITORY_ARCHIVED: [f"remote: This repository was archived so it is read-only.\n{DENIED}"],
    FailureCode.GITHUB_TOKEN_REJECTED: [
        f"remote: Invalid username or token.\nfatal: Authentication failed for '{URL}'",
        f"fatal: could not read Username for '{URL}': terminal prompts disabled",
    ],
    FailureCode.PUSH_NOT_PERMITTED: [
        f"remote: Permission to acme/shop.git denied to ann.\n{DENIED}",
        f"remote: Write access to repository not granted.\n{DENIED}",
    ],
    FailureCode.BASE_BRANCH_NOT_FOUND: ["fatal: couldn't find remote ref refs/heads/nope"],
    FailureCode.WORKFLOW_SCOPE_MISSING: [
        f"! [remote rejected] a -> b (refusing to allow {who} to create or update workflow `a.yml` {why})"
        for who, why in [
            ("a Personal Access Token", "without `workflow` scope"),
            ("an OAuth App", "without `workflow` scope"),
            ("a GitHub App", "without `workflows` permission"),
        ]
    ],
    FailureCode.PUSH_REJECTED: [
        "remote: error: GH006: Protected branch update failed.\n! [remote rejected] x (protected branch hook declined)",
        "remote: error: GH013: Repository rule violations found for refs/heads/x.",
        "remote: error: GH001: Large files detected.\nerror: failed to push some refs",
    ],
    FailureCode.BRANCH_CONFLICT: ["! [rejected] x -> x (stale info)", "! [rejected] x -> x (fetch first)"],
    FailureCode.GITHUB_RATE_LIMITED: [
        "The requested URL returned error: 429",
        "remote: You have exceeded a secondary rate limit.",
    ],
    FailureCode.GITHUB_UNREACHABLE: [
        f"fatal: unable to access '{URL}': Could not resolve host: github.com",
        f"fatal: unable to access '{URL}': Failed to connect to github.com port 443: Couldn't connect to server",
        f"fatal: unable to access '{URL}': server certificate verification failed. CAfile: none CRLfile: none",
        f"fatal: unable to access '{URL}': SSL certificate problem: self-signed",
        f"fatal: unable to access '{URL}': GnuTLS recv error (-54): Error in the pull function.",
        f"fatal: unable to access '{URL}': gnutls_handshake() failed: The TLS connection was non-properly terminated.",
        f"fatal: unable to access '{URL}': Received HTTP code 407 from proxy after CONNECT",
        "error: RPC failed; curl 92 HTTP/2 stream 5 was not closed cleanly: CANCEL (err 8)",
        "fatal: the remote end hung up unexpectedly",
        "fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF",
        "The requested URL returned error: 502",
        "fatal: unable to access: Operation too slow. Less than 1 bytes/sec transferred",
    ],
    FailureCode.CLONE_FAILED: ["fatal: bad object 1234", ""],
}


@pytest.mark.parametrize("code", GIT_MESSAGES)
def test_a_message_of_git_has_a_code(code: FailureCode) -> None:
    """The first pattern that matches decides; an unknown message has the phase's own code."""
    for stderr in GIT_MESSAGES[code]:
        assert git_failure(stderr, FailureCode.CLONE_FAILED, "clone acme/shop").code is code, stderr


def test_the_failure_shows_the_last_lines_of_git() -> None:
    """Three lines, without Git's hints and the program's own line."""
    stderr = "one\ntwo\nthree\nfour\nhint: try this\ngit fetch ended with exit code 128\n\n"
    message = git_failure(stderr, FailureCode.CLONE_FAILED, "clone acme/shop").message
    assert message == "git failed to clone acme/shop. Its output: two / three / four"
    assert git_failure("", FailureCode.CLONE_FAILED, "clone").message == "git failed to clone. Its output: none"


def test_file_names_are_not_messages_of_github() -> None:
    """Without a remote, an agent's file named `error: 401` says nothing about the token."""
    stderr = 'error: open("error: 401 Authentication failed"): Permission denied'
    assert git_failure(stderr, FailureCode.COMMIT_FAILED, "commit", remote=False).code is FailureCode.COMMIT_FAILED


REST = [
    (401, ["Bad credentials"], None, FailureCode.GITHUB_TOKEN_REJECTED),
    (403, ["Resource not accessible by personal access token"], None, FailureCode.PUSH_NOT_PERMITTED),
    (403, ["API rate limit exceeded for user ID 1."], AT, FailureCode.GITHUB_RATE_LIMITED),
    (429, ["Too many requests"], None, FailureCode.GITHUB_RATE_LIMITED),
    (404, ["Not Found"], None, FailureCode.REPOSITORY_NOT_FOUND),
    (422, ["Validation Failed", "No commits between main and x"], None, FailureCode.PULL_REQUEST_REFUSED),
    (500, [], None, FailureCode.GITHUB_UNREACHABLE),
    (503, [], AT, FailureCode.GITHUB_RATE_LIMITED),
    (None, [], None, FailureCode.GITHUB_UNREACHABLE),
    # A response that is not from GitHub, such as a proxy's page, and a redirect to another server.
    (200, [], None, FailureCode.GITHUB_UNREACHABLE),
    (302, [], None, FailureCode.GITHUB_UNREACHABLE),
]


@pytest.mark.parametrize(("status", "errors", "retry_at", "code"), REST)
def test_a_rest_response_has_a_code(
    status: int | None, errors: list[str], retry_at: datetime | None, code: FailureCode
) -> None:
    """With GitHub's message and retry time; without a response, with the reason."""
    error = GitHubError(
        "No response from https://x to GET /y: refused", status=status, errors=errors, retry_at=retry_at
    )
    failure = rest_failure(error, "to show acme/shop")
    assert (failure.code, failure.retry_at) == (code, retry_at)
    assert all(text in failure.message for text in errors)
    if code is FailureCode.GITHUB_UNREACHABLE:
        assert "No response from https://x" in failure.message


def test_nobody_has_to_act_on_a_rate_limit() -> None:
    """It resolves by itself."""
    error = GitHubError("limit", status=403, errors=["API rate limit exceeded"], retry_at=AT)
    assert rest_failure(error, "to show acme/shop").who_acts is WhoActs.NOBODY
