"""The stand-in GitHub as one object: its server in a thread, its repositories, its faults, and its request log."""

import socket
import threading
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import uvicorn

from moonmind_appliance.api_address import listen
from moonmind_appliance.rehearsal.github.apps import IssuedToken
from moonmind_appliance.rehearsal.github.faults import Fault
from moonmind_appliance.rehearsal.github.gateway import Gateway, LoggedRequest, OpenConnections
from moonmind_appliance.rehearsal.github.git_http import GitHTTP
from moonmind_appliance.rehearsal.github.rest import API_PREFIX, rest_app
from moonmind_appliance.rehearsal.github.state import GitHubState, HostedRepository

DEFAULT_LOGIN = "rehearsal"
_START_SECONDS = 10.0


class PullRequestSummary(NamedTuple):
    """A pull request as the stand-in reports it."""

    number: int
    html_url: str
    title: str
    body: str
    draft: bool
    state: str
    head: str
    head_sha: str
    base: str
    user: str
    labels: tuple[str, ...]


class StandInGitHub:
    """A local GitHub: Git over HTTP and the REST API, on one address.

    `address` is host and port; port 0 selects a free one. All files are under `root`, which is not removed.
    Repositories and tokens can be added before the start, too. Several can run side by side. Safe to use from several
    threads.
    """

    def __init__(self, address: tuple[str, int], root: Path) -> None:
        self._address = address
        root.mkdir(parents=True, exist_ok=True)
        self._state = GitHubState(root.absolute())
        connections = OpenConnections()
        self._gateway = Gateway(self._state, GitHTTP(self._state), rest_app(self._state), connections)
        self._protocol = connections.protocol()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def server_url(self) -> str:
        """The value for GITHUB_SERVER_URL; known after the start."""
        return self._state.server_url

    @property
    def api_url(self) -> str:
        """The value for GITHUB_API_URL; known after the start."""
        return self._state.api_url

    @property
    def requests(self) -> list[LoggedRequest]:
        """Every request so far, oldest first; without headers, so without secrets."""
        return list(self._gateway.requests)

    def start(self) -> None:
        """Listen; returns when requests are answered. Idempotent.

        Raises:
            OSError: the server cannot listen on the address.
        """
        if self._thread is not None:
            return
        host, port = self._address
        listener = listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        self._state.server_url = f"http://{shown}:{listener.getsockname()[1]}"
        self._state.api_url = self._state.server_url + API_PREFIX
        self._server = _Server(
            uvicorn.Config(
                self._gateway,
                loop="asyncio",
                http=self._protocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=60,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="stand-in-github", daemon=True
        )
        self._thread.start()
        if not self._server.ready.wait(_START_SECONDS):
            self.stop()
            raise OSError("the stand-in GitHub did not start")

    def stop(self) -> None:
        """End all connections and release the address. Idempotent; repositories stay, and `start` works again."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def add_token(
        self,
        token: str,
        *,
        push: bool = True,
        scopes: Iterable[str] = ("repo", "workflow"),
        repositories: Iterable[str] | None = None,
        login: str = DEFAULT_LOGIN,
        permissions: Mapping[str, str] | None = None,
    ) -> None:
        """Add a token: whether it may write, its scopes, and the repositories visible to it (None: all).

        `permissions` are those of a fine-grained token, which has no scopes; None: a classic one.
        """
        self._state.add_token(
            token, push=push, scopes=scopes, repositories=repositories, login=login, permissions=permissions
        )

    def remove_token(self, token: str) -> None:
        """Revoke a token. Idempotent."""
        self._state.remove_token(token)

    def add_app(
        self,
        app_id: int,
        public_key: bytes,
        *,
        client_id: str = "Iv23liStandInGitHub",
        permissions: Mapping[str, str] | None = None,
    ) -> None:
        """Register a GitHub App, or replace its public key (PEM).

        `permissions` None: contents and pull requests to write, and metadata to read.
        """
        self._state.apps.register(app_id, public_key, client_id=client_id, permissions=permissions)

    def install_app(
        self,
        app_id: int,
        account: str,
        *,
        repositories: Iterable[str] | None = None,
        permissions: Mapping[str, str] | None = None,
        suspended: bool = False,
    ) -> int:
        """Install an App on an account, or change the installation; returns its id.

        Args:
            app_id: the App.
            account: the owner of the repositories.
            repositories: slugs; None: all of the account.
            permissions: what the account has accepted; None: all that the App asks for.
            suspended: whether the installation is suspended.
        """
        return self._state.apps.install(
            app_id, account, repositories=repositories, permissions=permissions, is_suspended=suspended
        )

    def uninstall_app(self, app_id: int, account: str) -> None:
        """Remove the App's installation on the account, and end its tokens. Idempotent."""
        self._state.apps.uninstall(app_id, account)

    @property
    def installation_tokens(self) -> list[IssuedToken]:
        """The installation tokens that were given out, oldest first; without their values."""
        return self._state.apps.issued()

    def installation_token_values(self) -> list[str]:
        """The values of these tokens, for tests that search for them."""
        return self._state.apps.values()

    def set_token_life(self, seconds: float, *, grace: float = 0.0, long_form: bool = True) -> None:
        """Set how long new installation tokens are valid, and their form.

        `grace`: how many seconds longer they work than their `expires_at` says. `long_form`: as on github.com since
        2026; False: as on GitHub Enterprise Server.
        """
        self._state.apps.grace_seconds = grace
        self._state.apps.token_seconds = seconds
        self._state.apps.long_tokens = long_form

    def pass_time(self, seconds: float) -> None:
        """Let that much time pass at once for JWTs and installation tokens."""
        self._state.apps.ahead += timedelta(seconds=seconds)

    def end_token_lives(self) -> None:
        """Let every installation token expire now, as if its hour had passed."""
        self._state.apps.end_tokens()

    def add_repository(
        self,
        slug: str,
        source: Path | None = None,
        *,
        private: bool = True,
        default_branch: str = "main",
        push: bool = True,
        draft_supported: bool = True,
        archived: bool = False,
        protected: Iterable[str] = (),
    ) -> None:
        """Host a repository.

        Args:
            slug: owner/name.
            source: a git repository, which is cloned with its branches and tags; or a folder, whose files become the
                first commit, always with the same commit id; or None for the small sample project.
            private: whether it is visible only to tokens with access.
            default_branch: its name; in a clone without it, it is created at the clone's current branch.
            push: False: no token may push.
            draft_supported: False: draft pull requests are refused, as on private repositories of a free account.
            archived: read-only.
            protected: branches that reject pushes.

        Raises:
            ValueError: the slug exists already or is not valid.
            GitFailed: the source cannot be read.
        """
        self._state.add_repository(
            slug,
            source,
            private=private,
            default_branch=default_branch,
            push=push,
            draft_supported=draft_supported,
            archived=archived,
            protected=protected,
        )

    def add_files(self, slug: str, folder: Path) -> None:
        """Commit a folder's files to the default branch, which must have a commit.

        Raises:
            GitFailed: the files cannot be read.
        """
        repository = self._repository(slug)
        repository.bare.add_files(folder, repository.default_branch)

    def rename_repository(self, old: str, new: str) -> None:
        """Rename it; requests for the old name are redirected."""
        self._state.rename_repository(old, new)

    def rename_branch(self, slug: str, old: str, new: str) -> None:
        """Rename a branch; REST requests for the old name are redirected."""
        repository = self._repository(slug)
        repository.bare.rename_branch(old, new)
        repository.renamed_branches[old] = new
        if repository.default_branch == old:
            repository.default_branch = new

    def git_folder(self, slug: str) -> Path:
        """The bare repository on disk."""
        return self._repository(slug).bare.path

    def clone_url(self, slug: str) -> str:
        """The URL for `git clone`."""
        return f"{self.server_url}/{slug}.git"

    def branches(self, slug: str) -> set[str]:
        """The names of its branches."""
        return set(self._repository(slug).bare.heads())

    def pull_requests(self, slug: str) -> list[PullRequestSummary]:
        """All pull requests of the repository, oldest first."""
        repository = self._repository(slug)
        return [
            PullRequestSummary(
                number=pull.number,
                html_url=f"{self.server_url}/{repository.slug}/pull/{pull.number}",
                title=pull.title,
                body=pull.body or "",
                draft=pull.draft,
                state=pull.state,
                head=pull.head,
                head_sha=pull.head_sha,
                base=pull.base,
                user=pull.user,
                labels=tuple(label.name for label in pull.labels),
            )
            for pull in repository.pulls
        ]

    def inject(self, fault: Fault | str, *, times: int | None = None, retry_after: int | None = None) -> None:
        """Inject a fault from now on: for that many requests, or until `clear`.

        Args:
            fault: which one.
            times: for how many requests; None: until `clear`.
            retry_after: seconds that this and later rate limits ask to wait; None: unchanged, at first 60.
        """
        if retry_after is not None:
            self._gateway.retry_after = retry_after
        self._state.faults.inject(Fault(fault), times)

    def clear(self, fault: Fault | str) -> None:
        """Clear the fault. Idempotent."""
        self._state.faults.clear(Fault(fault))

    def _repository(self, slug: str) -> HostedRepository:
        repository = self._state.by_slug(slug)
        if repository is None:
            raise KeyError(f"no repository {slug}")
        return repository


class _Server(uvicorn.Server):
    """uvicorn, which also signals when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
