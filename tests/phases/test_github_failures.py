"""The failures for GitHub's and Git's errors."""

from datetime import UTC, datetime
from typing import Any

import pytest

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.models import FailureCode, WhoActs
from moonmind_appliance.phases.github_failures import git_failure, is_git_outage, is_rest_outage, rest_failure
from moonmind_appliance.phases.github_messages import trusted_hosts
from moonmind_appliance.rehearsal.github import Fault
from moonmind_appliance.rehearsal.github.access_refusals import access_refusal
from moonmind_appliance.rehearsal.github.faults import ActiveFaults
from moonmind_appliance.rehearsal.github.push_refusals import PUSH_REFUSALS
from moonmind_appliance.settings import Settings

AT = datetime(2026, 3, 1, 13, 0, tzinfo=UTC)
URL = "https://github.com/acme/shop.git/"
BRANCH = "speckit/20260301/0f3a9c1e"
HOSTS = trusted_hosts(Settings())
SSO = "https://github.com/orgs/acme/sso?authorization_request=AOON5OK3ZUKK"
DENIED = f"fatal: unable to access '{URL}': The requested URL returned error: 403"

# As seen on git 2.39 (Debian, GnuTLS) and in GitHub's documentation of its own messages.
GIT_MESSAGES = {
    FailureCode.REPOSITORY_NOT_FOUND: [f"remote: Repository not found.\nfatal: repository '{URL}' not found"],
    FailureCode.REPOSITORY_ARCHIVED: [f"remote: This repository was archived so it is read-only.\n{DENIED}"],
    FailureCode.GITHUB_TOKEN_REJECTED: [
        f"remote: Invalid username or token.\nfatal: Authentication failed for '{URL}'",
        f"fatal: could not read Username for '{URL}': terminal prompts disabled",
    ],
    FailureCode.PUSH_NOT_PERMITTED: [f"remote: Permission to acme/shop.git denied to ann.\n{DENIED}"],
    FailureCode.GITHUB_TOKEN_INSUFFICIENT: [
        f"remote: Write access to repository not granted.\n{DENIED}",
        f"remote: The 'acme' organization forbids access via a fine-grained personal access tokens if\n{DENIED}",
        f"remote: `acme` forbids access via a personal access token (classic). Please use a GitHub App.\n{DENIED}",
        f"remote: the `acme` organization has enabled OAuth App access restrictions.\n{DENIED}",
    ],
    FailureCode.GITHUB_SSO_REQUIRED: [
        f"remote: The 'acme' organization has enabled or enforced SAML SSO.\nremote: To access\n{DENIED}",
        f"remote: The `acme' organization has enabled or enforced SAML SSO. To access\nremote: visit {SSO}\n{DENIED}",
    ],
    FailureCode.GITHUB_IP_NOT_ALLOWED: [
        f"remote: the `acme` organization has an IP allow list enabled, and 192.0.2.1 is not permitted\n{DENIED}"
    ],
    FailureCode.GITHUB_ACCOUNT_SUSPENDED: [
        f"remote: Your account is suspended. Please visit https://support.github.com for more information.\n{DENIED}",
        f"remote: Your account is suspended. Please check with your installation administrator.\n{DENIED}",
    ],
    FailureCode.REPOSITORY_BLOCKED: [
        f"remote: Repository unavailable due to DMCA takedown.\nremote: See the takedown notice:\n{DENIED}",
        f"remote: Access to this repository has been disabled by GitHub staff.\n{DENIED}",
        f"fatal: unable to access '{URL}': The requested URL returned error: 451",
    ],
    # Not pushing: nothing is known about the right to push.
    FailureCode.GITHUB_REFUSED: [DENIED],
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
        "remote: error: GH003: Sorry, force-pushing to x is not allowed.",
        "! [remote rejected] x -> x (pre-receive hook declined)",
    ],
    FailureCode.FILE_TOO_LARGE: ["remote: error: GH001: Large files detected.\nerror: failed to push some refs"],
    FailureCode.PUSH_PROTECTION: [
        "remote: error: GH009: Secrets detected! This push failed.",
        "remote: error: GH013: Repository rule violations found\nremote: - Push cannot contain secrets",
        # The agent chooses file names.
        "remote: error: GH013: x\nremote: - GITHUB PUSH PROTECTION\nremote:   path: specs/GH007 author email.md:3",
    ],
    FailureCode.AUTHOR_EMAIL_REFUSED: [
        "remote: error: GH007: Your push would publish a private email address.",
        "! [remote rejected] x -> x (push declined due to email privacy restrictions)",
        "remote: error: GH013: Repository rule violations found\nremote: - Commit author email must end with @x",
    ],
    FailureCode.BRANCH_CONFLICT: [
        "! [rejected] x -> x (stale info)",
        "! [rejected] x -> x (fetch first)",
        " ! [remote rejected] a/b -> a/b (cannot lock ref 'refs/heads/a/b': 'refs/heads/a' exists; cannot create 'x')",
        " ! [remote rejected] a/b -> a/b (cannot lock ref 'refs/heads/a/b': reference already exists)",
        " ! [remote rejected] a/b -> a/b (directory file conflict)",
    ],
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
        "remote: Internal Server Error\n ! [remote rejected] x -> x (Internal Server Error)",
        "remote: fatal error in commit_refs\n ! [remote rejected] x -> x (failure)",
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


