"""The state of the stand-in GitHub: tokens, repositories, pull requests, labels; and GitHub's rules for them."""

import base64
import binascii
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from moonmind_appliance.rehearsal.github.apps import Apps, InstallationToken, covers
from moonmind_appliance.rehearsal.github.bare_repository import BareRepository, Git
from moonmind_appliance.rehearsal.github.faults import ActiveFaults, Fault

OTHER_USER = "other-user"
REQUESTS_AN_HOUR = 5000


@dataclass(frozen=True)
class Access:
    """A token: its owner and its permissions. `repositories` are slugs in lower case; None: all.

    `permissions` are those of an installation token or of a fine-grained token; None: of a classic token. `is_app`: it
    is an installation token. `suspended`: the App's installation is suspended. `limit`: what the rate limit is counted
    for, if it is not the token.
    """

    login: str
    push: bool
    scopes: frozenset[str]
    repositories: frozenset[str] | None
    permissions: Mapping[str, str] | None = None
    is_app: bool = False
    suspended: bool = False
    limit: str = ""

    def allows(self, *alternatives: str) -> bool:
        """Whether it has one of the permissions, each `name:level`; a classic token has scopes instead."""
        if self.permissions is None:
            return True
        return any(covers(self.permissions, *each.split(":")) for each in alternatives)


@dataclass
class Label:
    """A label of one repository."""

    label_id: int
    name: str
    color: str = "ededed"
    description: str | None = None


@dataclass
class HostedPullRequest:
    """A pull request. `head_sha` is the last observed commit of its branch."""

    pull_id: int
    number: int
    title: str
    body: str | None
    head: str
    base: str
    head_sha: str
    draft: bool
    user: str
    created_at: datetime
    updated_at: datetime
    state: str = "open"
    closed_at: datetime | None = None
    maintainer_can_modify: bool = False
    labels: list[Label] = field(default_factory=list)


