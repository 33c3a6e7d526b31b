"""The operations of GitHub's REST API that the appliance uses.

Shapes and statuses are those of GitHub's OpenAPI description; the tests check every request and response against it.
"""

import base64
from collections.abc import Sequence
from typing import Self
from urllib.parse import quote

import httpx
import msgspec

from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github.connection import DEFAULT_PAUSES, DEFAULT_TIMEOUT, Connection
from moonmind_appliance.github.tokens import TokenSource
from moonmind_appliance.settings import Settings

BEYOND = {"administration": "actions/permissions", "secrets": "actions/secrets", "webhooks": "hooks"}
"""Permissions that runs do not need, and what can be read with each alone (docs.github.com/rest, "Permissions required
for fine-grained personal access tokens")."""

_FORBIDDEN, _NOT_FOUND = 403, 404


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository as visible to this token.

    `repository_id` is GitHub's number, which no other repository has had; 0 if GitHub reports none. `full_name` is its
    current name: for a renamed repository it differs from the requested name; use it in further requests. `disabled`:
    GitHub has disabled it. `may_push` is the permission that GitHub reports for the token's account; True if GitHub
    reports none, and for a GitHub App's token, which has no account.
    """

    repository_id: int
    full_name: str
    default_branch: str
    private: bool
    archived: bool
    disabled: bool
    may_push: bool
    html_url: str


class PullRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A pull request of branches of one repository. `state` is open or closed."""

    number: int
    html_url: str
    title: str
    body: str
    draft: bool
    state: str
    head_branch: str
    head_sha: str
    base_branch: str


class _Permissions(msgspec.Struct):
    push: bool = False


class _Repository(msgspec.Struct):
    full_name: str
    default_branch: str
    private: bool
    html_url: str
    id: int = 0
    archived: bool = False
    disabled: bool = False
    permissions: _Permissions | None = None


class _Commit(msgspec.Struct):
    sha: str


class _Branch(msgspec.Struct):
    name: str
    commit: _Commit


class _Ref(msgspec.Struct):
    ref: str


class _BranchName(msgspec.Struct):
    name: str


class _Side(msgspec.Struct):
    ref: str
    sha: str
    label: str | None = None


class _PullRequest(msgspec.Struct):
    number: int
    html_url: str
    title: str
    state: str
    head: _Side
    base: _Side
    body: str | None = None
    draft: bool = False

    def public(self) -> PullRequest:
        return PullRequest(
            number=self.number,
            html_url=self.html_url,
            title=self.title,
            body=self.body or "",
            draft=self.draft,
            state=self.state,
            head_branch=self.head.ref,
            head_sha=self.head.sha,
            base_branch=self.base.ref,
        )


class TreeEntry(msgspec.Struct, frozen=True):
    """One name in a folder of a commit. `mode` is Git's: 040000 a folder, 120000 a link, 160000 a submodule."""

    path: str
    mode: str
    sha: str


class _Tree(msgspec.Struct):
    sha: str
    tree: list[TreeEntry]
    truncated: bool = False


class _Blob(msgspec.Struct):
    content: str
    encoding: str


class _Label(msgspec.Struct):
    name: str