PUSHED = {
    Fault.PUSH_REFUSED: (
        FailureCode.PUSH_REJECTED,
        WhoActs.GITHUB_ADMIN,
        "Changes must be made through a pull request",
    ),
    Fault.PUSH_RULESET: (FailureCode.PUSH_REJECTED, WhoActs.GITHUB_ADMIN, "Commits must have verified signatures."),
    Fault.PUSH_HOOK: (FailureCode.PUSH_REJECTED, WhoActs.GITHUB_ADMIN, "needs a ticket number, such as SHOP-17."),
    Fault.PUSH_PROTECTION: (
        FailureCode.PUSH_PROTECTION,
        WhoActs.SUBMITTER,
        "unblock-secret/2gakJrAududURpxlhIZdNlX14ZZ",
    ),
    Fault.PUSH_PRIVATE_EMAIL: (
        FailureCode.AUTHOR_EMAIL_REFUSED,
        WhoActs.OPERATOR,
        "https://github.com/settings/emails",
    ),
    Fault.PUSH_LARGE_FILE: (FailureCode.FILE_TOO_LARGE, WhoActs.SUBMITTER, "File specs/001-x/data.csv is 123.45 MB"),
}


@pytest.mark.parametrize("fault", PUSH_REFUSALS)
def test_all_of_githubs_lines_about_a_push_are_in_the_message(fault: Fault) -> None:
    """With Git's reason, and without progress and lines of dashes; the person who can change it must act."""
    text, reason = PUSH_REFUSALS[fault]
    told = [f"remote: {line}        " for line in text.format(ref=f"refs/heads/{BRANCH}", new="c" * 40).splitlines()]
    stderr = "\n".join(["remote: Resolving deltas: 100% (3/3), done.", *told, f"! [remote rejected] x -> x ({reason})"])
    failure = git_failure(stderr, FailureCode.PUSH_REJECTED, "push", pushing=True)
    code, who, words = PUSHED[fault]
    assert (failure.code, failure.who_acts) == (code, who)
    assert words in failure.message
    assert failure.message.endswith(f"({reason})")
    assert "Resolving" not in failure.message
    assert "———" not in failure.message.replace("—— Hugging Face User Access Token ————————————————————", "")


def test_the_name_of_a_large_file_does_not_decide() -> None:
    """The agent chose it, and GitHub's line contains it."""
    said = "remote: error: File Author email.bin is 123.00 MB; this exceeds GitHub's file size limit of 100.00 MB\n"
    stderr = f"{said} ! [remote rejected] x -> x (pre-receive hook declined)\n"
    assert git_failure(stderr, FailureCode.PUSH_REJECTED, "push", pushing=True).code is FailureCode.FILE_TOO_LARGE


