"""The stand-in's Apps are as strict as GitHub: JWTs, tokens, and what a token reaches, in REST and in Git."""

import base64
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt

from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.rehearsal.github.apps import covers
from moonmind_appliance.secret_rules import find_tokens
from moonmind_appliance.token_shapes import is_token
from tests.github.app import ACCOUNT, APP_ID, CLIENT_ID, app_key, register
from tests.github.stand_in import SLUG, TOKEN, attempt, git

from .hosted import PULLS, WISH

OTHER = f"{ACCOUNT}/other"


def signed(claims: dict[str, Any], *, key: Any = None) -> str:
    return jwt.encode({"alg": "RS256"}, claims, key or app_key(), algorithms=["RS256"])


NOW = int(datetime.now(UTC).timestamp())


def claims(**changes: Any) -> dict[str, Any]:
    now = int(datetime.now(UTC).timestamp())
    given = {"iat": now - 60, "exp": now + 540, "iss": str(APP_ID)} | changes
    return {name: value for name, value in given.items() if value is not None}


class Caller:
    """Sends the App's requests, and those of its tokens."""

    def __init__(self, api: httpx.Client) -> None:
        self.api = api

    def as_app(self, method: str, path: str, *, token: str = "", **options: Any) -> httpx.Response:
        return self.api.request(method, path, headers=bearer(token or signed(claims())), **options)

    def take(self, installation: int, **body: Any) -> httpx.Response:
        return self.as_app("POST", f"/app/installations/{installation}/access_tokens", json=body)

    def token(self, installation: int, **body: Any) -> str:
        answer = self.take(installation, **body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])

    def status(self, token: str, path: str, method: str = "GET", **options: Any) -> int:
        return self.api.request(method, path, headers=bearer(token), **options).status_code


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def caller(api: httpx.Client) -> Caller:
    return Caller(api)


@pytest.fixture
def installation(stand_in: StandInGitHub) -> int:
    stand_in.add_repository(OTHER)
    stand_in.add_repository(f"{ACCOUNT}/open", private=False)
    return register(stand_in, repositories=[SLUG, f"{ACCOUNT}/open"])


@pytest.fixture
def plain(stand_in: StandInGitHub) -> Iterator[Caller]:
    """A caller whose answers are not compared with GitHub's description."""
    with httpx.Client(base_url=stand_in.api_url) as client:
        yield Caller(client)


@pytest.mark.parametrize("issuer", [str(APP_ID), CLIENT_ID])
def test_the_app_is_described_to_its_jwt(caller: Caller, installation: int, issuer: str) -> None:
    """The issuer may be its id or its client id. Its installation on a repository is described, too."""
    token = signed(claims(iss=issuer))
    assert caller.as_app("GET", "/app", token=token).json()["installations_count"] == 1
    found = caller.as_app("GET", f"/repos/{SLUG}/installation", token=token).json()
    assert (found["id"], found["repository_selection"], found["suspended_at"]) == (installation, "selected", None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exp": 0}, "'Expiration time' claim ('exp') must be a numeric value"),
        ({"exp": None}, "'Expiration time' claim ('exp') must be a numeric value"),
        ({"exp": "soon"}, "'Expiration time' claim ('exp') must be a numeric value"),
        (
            {"exp": NOW + 100_000},
            "'Expiration time' claim ('exp') is too far in the future",
        ),
        ({"iat": NOW + 100_000}, "'Issued at' claim ('iat') must be an Integer"),
        ({"iat": None}, "'Issued at' claim ('iat') must be an Integer"),
        ({"iss": "99"}, "Integration not found"),
        ({"iss": None}, "Integration not found"),
    ],
)
def test_a_jwts_claims_are_checked(caller: Caller, installation: int, changes: dict[str, Any], said: str) -> None:
    """Wrong times and issuers get GitHub's messages."""
    answer = caller.as_app("GET", "/app", token=signed(claims(**changes)))
    assert (answer.status_code, said in answer.json()["message"]) == (401, True)


