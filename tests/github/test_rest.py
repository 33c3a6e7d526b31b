"""The operations of the GitHub client, over real HTTP against the stand-in.

The fixture `github_client` also checks every request and answer against GitHub's own OpenAPI description.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github import Connection, GitHub, PullRequest, Repository
from moonmind_appliance.rehearsal.github import Fault, StandInGitHub
from moonmind_appliance.settings import Secret
from tests.github.stand_in import SLUG, TOKEN, add_branch, git


def refused(call: Callable[[], object]) -> GitHubError:
    with pytest.raises(GitHubError) as caught:
        call()
    return caught.value


def create(github_client: GitHub, **changes: object) -> PullRequest:
    wish = {"title": "A title", "body": "A body", "head": "work/1", "base": "main", "draft": True, **changes}
    return github_client.create_pull_request(SLUG, **wish)


def test_a_repository_is_described_as_the_token_sees_it(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """It has name, default branch, private, archived, and whether the token may push."""
    assert github_client.repository(SLUG) == Repository(
        repository_id=int(stand_in.git_folder(SLUG).stem),
        full_name=SLUG,
        default_branch="main",
        private=True,
        archived=False,
        disabled=False,
        may_push=True,
        html_url=f"{stand_in.server_url}/{SLUG}",
    )


@pytest.mark.parametrize(
    ("options", "token_options", "expected"),
    [
        ({"private": False}, {}, {"private": False}),
        ({"archived": True}, {}, {"archived": True}),
        ({"push": False}, {}, {"may_push": False}),
        ({}, {"push": False}, {"may_push": False}),
        ({"default_branch": "trunk"}, {}, {"default_branch": "trunk"}),
    ],
)
def test_each_property_of_a_repository_is_returned(
    stand_in: StandInGitHub, github_client: GitHub, options: dict, token_options: dict, expected: dict
) -> None:
    """Each difference on GitHub is visible in the result."""
    stand_in.add_repository("acme/other", **options)
    stand_in.add_token(TOKEN, **token_options)
    found = github_client.repository("acme/other")
    assert {name: getattr(found, name) for name in expected} == expected


def test_a_repository_that_the_token_may_not_see_is_not_found(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """GitHub answers the same for a hidden and a missing repository."""
    stand_in.add_token(TOKEN, repositories=["acme/other"])
    hidden, none = (
        refused(lambda: github_client.repository(SLUG)),
        refused(lambda: github_client.repository("acme/none")),
    )
    assert (hidden.status, hidden.errors) == (none.status, none.errors) == (404, ("Not Found",))


def test_a_revoked_token_is_401_with_githubs_message(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """The status distinguishes it from a missing repository."""
    stand_in.remove_token(TOKEN)
    error = refused(lambda: github_client.repository(SLUG))
    assert (error.status, error.errors) == (401, ("Bad credentials",))
    assert str(error) == f"GitHub returned 401 for GET /api/v3/repos/{SLUG}: Bad credentials"


def test_a_renamed_repository_answers_under_its_old_name(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """Redirects are followed for reads and writes; the result has the new name."""
    commit = add_branch(stand_in, "work/1")
    stand_in.rename_repository(SLUG, "acme/library")
    assert github_client.repository(SLUG).full_name == "acme/library"
    assert github_client.branch_head(SLUG, "work/1") == commit
    made = create(github_client)
    assert made.html_url == f"{stand_in.server_url}/acme/library/pull/1"
    assert github_client.update_pull_request(SLUG, 1, title="Another", body="").title == "Another"
    assert github_client.find_pull_request(SLUG, "work/1") is not None


@pytest.mark.parametrize("slug", ["acme", "acme/", "/reading-list", "acme/..", "./reading-list", ""])
def test_what_cannot_be_a_slug_is_not_asked_for(stand_in: StandInGitHub, github_client: GitHub, slug: str) -> None:
    """The result is not found, without a request for another resource."""
    assert refused(lambda: github_client.repository(slug)).status == 404
    assert stand_in.requests == []


@pytest.mark.parametrize(
    "branch", ["main", "speckit/20260101/ab12cd34", "käse/50%25", "a#b", "a+b&c=d", "a b".replace(" ", "\u00a0")]
)
def test_a_branchs_head_is_its_commit(stand_in: StandInGitHub, github_client: GitHub, branch: str) -> None:
    """Any valid branch name works, also with slashes."""
    if branch != "main":
        add_branch(stand_in, branch)
    expected = git("rev-parse", f"refs/heads/{branch}", folder=stand_in.git_folder(SLUG))
    assert github_client.branch_head(SLUG, branch) == expected


@pytest.mark.parametrize("branch", ["none", "none/at/all", "", "..", "../../../user", "a//b", "main/"])
def test_a_branch_that_is_not_there_has_no_head(github_client: GitHub, branch: str) -> None:
    """A name that is not valid for a branch has no head, either."""
    assert github_client.branch_head(SLUG, branch) is None


def test_a_renamed_branch_is_not_there_any_more(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """GitHub's API redirects to the new name, but Git does not: a clone of the old name would fail."""
    stand_in.rename_branch(SLUG, "main", "trunk")
    assert github_client.branch_head(SLUG, "main") is None
    assert github_client.branch_head(SLUG, "trunk") is not None