def test_a_private_email_names_the_setting() -> None:
    """The operator's address is in every commit."""
    failure = git_failure("remote: error: GH007: x", FailureCode.PUSH_REJECTED, "push", pushing=True)
    assert "GIT_AUTHOR_EMAIL" in failure.next_step


def test_a_refused_push_is_a_missing_right_only_if_nothing_else_is_known() -> None:
    """403 without a known message."""
    assert git_failure(DENIED, FailureCode.PUSH_REJECTED, "push", pushing=True).code is FailureCode.PUSH_NOT_PERMITTED


@pytest.mark.parametrize("name", ["proxy", "tls-certificate", "pre-receive", "rate limit", "GH007"])
def test_a_repositorys_name_does_not_decide(name: str) -> None:
    """It is part of the URL in Git's message."""
    stderr = (
        f"remote: Permission to acme/x denied to ann.\nfatal: unable to access 'https://github.com/acme/{name}.git/'"
    )
    assert git_failure(stderr, FailureCode.CLONE_FAILED, "clone").code is FailureCode.PUSH_NOT_PERMITTED


ACCESS = {
    Fault.SSO_REQUIRED: (FailureCode.GITHUB_SSO_REQUIRED, WhoActs.OPERATOR),
    Fault.TAKEN_DOWN: (FailureCode.REPOSITORY_BLOCKED, WhoActs.GITHUB_ADMIN),
    Fault.REPOSITORY_DISABLED: (FailureCode.REPOSITORY_BLOCKED, WhoActs.GITHUB_ADMIN),
    Fault.ACCOUNT_SUSPENDED: (FailureCode.GITHUB_ACCOUNT_SUSPENDED, WhoActs.OPERATOR),
    Fault.IP_NOT_ALLOWED: (FailureCode.GITHUB_IP_NOT_ALLOWED, WhoActs.GITHUB_ADMIN),
    Fault.TOKEN_LIFETIME: (FailureCode.GITHUB_TOKEN_INSUFFICIENT, WhoActs.OPERATOR),
    Fault.TOKEN_PERMISSION: (FailureCode.GITHUB_TOKEN_INSUFFICIENT, WhoActs.OPERATOR),
}


@pytest.mark.parametrize("fault", ACCESS)
@pytest.mark.parametrize("pushing", [False, True])
def test_git_and_rest_agree_on_a_refusal(fault: Fault, *, pushing: bool) -> None:
    """The same code and person, before and after the push."""
    faults = ActiveFaults()
    faults.inject(fault, None)
    refusal = access_refusal(faults, "acme")
    assert refusal is not None
    told = "".join(f"remote: {line}\n" for line in refusal.git_text.splitlines())
    by_git = git_failure(f"{told}{DENIED}", FailureCode.CLONE_FAILED, "clone acme/shop", hosts=HOSTS, pushing=pushing)
    sso = refusal.rest.headers.get("x-github-sso", "").removeprefix("required; url=") or None
    error = GitHubError("x", status=refusal.rest.status, errors=[refusal.rest.body["message"]], sso_url=sso)
    by_rest = rest_failure(error, "to show acme/shop", hosts=HOSTS, pushed=BRANCH if pushing else None)
    assert (by_git.code, by_git.who_acts) == (by_rest.code, by_rest.who_acts) == ACCESS[fault]
    assert refusal.rest.body["message"] in by_rest.message
    if sso:
        assert f"Authorize the token at {sso} (valid for one hour)." in by_git.message
        assert f"Authorize the token at {sso} (valid for one hour)." in by_rest.message


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://github.com/orgs/acme/sso?authorization_request=A",
        "https://github.com.evil.invalid/orgs/acme/sso",
        "https://evil.invalid/github.com/",
        "https://github.com@evil.invalid/",
        "https://user:password@github.com/orgs/acme/sso",
        "https://github.com:8443/orgs/acme/sso",
        "https://github.com/" + "a" * 600,
        "https://[/",
        "javascript:alert(1)",
    ],
)
def test_an_address_that_is_not_githubs_is_left_out(address: str) -> None:
    """The code stays: the operator finds the place in GitHub's settings."""
    error = GitHubError(
        "x", status=403, errors=["Resource protected by organization SAML enforcement."], sso_url=address
    )
    failure = rest_failure(error, "to show acme/shop", hosts=HOSTS)
    assert failure.code is FailureCode.GITHUB_SSO_REQUIRED
    assert "Authorize the token at" not in failure.message