def test_a_jwts_signature_and_algorithm_are_checked(caller: Caller, installation: int) -> None:
    """Another key, another algorithm with the public key as its secret, no signature, and a text that is not a JWT."""
    pem = app_key().as_pem(private=False)
    unsigned = signed(claims()).rpartition(".")[0] + "."
    head = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=") + b"." + signed(claims()).split(".")[1].encode()
    mac = base64.urlsafe_b64encode(hmac.digest(pem, head, "sha256")).rstrip(b"=")
    forged = f"{head.decode()}.{mac.decode()}"
    for token in (signed(claims(), key=app_key(1)), forged, unsigned, "a.b.c", "abc", TOKEN):
        answer = caller.as_app("GET", "/app", token=token)
        assert (answer.status_code, answer.json()["message"]) == (401, "A JSON web token could not be decoded"), token
    assert caller.api.get("/app", headers={"authorization": ""}).status_code == 401


def test_a_jwt_is_not_a_token_for_a_repository(caller: Caller, installation: int) -> None:
    """Only the App's own operations accept it."""
    assert caller.as_app("GET", f"/repos/{SLUG}").status_code == 401


@pytest.mark.parametrize("slug", [OTHER, f"{ACCOUNT}/none", "elsewhere/reading-list"])
def test_a_repository_without_the_app_has_no_installation(caller: Caller, installation: int, slug: str) -> None:
    """The answer is the same as for a missing repository."""
    assert caller.as_app("GET", f"/repos/{slug}/installation").status_code == 404


def test_a_token_has_no_more_than_was_asked_for(caller: Caller, installation: int) -> None:
    """The answer has its repositories, permissions and expiry."""
    answer = caller.take(installation, repositories=["reading-list"], permissions={"contents": "read"}).json()
    assert (answer["permissions"], answer["repository_selection"]) == (
        {"contents": "read", "metadata": "read"},
        "selected",
    )
    assert [each["full_name"] for each in answer["repositories"]] == [SLUG]
    left = datetime.fromisoformat(answer["expires_at"]) - datetime.now(UTC)
    assert 3590 < left.total_seconds() <= 3600


def test_a_token_can_have_all_that_the_installation_has(caller: Caller, installation: int) -> None:
    """It has all if the request names neither repositories nor permissions."""
    answer = caller.take(installation).json()
    assert (answer["permissions"]["contents"], answer["repository_selection"]) == ("write", "all")
    assert caller.status(answer["token"], f"/repos/{SLUG}") == 200
    assert caller.status(answer["token"], f"/repos/{OTHER}") == 404


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"permissions": {"issues": "write"}}, "The permissions requested are not granted to this installation."),
        ({"permissions": {"metadata": "write"}}, "The permissions requested are not granted to this installation."),
        ({"repositories": ["other"]}, "not accessible to the parent installation"),
        ({"repositories": ["none"]}, "not accessible to the parent installation"),
        ({"repository_ids": [999]}, "not accessible to the parent installation"),
        ({"repositories": []}, "not accessible to the parent installation"),
        ({"repositories": "reading-list"}, "is not an array"),
        ({"permission": {}}, "is not a permitted key"),
    ],
)
def test_more_than_the_installation_has_is_refused(
    caller: Caller, installation: int, body: dict[str, Any], said: str
) -> None:
    """The answer is 422, and no token is made."""
    answer = caller.take(installation, **body)
    assert (answer.status_code, said in answer.json()["message"]) == (422, True)


def test_a_former_name_is_not_accepted_for_a_token(stand_in: StandInGitHub, caller: Caller, installation: int) -> None:
    """The number is."""
    register(stand_in)
    number = int(stand_in.git_folder(SLUG).stem)
    stand_in.rename_repository(SLUG, f"{ACCOUNT}/library")
    assert caller.take(installation, repositories=["reading-list"]).status_code == 422
    token = caller.token(installation, repository_ids=[number])
    assert caller.status(token, f"/repos/{ACCOUNT}/library") == 200