class GitHub:
    """GitHub's REST API with the tokens of one source. `slug` is "owner/name".

    Every method raises `GitHubError`: `status` None without a response, `errors` with GitHub's message first and
    its details after it, `retry_at` when GitHub asked to wait. Safe to use from several threads. Everything but
    `create_pull_request` is safe to call twice, and is repeated automatically, `len(pauses)` times, while GitHub is
    unreachable or answers 502, 503 or 504.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        pauses: Sequence[float] = DEFAULT_PAUSES,
        transport: httpx.BaseTransport | None = None,
    ) -> Self | None:
        """The client with GITHUB_TOKEN; None without that token. For the arguments see `Connection.of`.

        Raises:
            SettingsError: the token cannot be sent, or a CA file cannot be used.
            OSError: a CA file cannot be read.
        """
        if settings.github_token is None:
            return None
        return cls(Connection.of(settings, settings.github_token, timeout=timeout, pauses=pauses, transport=transport))

    @property
    def pauses(self) -> tuple[float, ...]:
        """The seconds before each repetition of a request."""
        return self._connection.pauses

    @property
    def tokens(self) -> TokenSource:
        """The source of the tokens for its requests; Git uses the same source."""
        return self._connection.tokens

    def repository(self, slug: str) -> Repository:
        """The repository; status 404 also if the token has no access to it."""
        found = self._connection.ask("GET", repository_path(slug), answer=_Repository)
        return Repository(
            repository_id=found.id,
            full_name=found.full_name,
            default_branch=found.default_branch,
            private=found.private,
            archived=found.archived,
            disabled=found.disabled,
            may_push=self.tokens.may_push or found.permissions is None or found.permissions.push,
            html_url=found.html_url,
        )

    def may_read(self, slug: str, name: str) -> bool:
        """Whether the token may read one of `BEYOND`, by its name."""
        try:
            self._connection.send("GET", f"{repository_path(slug)}/{BEYOND[name]}")
        except GitHubError as error:
            if error.status in (_FORBIDDEN, _NOT_FOUND) and error.retry_at is None:
                return False
            raise
        return True

    def branch_head(self, slug: str, branch: str) -> str | None:
        """The commit id that the branch points to; None if there is no such branch or no such repository."""
        if any(part in ("", ".", "..") for part in branch.split("/")):
            return None  # not a valid Git name, and as a path it would mean another resource
        try:
            found = self._connection.ask("GET", f"{repository_path(slug)}/branches/{_quoted(branch)}", answer=_Branch)
        except GitHubError as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        # GitHub redirects to a renamed branch; in Git the old name does not exist.
        return found.commit.sha if found.name == branch else None

    def is_empty(self, slug: str) -> bool:
        """Whether the repository has no branch, and so no commit."""
        path = f"{repository_path(slug)}/branches"
        return not self._connection.ask("GET", path, query={"per_page": "1"}, answer=list[_BranchName])

    def branches_at_or_below(self, slug: str, branch: str) -> list[str]:
        """The branch itself if it exists, and branches below its name (`<branch>/…`)."""
        path = f"{repository_path(slug)}/git/matching-refs/heads/{quote(branch)}"
        found = self._connection.ask("GET", path, answer=list[_Ref])
        # GitHub also returns every ref whose name begins with the same characters.
        names = [each.ref.removeprefix("refs/heads/") for each in found]
        return [name for name in names if name == branch or name.startswith(f"{branch}/")]

    def find_pull_request(self, slug: str, head_branch: str) -> PullRequest | None:
        """The newest open pull request from that branch of this repository, or None."""
        owner = slug.partition("/")[0]
        found = self._connection.ask(
            "GET",
            f"{repository_path(slug)}/pulls",
            query={"state": "open", "head": f"{owner}:{head_branch}"},
            answer=list[_PullRequest],
        )
        # GitHub ignores a filter that it does not understand, and then lists every pull request.
        wanted = (owner.lower(), head_branch)
        for pull in found:
            label_owner, _, label_branch = (pull.head.label or "").partition(":")
            if (label_owner.lower(), label_branch) == wanted:
                return pull.public()
        return None

    def create_pull_request(
        self, slug: str, *, title: str, body: str, head: str, base: str, draft: bool
    ) -> PullRequest:
        """Open a pull request from branch `head` to branch `base` of this repository.

        Not repeated automatically. After a `GitHubError` whose status is None or 500 and above, the pull request may
        exist: call `find_pull_request` before calling again.
        """
        made = self._connection.ask(
            "POST",
            f"{repository_path(slug)}/pulls",
            body={"title": title, "body": body, "head": head, "base": base, "draft": draft},
            answer=_PullRequest,
            repeatable=False,
        )
        return made.public()

    def update_pull_request(self, slug: str, number: int, *, title: str, body: str) -> PullRequest:
        """Set title and body; other fields are unchanged."""
        changed = self._connection.ask(
            "PATCH",
            f"{repository_path(slug)}/pulls/{number}",
            body={"title": title, "body": body},
            answer=_PullRequest,
        )
        return changed.public()

    def add_labels(self, slug: str, number: int, labels: Sequence[str]) -> None:
        """Add labels to a pull request; GitHub creates missing ones. Without labels no request is sent."""
        if labels:
            self._connection.ask(
                "POST",
                f"{repository_path(slug)}/issues/{number}/labels",
                body={"labels": list(labels)},
                answer=list[_Label],
            )

    def folder(self, slug: str, sha: str) -> list[TreeEntry]:
        """What a folder contains, by the id of its tree, or of a commit for the root. GitHub cuts off long ones."""
        return self._connection.ask("GET", f"{repository_path(slug)}/git/trees/{_quoted(sha)}", answer=_Tree).tree

    def blob(self, slug: str, sha: str) -> bytes:
        """A file's content, or a link's target, by its id; GitHub has no content for files of more than 100 MB."""
        found = self._connection.ask("GET", f"{repository_path(slug)}/git/blobs/{_quoted(sha)}", answer=_Blob)
        return base64.b64decode(found.content) if found.encoding == "base64" else found.content.encode()

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self._connection.close()


def _quoted(part: str) -> str:
    return quote(part, safe="")


def repository_path(slug: str) -> str:
    """The path of a repository's operations.

    Raises:
        GitHubError: it is not a valid name.
    """
    owner, _, name = slug.partition("/")
    if any(part in ("", ".", "..") for part in (owner, name)):
        raise GitHubError(f"{slug!r} is not a valid repository name; no request was sent to GitHub.", status=_NOT_FOUND)
    return f"/repos/{_quoted(owner)}/{_quoted(name)}"