def test_the_address_of_a_configured_github_is_shown() -> None:
    """GitHub Enterprise Server, also on its own port."""
    hosts = trusted_hosts(Settings(github_server_url="https://git.corp.example:8443"))
    address = "https://git.corp.example:8443/orgs/acme/sso?authorization_request=A"
    error = GitHubError("x", status=404, errors=["Not Found"], sso_url=address)
    failure = rest_failure(error, "to show acme/shop", hosts=hosts)
    assert (failure.code, address in failure.message) == (FailureCode.GITHUB_SSO_REQUIRED, True)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 418, 422, 429, 451, 500, None])
def test_only_a_failure_after_the_push_says_that_the_branch_is_pushed(status: int | None) -> None:
    """Whatever the status: in `prepare_job` neither message nor next step says so."""
    error = GitHubError("x", status=status, errors=["Some reason"])
    before = rest_failure(error, "to show acme/shop", hosts=HOSTS)
    assert "pushed" not in f"{before.message} {before.next_step}"
    after = rest_failure(error, "to open the pull request", hosts=HOSTS, pushed=BRANCH)
    assert f"The branch {BRANCH} is pushed." in after.message


def test_the_permissions_that_a_token_lacks_are_named() -> None:
    """From `X-Accepted-GitHub-Permissions`; other failures do not repeat them."""
    errors = ["Resource not accessible by personal access token"]
    error = GitHubError("x", status=403, errors=errors, permissions="contents=write; pull_requests=write")
    message = rest_failure(error, "to show acme/shop", hosts=HOSTS).message
    assert message == (
        "GitHub refused to show acme/shop (status 403). GitHub said: Resource not accessible by personal access token. "
        "The request needs these permissions: contents=write; pull_requests=write."
    )
    error = GitHubError("x", status=401, errors=["Bad credentials"], permissions="metadata=read")
    assert "metadata" not in rest_failure(error, "to show acme/shop", hosts=HOSTS).message