def test_a_missing_and_a_suspended_installation_give_no_token(
    stand_in: StandInGitHub, caller: Caller, installation: int
) -> None:
    """The answers are 404 and 403. REST refuses the tokens of a suspended installation."""
    assert caller.take(999).status_code == 404
    token = caller.token(installation)
    register(stand_in, suspended=True)
    answer = caller.take(installation)
    assert (answer.status_code, answer.json()["message"]) == (403, "This installation has been suspended")
    assert caller.status(token, f"/repos/{SLUG}") == 403


def test_a_token_ends_with_its_hour_and_when_it_is_revoked(
    stand_in: StandInGitHub, caller: Caller, installation: int
) -> None:
    """Afterwards it gets 401. A token can revoke only itself."""
    first, second = caller.token(installation), caller.token(installation)
    assert caller.status(first, "/installation/token", "DELETE") == 204
    assert caller.status(first, f"/repos/{SLUG}") == 401
    assert caller.status(first, "/installation/token", "DELETE") == 401
    assert caller.status(TOKEN, "/installation/token", "DELETE") == 403
    assert caller.status(second, f"/repos/{SLUG}") == 200
    stand_in.pass_time(3600)
    assert caller.status(second, f"/repos/{SLUG}") == 401
    assert [token.revoked for token in stand_in.installation_tokens] == [True, False]


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", f"/repos/{SLUG}/branches", "contents:read"),
        ("GET", f"/repos/{SLUG}/branches/main", "contents:read"),
        ("GET", f"/repos/{SLUG}/git/matching-refs/heads/main", "contents:read"),
        ("GET", f"/repos/{SLUG}/git/trees/main", "contents:read"),
        ("GET", PULLS, "pull_requests:read"),
        ("POST", PULLS, "pull_requests:write"),
    ],
)
def test_each_operation_needs_its_permission(
    caller: Caller, installation: int, branch: str, *, method: str, path: str, needed: str
) -> None:
    """Without it the answer is 403, and a header names it. With it the operation succeeds."""
    options = {"json": WISH} if method == "POST" else {}
    lesser = caller.token(installation, permissions={"metadata": "read"})
    refused = caller.api.request(method, path, headers=bearer(lesser), **options)
    assert (refused.status_code, refused.json()["message"]) == (403, "Resource not accessible by integration")
    assert refused.headers["x-accepted-github-permissions"] == needed.replace(":", "=")
    name, level = needed.split(":")
    token = caller.token(installation, permissions={name: level})
    assert caller.status(token, path, method, **options) in (200, 201)


def test_labels_need_one_of_two_permissions(caller: Caller, installation: int, branch: str) -> None:
    """The permission for issues or the one for pull requests is sufficient."""
    token = caller.token(installation, permissions={"pull_requests": "write"})
    number = caller.api.post(PULLS, json=WISH, headers=bearer(token)).json()["number"]
    path = f"/repos/{SLUG}/issues/{number}/labels"
    assert caller.status(token, path, "POST", json=["spec-kit"]) == 200
    lesser = caller.token(installation, permissions={"contents": "write"})
    assert caller.status(lesser, path, "POST", json=["spec-kit"]) == 403


def test_a_token_writes_to_its_repositories_only(caller: Caller, installation: int) -> None:
    """A public one that it is not for can be read."""
    token = caller.token(installation, repositories=["reading-list"])
    assert caller.status(token, f"/repos/{ACCOUNT}/open") == 200
    assert caller.status(token, f"/repos/{ACCOUNT}/open/pulls", "POST", json=WISH) == 403
    assert caller.status(token, f"/repos/{OTHER}") == 404


def test_an_installation_has_one_rate_limit(caller: Caller, installation: int) -> None:
    """All its tokens count together. There is no header with scopes."""
    first = caller.api.get(f"/repos/{SLUG}", headers=bearer(caller.token(installation)))
    second = caller.api.get(f"/repos/{SLUG}", headers=bearer(caller.token(installation)))
    used = [int(answer.headers["x-ratelimit-used"]) for answer in (first, second)]
    assert (used[1] - used[0], "x-oauth-scopes" in first.headers) == (1, False)
    assert set(first.json()["permissions"].values()) == {False}