@dataclass
class HostedRepository:
    """A repository with its labels and pull requests."""

    repository_id: int
    owner: str
    name: str
    bare: BareRepository
    default_branch: str
    private: bool
    push: bool
    draft_supported: bool
    archived: bool
    protected: frozenset[str]
    size_kilobytes: int
    created_at: datetime
    pushed_at: datetime
    pulls: list[HostedPullRequest] = field(default_factory=list)
    labels: dict[str, Label] = field(default_factory=dict)
    renamed_branches: dict[str, str] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The current owner/name."""
        return f"{self.owner}/{self.name}"


class GitHubState:
    """The state of one stand-in. Safe to use from several threads: acquire `lock` before a change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git = Git(root)
        self.faults = ActiveFaults()
        self.lock = threading.RLock()
        self.server_url = ""
        self.api_url = ""
        self._tokens: dict[str, Access] = {}
        self._used: dict[str, int] = {}
        self._slugs: dict[str, HostedRepository] = {}
        self._ids = 0
        self.apps = Apps(self.next_id)

    def next_id(self) -> int:
        """A unique number."""
        with self.lock:
            self._ids += 1
            return self._ids

    def add_token(
        self,
        token: str,
        *,
        push: bool,
        scopes: Iterable[str],
        repositories: Iterable[str] | None,
        login: str,
        permissions: Mapping[str, str] | None = None,
    ) -> None:
        """Add a token, or change its permissions."""
        slugs = None if repositories is None else frozenset(slug.lower() for slug in repositories)
        with self.lock:
            self._tokens[token] = Access(login, push, frozenset(scopes), slugs, permissions)

    def remove_token(self, token: str) -> None:
        """Revoke the token. Idempotent."""
        with self.lock:
            self._tokens.pop(token, None)

    def access(self, token: str) -> Access | None:
        """The token's permissions; None if it is unknown, has expired or was revoked."""
        issued = self.apps.token(token)
        if issued is not None and self.faults.take(Fault.TOKEN_LAG):
            return None
        return self._tokens.get(token) if issued is None else self._installation_access(issued)

    def _installation_access(self, token: InstallationToken) -> Access:
        installation, ids = token.installation, token.repository_ids
        with self.lock:
            slugs = frozenset(
                each.slug.lower()
                for each in self._slugs.values()
                if installation.includes(each.slug) and (ids is None or each.repository_id in ids)
            )
        return Access(
            login=f"{token.app.slug}[bot]",
            push=covers(token.permissions, "contents", "write"),
            scopes=frozenset(),
            repositories=slugs,
            permissions=token.permissions,
            is_app=True,
            suspended=installation.suspended_at is not None,
            limit=f"installation {installation.installation_id}",
        )

    def count_request(self, token: str | None) -> int:
        """Count one more request of this token; returns its number of requests."""
        with self.lock:
            self._used[token or ""] = self._used.get(token or "", 0) + 1
            return self._used[token or ""]

    def add_repository(
        self,
        slug: str,
        source: Path | None,
        *,
        private: bool,
        default_branch: str,
        push: bool,
        draft_supported: bool,
        archived: bool,
        protected: Iterable[str],
    ) -> HostedRepository:
        """Host a repository; see `StandInGitHub.add_repository`."""
        owner, separator, name = slug.partition("/")
        if not owner or not separator or not name or "/" in name:
            raise ValueError(f"{slug!r} is not of the form owner/name")
        with self.lock:
            if slug.lower() in self._slugs:
                raise ValueError(f"{slug} exists already")
            repository_id = self.next_id()
            bare = BareRepository(self.root / "repositories" / f"{repository_id}.git", self.git)
            bare.make(source, default_branch)
            now = datetime.now(UTC)
            repository = HostedRepository(
                repository_id=repository_id,
                owner=owner,
                name=name,
                bare=bare,
                default_branch=default_branch,
                private=private,
                push=push,
                draft_supported=draft_supported,
                archived=archived,
                protected=frozenset(protected),
                size_kilobytes=bare.size_kilobytes(),
                created_at=now,
                pushed_at=now,
            )
            self._slugs[slug.lower()] = repository
            return repository

    def rename_repository(self, old: str, new: str) -> None:
        """Rename it; the old name redirects."""
        with self.lock:
            repository = self._slugs[old.lower()]
            repository.owner, _, repository.name = new.partition("/")
            self._slugs[new.lower()] = repository

    def by_slug(self, slug: str) -> HostedRepository | None:
        """The repository with that current or former name, in any case."""
        return self._slugs.get(slug.lower())

    def by_id(self, repository_id: int) -> HostedRepository | None:
        """The repository with that id."""
        return next((r for r in self._slugs.values() if r.repository_id == repository_id), None)

    def may_see(self, repository: HostedRepository, access: Access | None) -> bool:
        """Whether the caller may know that the repository exists."""
        if not repository.private:
            return True
        return access is not None and self.includes(repository, access)

    def includes(self, repository: HostedRepository, access: Access) -> bool:
        """Whether the repository is one of those that the token is for."""
        return access.repositories is None or repository.slug.lower() in access.repositories

    def may_push(self, repository: HostedRepository, access: Access | None) -> bool:
        """Whether the caller may write to it, if it is not archived."""
        if access is None or not self.may_see(repository, access):
            return False
        # A user may write to a public repository in which they have a role; an App only where it is installed.
        return access.push and repository.push and (access.permissions is None or self.includes(repository, access))

    def label(self, repository: HostedRepository, name: str) -> Label:
        """The repository's label with that name, in any case; creates a missing one."""
        with self.lock:
            if name.lower() not in repository.labels:
                repository.labels[name.lower()] = Label(self.next_id(), name)
            return repository.labels[name.lower()]

    def open_pull_request(
        self,
        repository: HostedRepository,
        *,
        title: str,
        body: str | None,
        head: str,
        base: str,
        head_sha: str,
        draft: bool,
        user: str,
        maintainer_can_modify: bool = False,
    ) -> HostedPullRequest:
        """Open it without checking rules. GitHub keeps its head as `refs/pull/N/head`."""
        with self.lock:
            number = len(repository.pulls) + 1
            now = datetime.now(UTC)
            pull = HostedPullRequest(
                pull_id=self.next_id(),
                number=number,
                title=title,
                body=body,
                head=head,
                base=base,
                head_sha=head_sha,
                draft=draft,
                user=user,
                created_at=now,
                updated_at=now,
                maintainer_can_modify=maintainer_can_modify,
            )
            repository.bare.set_ref(f"refs/pull/{number}/head", head_sha)
            repository.pulls.append(pull)
            return pull

    def change_pull_request(self, pull: HostedPullRequest, *, state: str, **changes: object) -> None:
        """Set the given values without checking rules."""
        with self.lock:
            now = datetime.now(UTC)
            for name, value in changes.items():
                setattr(pull, name, value)
            if state != pull.state:
                pull.state, pull.closed_at = state, None if state == "open" else now
            pull.updated_at = now

    def open_as_other_user(self, repository: HostedRepository, head: str) -> None:
        """Open a pull request from that branch as another user, unless there is one or nothing to merge."""
        with self.lock:
            head_sha = repository.bare.head(head)
            base_sha = repository.bare.head(repository.default_branch)
            taken = any(p.state == "open" and p.head == head for p in repository.pulls)
            if taken or head_sha is None or base_sha is None or head_sha == base_sha:
                return
            self.open_pull_request(
                repository,
                title=f"Opened by {OTHER_USER}",
                body=None,
                head=head,
                base=repository.default_branch,
                head_sha=head_sha,
                draft=False,
                user=OTHER_USER,
            )

    def branches_pushed(self, repository: HostedRepository, before: dict[str, str], after: dict[str, str]) -> None:
        """Update after a push: pull requests follow their branch, or close if it was deleted."""
        with self.lock:
            now = datetime.now(UTC)
            repository.pushed_at = now
            for pull in repository.pulls:
                if pull.state != "open" or after.get(pull.head) == pull.head_sha:
                    continue
                pull.updated_at = now
                if pull.head in after:
                    pull.head_sha = after[pull.head]
                    repository.bare.set_ref(f"refs/pull/{pull.number}/head", pull.head_sha)
                else:
                    pull.state, pull.closed_at = "closed", now
            for branch in after.keys() - before.keys():
                if self.faults.take(Fault.PR_EXISTS):
                    self.open_as_other_user(repository, branch)


def basic_credentials(authorization: str) -> tuple[str, str] | None:
    """User and password of a Basic `Authorization` header, or None."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, separator, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if separator else None


def token_of(authorization: str) -> str | None:
    """The token in a header of any form that GitHub accepts, or None.

    Basic: any user with the token as password, or the token as user with no password or `x-oauth-basic`.
    """
    if credentials := basic_credentials(authorization):
        user, password = credentials
        return user if password in ("", "x-oauth-basic") else password
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "token") and token.strip() else None