REST = [
    (401, ["Bad credentials"], None, FailureCode.GITHUB_TOKEN_REJECTED),
    (403, ["Resource not accessible by personal access token"], None, FailureCode.GITHUB_TOKEN_INSUFFICIENT),
    (403, ["Resource not accessible by integration"], None, FailureCode.GITHUB_APP_PERMISSION_MISSING),
    (403, ["This installation has been suspended"], None, FailureCode.GITHUB_APP_SUSPENDED),
    (403, ["Repository access blocked", "unavailable https://github.com/tos"], None, FailureCode.REPOSITORY_BLOCKED),
    (451, ["Repository access blocked"], None, FailureCode.REPOSITORY_BLOCKED),
    (451, [], None, FailureCode.REPOSITORY_BLOCKED),
    (403, ["Sorry. Your account was suspended."], None, FailureCode.GITHUB_ACCOUNT_SUSPENDED),
    (403, ["Repository was archived so is read-only."], None, FailureCode.REPOSITORY_ARCHIVED),
    (403, ["A reason of tomorrow"], None, FailureCode.GITHUB_REFUSED),
    (409, ["Git Repository is empty."], None, FailureCode.REPOSITORY_EMPTY),
    (410, ["Gone"], None, FailureCode.GITHUB_REFUSED),
    (403, ["API rate limit exceeded for user ID 1."], AT, FailureCode.GITHUB_RATE_LIMITED),
    (429, ["Too many requests"], None, FailureCode.GITHUB_RATE_LIMITED),
    (404, ["Not Found"], None, FailureCode.REPOSITORY_NOT_FOUND),
    (422, ["Validation Failed"], None, FailureCode.GITHUB_REFUSED),
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
    failure = rest_failure(error, "to show acme/shop", hosts=HOSTS)
    assert (failure.code, failure.retry_at) == (code, retry_at)
    assert all(text in failure.message for text in errors)
    if code is FailureCode.GITHUB_UNREACHABLE:
        assert "No response from https://x" in failure.message


@pytest.mark.parametrize(
    ("fields", "outage"),
    [
        ({"status": 403, "retry_at": AT}, True),
        ({"status": 429}, True),
        ({"status": None}, True),
        ({"status": 500}, True),
        ({"status": 503, "retry_at": AT}, True),
        ({"status": 403}, False),
        ({"status": 404}, False),
        ({"status": 200}, False),
        ({"status": 302}, False),
        ({"status": None, "proxy": True}, False),
        ({"status": None, "untrusted": True}, False),
    ],
)
def test_a_rest_outage_resolves_by_itself(fields: dict[str, Any], *, outage: bool) -> None:
    """A refusal, a page that is not GitHub's, a proxy and an untrusted certificate do not."""
    assert is_rest_outage(GitHubError("x", **fields)) is outage


GIT_OUTAGES = [
    ("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502\nfatal: the remote end hung up", True),
    ("fatal: unable to access 'http://h/acme/proxy.git/': The requested URL returned error: 503", True),
    ("fatal: unable to access 'http://h/acme/x.git/': The requested URL returned error: 429", True),
    ("fatal: unable to access 'https://h/acme/x.git/': Could not resolve host: h", True),
    ("fatal: unable to access 'https://h/acme/x.git/': Failed to connect to h port 443: Connection timed out", True),
    ("error: RPC failed; curl 56 Recv failure: Connection reset by peer\nfatal: early EOF", True),
    ("fatal: unable to access 'http://h/acme/x.git/': transfer closed with 77 bytes remaining to read", True),
    ("fatal: unable to access 'https://h/acme/x.git/': HTTP/2 stream 1 was not closed cleanly", True),
    ("To http://h/acme/x.git\n ! [remote rejected] b -> b (shallow update not allowed)", True),
    ("remote: fatal error in commit_refs\n ! [remote rejected] b -> b (failure)", True),
    ("fatal: unable to access 'https://h/acme/x.git/': SSL certificate problem: self-signed certificate", False),
    ("fatal: unable to access 'https://h/acme/x.git/': server certificate verification failed. CAfile: none", False),
    ("fatal: unable to access 'https://h/acme/x.git/': The requested URL returned error: 301", False),
    ("fatal: unable to access 'https://h/acme/x.git/': Could not resolve proxy: p", False),
    ("fatal: unable to access 'http://h/acme/x.git/': The requested URL returned error: 403", False),
    ("fatal: unable to access 'http://h/acme/x.git/': The requested URL returned error: 400", False),
    ("fatal: Authentication failed for 'http://h/acme/x.git/'", False),
    ("remote: Repository not found.\nfatal: repository 'http://h/acme/x.git/' not found", False),
    (" ! [remote rejected] b -> b (push declined due to repository rule violations)", False),
    (" ! [rejected] b -> b (stale info)", False),
]


@pytest.mark.parametrize(("stderr", "outage"), GIT_OUTAGES)
def test_a_git_outage_resolves_by_itself(stderr: str, *, outage: bool) -> None:
    """Neither a refusal nor a wrong setting does."""
    reason = git_failure(stderr, FailureCode.PUSH_REJECTED, "push b to acme/x", pushing=True)
    assert is_git_outage(reason, stderr) is outage


@pytest.mark.parametrize("status", [403, 409, 422])
def test_a_refused_pull_request_has_its_own_code(status: int) -> None:
    """For a reason without a code; the next step also says that the branch is pushed."""
    error = GitHubError("x", status=status, errors=["Validation Failed", "No commits between main and x"])
    failure = rest_failure(error, "to open the pull request", hosts=HOSTS, pushed=BRANCH)
    assert failure.code is FailureCode.PULL_REQUEST_REFUSED
    assert "No commits between main and x" in failure.message