def test_an_empty_repository_has_no_branch(stand_in: StandInGitHub, github_client: GitHub, tmp_path: Path) -> None:
    """Also its default branch does not exist."""
    git("init", "-q", "--bare", tmp_path / "empty")
    stand_in.add_repository("acme/empty", tmp_path / "empty")
    assert github_client.repository("acme/empty").default_branch == "main"
    assert github_client.branch_head("acme/empty", "main") is None
    assert (github_client.is_empty("acme/empty"), github_client.is_empty(SLUG)) == (True, False)


def test_branches_below_a_name_are_found(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """The name itself, and names below it; not a name that only begins with the same characters."""
    for branch in ("work/1/a", "work/1/b/c", "work/10", "other/käse"):
        add_branch(stand_in, branch)
    assert github_client.branches_at_or_below(SLUG, "work/1") == ["work/1/a", "work/1/b/c"]
    assert github_client.branches_at_or_below(SLUG, "work") == ["work/1/a", "work/1/b/c", "work/10"]
    assert github_client.branches_at_or_below(SLUG, "other/käse") == ["other/käse"]
    assert github_client.branches_at_or_below(SLUG, "none") == []


def test_no_repository_has_no_branches(github_client: GitHub) -> None:
    """A branch of a missing repository gives None, not an error."""
    assert github_client.branch_head("acme/none", "main") is None


def test_a_draft_pull_request_is_opened(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """GitHub has the pull request as requested, and it is returned."""
    commit = add_branch(stand_in, "work/1")
    made = create(github_client, title="Ünïcode ✓", body="One\n\nTwo")
    assert made == PullRequest(
        number=1,
        html_url=f"{stand_in.server_url}/{SLUG}/pull/1",
        title="Ünïcode ✓",
        body="One\n\nTwo",
        draft=True,
        state="open",
        head_branch="work/1",
        head_sha=commit,
        base_branch="main",
    )
    (hosted,) = stand_in.pull_requests(SLUG)
    assert (hosted.title, hosted.body, hosted.draft, hosted.head_sha) == ("Ünïcode ✓", "One\n\nTwo", True, commit)


def test_the_open_pull_request_of_a_branch_is_found(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """Only an open pull request of that branch is found."""
    for branch in ("work/1", "work/2", "work/10"):
        add_branch(stand_in, branch)
    create(github_client, head="work/10")
    assert github_client.find_pull_request(SLUG, "work/1") is None
    made = create(github_client, head="work/1")
    create(github_client, head="work/2")
    assert github_client.find_pull_request(SLUG, "work/1") == made
    assert github_client.find_pull_request(SLUG.upper(), "work/1") == made
    bare = stand_in.git_folder(SLUG)
    work = bare.parent / "clone"
    git("clone", "-q", stand_in.clone_url(SLUG), work, token=TOKEN)
    git("push", "-q", "origin", ":work/1", folder=work, token=TOKEN)  # GitHub closes it with its branch
    assert github_client.find_pull_request(SLUG, "work/1") is None


def test_a_filter_that_github_ignores_finds_nothing_wrong() -> None:
    """GitHub ignores a filter that it does not understand: a pull request of another branch is not returned."""
    other = {
        "number": 7,
        "html_url": "http://127.0.0.1/x/pull/7",
        "title": "",
        "state": "open",
        "head": {"ref": "other", "sha": "0" * 40, "label": "acme:other"},
        "base": {"ref": "main", "sha": "0" * 40},
    }
    fork = {**other, "head": {"ref": "work/1", "sha": "0" * 40, "label": "someone:work/1"}}
    github = GitHub(
        Connection(
            api_url="http://127.0.0.1/api/v3",
            token=Secret(TOKEN),
            transport=httpx.MockTransport(lambda _: httpx.Response(200, json=[other, fork])),
        )
    )
    assert github.find_pull_request(SLUG, "work/1") is None
    github.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head": "none"}, "PullRequest.head: invalid"),
        ({"base": "none"}, "PullRequest.base: invalid"),
        ({"head": "same"}, "No commits between main and same"),
        ({"head": "open"}, "A pull request already exists for acme:open."),
        ({"title": " "}, "Issue.title: missing_field"),
        ({"title": "x" * 257}, "title is too long (maximum is 256 characters)"),
        ({"body": "x" * 65_537}, "body is too long (maximum is 65536 characters)"),
    ],
)
def test_a_refused_pull_request_has_githubs_message(
    stand_in: StandInGitHub, github_client: GitHub, changes: dict, words: str
) -> None:
    """The error is 422, with message first and details after it, and no pull request is created."""
    add_branch(stand_in, "work/1")
    add_branch(stand_in, "open")
    create(github_client, head="open")
    bare = stand_in.git_folder(SLUG)
    git("update-ref", "refs/heads/same", "main", folder=bare)
    error = refused(lambda: create(github_client, **changes))
    assert (error.status, error.errors, error.retry_at) == (422, ("Validation Failed", words), None)
    assert words in str(error)
    assert len(stand_in.pull_requests(SLUG)) == 1


def test_a_refused_draft_has_its_own_message(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """The same pull request is accepted without draft."""
    stand_in.add_repository("acme/free", draft_supported=False)
    add_branch(stand_in, "work/1", slug="acme/free")
    wish = {"title": "t", "body": "", "head": "work/1", "base": "main"}
    error = refused(lambda: github_client.create_pull_request("acme/free", **wish, draft=True))
    assert (error.status, error.errors) == (
        422,
        ("Draft pull requests are not supported in this repository.",),
    )
    assert github_client.create_pull_request("acme/free", **wish, draft=False).draft is False


def test_a_reading_token_opens_nothing(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """The error is 403 with GitHub's message."""
    add_branch(stand_in, "work/1")
    stand_in.add_token(TOKEN, push=False)
    error = refused(lambda: create(github_client))
    assert (error.status, error.errors) == (403, ("Resource not accessible by personal access token",))
    assert error.retry_at is None


@pytest.mark.parametrize("fault", [Fault.SERVER_ERRORS, Fault.UNREACHABLE])
def test_creating_is_not_repeated(stand_in: StandInGitHub, github_client: GitHub, fault: Fault) -> None:
    """GitHub may have created the pull request: the caller must search first."""
    add_branch(stand_in, "work/1")
    stand_in.inject(fault, times=1)
    error = refused(lambda: create(github_client))
    assert error.status in (None, 502)
    assert len(stand_in.requests) == 1


def test_after_a_lost_answer_the_pull_request_is_found(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """The error has no status; the search finds the one created pull request."""
    add_branch(stand_in, "work/1")
    stand_in.inject(Fault.LOST_ANSWER, times=1)
    assert refused(lambda: create(github_client)).status is None
    found = github_client.find_pull_request(SLUG, "work/1")
    assert found is not None
    assert found.number == 1
    assert len(stand_in.pull_requests(SLUG)) == 1


def test_a_concurrent_pull_request_is_found(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """If another user creates it between search and creation, the error is 422, and then it is found."""
    add_branch(stand_in, "work/1")
    stand_in.inject(Fault.PR_RACED)
    assert github_client.find_pull_request(SLUG, "work/1") is None
    assert "A pull request already exists for acme:work/1." in refused(lambda: create(github_client)).errors
    found = github_client.find_pull_request(SLUG, "work/1")
    assert found is not None
    assert found.body == ""


def test_an_update_sets_title_and_body_only(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """Draft state, branches and number are unchanged."""
    add_branch(stand_in, "work/1")
    made = create(github_client)
    changed = github_client.update_pull_request(SLUG, made.number, title="New", body="Newer")
    assert (changed.title, changed.body) == ("New", "Newer")
    assert (changed.number, changed.draft, changed.head_sha) == (made.number, made.draft, made.head_sha)


def test_labels_are_added_once_and_made_when_missing(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """Adding is safe twice; no label, no request."""
    add_branch(stand_in, "work/1")
    number = create(github_client).number
    github_client.add_labels(SLUG, number, ["spec-kit", "needs review"])
    github_client.add_labels(SLUG, number, ["spec-kit"])
    before = len(stand_in.requests)
    github_client.add_labels(SLUG, number, [])
    assert stand_in.pull_requests(SLUG)[0].labels == ("spec-kit", "needs review")
    assert len(stand_in.requests) == before


@pytest.mark.parametrize("fault", [Fault.SERVER_ERRORS, Fault.UNREACHABLE])
def test_idempotent_requests_are_retried(stand_in: StandInGitHub, github_client: GitHub, fault: Fault) -> None:
    """Two consecutive failures are not visible to the caller."""
    add_branch(stand_in, "work/1")
    number = create(github_client).number
    calls = (
        lambda: github_client.repository(SLUG),
        lambda: github_client.branch_head(SLUG, "main"),
        lambda: github_client.find_pull_request(SLUG, "work/1"),
        lambda: github_client.update_pull_request(SLUG, number, title="t", body="b"),
        lambda: github_client.add_labels(SLUG, number, ["spec-kit"]),
    )
    for call in calls:
        before = len(stand_in.requests)
        stand_in.inject(fault, times=2)
        call()
        assert len(stand_in.requests) == before + 3


@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.SECONDARY_RATE_LIMITED])
def test_a_rate_limit_has_a_retry_time(stand_in: StandInGitHub, github_client: GitHub, fault: Fault) -> None:
    """Both kinds are 403 with a time, and are not retried at once."""
    stand_in.inject(fault)
    error = refused(lambda: github_client.repository(SLUG))
    assert error.status == 403
    assert error.retry_at is not None
    assert len(stand_in.requests) == 1


def test_one_client_serves_many_threads(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """Parallel calls do not affect each other."""
    branches = [f"work/{number}" for number in range(8)]
    commits = [add_branch(stand_in, branch) for branch in branches]
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda branch: create(github_client, head=branch, title=branch), branches))
    assert [pull.head_sha for pull in made] == commits
    assert [pull.title for pull in made] == branches


def test_closing_is_safe_twice(stand_in: StandInGitHub) -> None:
    """It works with and without a request before."""
    github = GitHub(Connection(api_url=stand_in.api_url, token=Secret(TOKEN)))
    github.repository(SLUG)
    github.close()
    github.close()


def test_an_enterprise_servers_api_has_a_path(tmp_path: Path) -> None:
    """GITHUB_API_URL with a path, with and without a slash at its end."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(404, json={"message": "Not Found"})

    for api_url in ("https://ghe.example.invalid/api/v3", "https://ghe.example.invalid/api/v3/"):
        github = GitHub(Connection(api_url=api_url, token=Secret(TOKEN), transport=httpx.MockTransport(answer)))
        assert github.branch_head(SLUG, "a/b") is None
        github.close()
    assert set(asked) == {"https://ghe.example.invalid/api/v3/repos/acme/reading-list/branches/a%2Fb"}


def test_a_folder_and_a_file_are_read_by_their_ids(stand_in: StandInGitHub, github_client: GitHub) -> None:
    """The root by its commit's id, names with their modes, and contents as they are."""
    head = github_client.branch_head(SLUG, "main")
    assert head is not None
    root = {entry.path: entry for entry in github_client.folder(SLUG, head)}
    names = git("ls-tree", "--name-only", "main", folder=stand_in.git_folder(SLUG)).splitlines()
    assert sorted(root) == sorted(names)
    readme = git("show", "main:README.md", folder=stand_in.git_folder(SLUG))
    assert github_client.blob(SLUG, root["README.md"].sha).decode().strip() == readme.strip()
    assert refused(lambda: github_client.blob(SLUG, "0" * 40)).status == 404