@pytest.mark.parametrize("long_form", [True, False])
def test_both_forms_of_token_are_recognized_as_tokens(
    stand_in: StandInGitHub, caller: Caller, installation: int, *, long_form: bool
) -> None:
    """The redactor's shapes and the rules for refusals match them."""
    stand_in.set_token_life(3600, long_form=long_form)
    token = caller.token(installation)
    assert (is_token(token), token.count(".")) == (True, 2 if long_form else 0)
    assert [span.kind for span in find_tokens(f"token={token}\n".encode())] == ["GitHub token"]


def test_a_fine_grained_token_has_permissions_too(stand_in: StandInGitHub, plain: Caller) -> None:
    """The refusal is in its own words; it has no scopes."""
    stand_in.add_token("github_pat_lesser", permissions={"contents": "read", "metadata": "read"})
    answer = plain.api.post(PULLS, json=WISH, headers=bearer("github_pat_lesser"))
    assert (answer.status_code, answer.json()["message"]) == (
        403,
        "Resource not accessible by personal access token",
    )
    assert "x-oauth-scopes" not in answer.headers


# Git


def push(stand_in: StandInGitHub, token: str, folder: Path, slug: str = SLUG) -> str:
    """Clone and push a new branch; returns git's standard error, "" after a success."""
    cloned = attempt("clone", "-q", stand_in.clone_url(slug), folder, token=token)
    if cloned.returncode:
        return cloned.stderr
    (folder / "new.txt").write_text("new")
    git("add", ".", folder=folder)
    git("commit", "-qm", "New", folder=folder)
    done = attempt("push", "-q", "origin", "HEAD:refs/heads/work/2", folder=folder, token=token)
    return done.stderr if done.returncode else ""


def test_git_accepts_a_token_with_contents(
    stand_in: StandInGitHub, plain: Caller, installation: int, tmp_path: Path
) -> None:
    """A push needs write access, a clone read access, and only to the token's repositories."""
    writes = plain.token(installation, permissions={"contents": "write"})
    reads = plain.token(installation, permissions={"contents": "read"})
    other = plain.token(installation, permissions={"pull_requests": "write"})
    assert "Write access to repository not granted." in push(stand_in, reads, tmp_path / "reads")
    assert "Write access to repository not granted." in push(stand_in, other, tmp_path / "other")
    assert "not found" in push(stand_in, writes, tmp_path / "none", OTHER)
    assert "work/2" not in stand_in.branches(SLUG)
    assert push(stand_in, writes, tmp_path / "writes") == ""
    assert "work/2" in stand_in.branches(SLUG)


def test_git_refuses_a_token_that_has_ended(
    stand_in: StandInGitHub, plain: Caller, installation: int, tmp_path: Path
) -> None:
    """The message is that for a wrong token. A suspended installation has its own message."""
    token = plain.token(installation)
    register(stand_in, suspended=True)
    assert "This installation has been suspended" in push(stand_in, token, tmp_path / "suspended")
    register(stand_in)
    stand_in.end_token_lives()
    assert "Invalid username or token" in push(stand_in, token, tmp_path / "ended")


def test_git_refuses_a_workflow_without_the_permission(
    stand_in: StandInGitHub, plain: Caller, installation: int, tmp_path: Path
) -> None:
    """The message is GitHub's for Apps."""
    token = plain.token(installation)
    folder = tmp_path / "clone"
    git("clone", "-q", stand_in.clone_url(SLUG), folder, token=token)
    (folder / ".github/workflows").mkdir(parents=True, exist_ok=True)
    (folder / ".github/workflows/x.yml").write_text("on: push")
    git("add", ".", folder=folder)
    git("commit", "-qm", "New", folder=folder)
    done = attempt("push", "-q", "origin", "HEAD:refs/heads/work/3", folder=folder, token=token)
    said = "refusing to allow a GitHub App to create or update workflow `.github/workflows/x.yml` without `workflows`"
    assert said in done.stderr


def test_levels_of_a_permission() -> None:
    """A higher level includes the lower ones. An unknown level includes nothing."""
    assert covers({"contents": "write"}, "contents", "read")
    assert not covers({"contents": "read"}, "contents", "write")
    assert not covers({}, "contents", "read")
    assert not covers({"contents": "read"}, "contents", "everything")
