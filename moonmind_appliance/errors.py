"""The error tree. A failed job is not an error but a result, see `models.Failure`.

ApplianceError
├── SettingsError            invalid settings; lists all problems
├── RequestError             the caller can fix it; the API maps each to one status
│   ├── InvalidRequest       400
│   ├── Unauthenticated      401
│   ├── Forbidden            403
│   ├── NotFound             404
│   ├── Conflict             409
│   ├── TooLarge             413
│   ├── TooMany              429, with a time to retry after
│   └── Unavailable          503, with a time to retry after
├── EngineError              Docker refused or failed
│   ├── EngineUnreachable
│   ├── ImageNotFound
│   ├── NameTaken            also for the shard's lock: says who has it
│   ├── ContainerNotFound
│   ├── ContainerLost        a container of a run ended during its work
│   ├── UnreadableFile       too large, or not a regular file
│   └── DiskFull
├── GitHubError              GitHub refused, or could not be reached
│   └── GitHubAppError       the GitHub App cannot get a token for the repository
├── LoginError               why the command line has no token from Keycloak
├── StoreError               the database or the data folder
│   ├── DatabaseUnusable     the whole database: locked, full, read-only, damaged
│   ├── FileUnusable         one file or folder of the data folder
│   ├── UnreadableRow        one stored row; other rows can be read
│   ├── DataFolderInUse
│   └── LeaseLost            the claim on the run is over: do not write to it
└── RunInterrupted           a cancel, a shutdown or a lost lease ends the running work
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class ApplianceError(Exception):
    """Base class. `message` says what was wrong and where; `hint` says what to do. Neither contains a secret."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class SettingProblem(NamedTuple):
    """One invalid setting. `where` says where its value comes from: "environment", or a file and its line."""

    name: str
    message: str
    hint: str
    where: str = ""

    @property
    def label(self) -> str:
        """The name, and where the value comes from."""
        return f"{self.name} ({self.where})" if self.where else self.name


class SettingsError(ApplianceError):
    """Invalid settings; lists all problems."""

    def __init__(self, problems: Sequence[SettingProblem]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {p.label}: {p.message} {p.hint}".rstrip() for p in self.problems)
        many = "1 setting" if len(self.problems) == 1 else f"{len(self.problems)} settings"
        super().__init__(f"{many} cannot be used:\n{lines}")


class FieldProblem(NamedTuple):
    """One invalid field of a request."""

    field: str
    message: str


class RequestError(ApplianceError):
    """A problem of the caller's request; `code` is stable, `status` is the HTTP status."""

    status = 400
    default_code = "invalid_request"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str | None = None,
        fields: Sequence[FieldProblem] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code or self.default_code
        self.fields = tuple(fields)


class InvalidRequest(RequestError):
    """An invalid payload, parameter or header."""


class Unauthenticated(RequestError):
    """No token, or an invalid one."""

    status = 401
    default_code = "unauthenticated"


class Forbidden(RequestError):
    """The caller is known but not allowed to do this."""

    status = 403
    default_code = "forbidden"


class NotFound(RequestError):
    """It does not exist, or the caller may not see it."""

    status = 404
    default_code = "not_found"


class Conflict(RequestError):
    """The resource's state does not allow it."""

    status = 409
    default_code = "conflict"


class TooLarge(RequestError):
    """More bytes than accepted."""

    status = 413
    default_code = "too_large"


class TooMany(RequestError):
    """More than a limit allows; `retry_after` is in seconds."""

    status = 429

    def __init__(self, message: str, *, code: str, retry_after: int, hint: str = "") -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after = retry_after


class Unavailable(RequestError):
    """Temporarily not possible; `retry_after` is in seconds."""

    status = 503
    default_code = "unavailable"

    def __init__(self, message: str, *, code: str, retry_after: int, hint: str = "") -> None:
        super().__init__(message, hint=hint, code=code)
        self.retry_after = retry_after


class EngineError(ApplianceError):
    """The container engine refused or failed."""


class EngineUnreachable(EngineError):
    """No engine answers at DOCKER_HOST."""


class ImageNotFound(EngineError):
    """The engine does not have the image."""


class NameTaken(EngineError):
    """A container of that name exists. `holder` contains its labels (empty: it was removed in the meantime)."""

    def __init__(self, name: str, holder: Mapping[str, str], *, running: bool) -> None:
        who = ", ".join(f"{key}={value}" for key, value in sorted(holder.items())) or "unknown"
        super().__init__(f"The container name {name} is already in use ({who}).")
        self.name = name
        self.holder = dict(holder)
        self.running = running


class ContainerNotFound(EngineError):
    """The container does not exist."""


class ContainerLost(EngineError):
    """A container of a run ended while a command ran in it: the engine restarted, or someone removed it."""


class UnreadableFile(EngineError):
    """A file in a container is too large, or not a regular file."""


class DiskFull(EngineError):
    """The engine's disk is full."""


class GitHubError(ApplianceError):
    """A request to GitHub failed.

    `status` is the HTTP status, None without a response. `errors` are GitHub's messages, `retry_at` the time it asks
    for. `sso_url` is the address that `X-GitHub-SSO: required` names ("" if it names none); None if the header does not
    require single sign-on. `permissions` are those that a fine-grained token needs, as GitHub lists them.
    `proxy`: a proxy refused the request or did not respond, so the request did not reach GitHub. `untrusted`: the
    server's certificate is not trusted. `server_time` is the time of GitHub's clock, if a response has it.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None,
        errors: Sequence[str] = (),
        retry_at: datetime | None = None,
        sso_url: str | None = None,
        permissions: str = "",
        proxy: bool = False,
        untrusted: bool = False,
        server_time: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.server_time = server_time
        self.proxy = proxy
        self.untrusted = untrusted
        self.status = status
        self.errors = tuple(errors)
        self.retry_at = retry_at
        self.sso_url = sso_url
        self.permissions = permissions


class AppProblem(StrEnum):
    """Why the GitHub App cannot get a token for a repository."""

    REJECTED = "rejected"
    CLOCK = "clock"
    NOT_INSTALLED = "not installed"
    SUSPENDED = "suspended"
    PERMISSION = "permission"
    ADDRESS = "address"


class GitHubAppError(GitHubError):
    """The GitHub App cannot get a token for the repository. `problem` says why; `status` is 401, whatever GitHub sent.

    Waiting does not resolve it.
    """

    def __init__(self, message: str, *, problem: AppProblem, errors: Sequence[str] = ()) -> None:
        super().__init__(message, status=401, errors=errors)
        self.problem = problem


class LoginError(ApplianceError):
    """The command line's login at Keycloak failed or is no longer valid; `code` is stable."""

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class StoreError(ApplianceError):
    """The database or the data folder cannot be used.

    `temporary`: it may work again without a change to the data, for example when the disk has space again.
    """

    def __init__(self, message: str, *, hint: str = "", temporary: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.temporary = temporary


class DatabaseUnusable(StoreError):
    """The database cannot be used now, whatever is read or written."""


class FileUnusable(StoreError):
    """A file of the data folder, or that of EXTRA_CA_CERTS, cannot be used; the database may be usable."""


class UnreadableRow(StoreError):
    """One stored row cannot be read; other rows can."""


class DataFolderInUse(StoreError):
    """Another process serves this data folder."""


class LeaseLost(StoreError):
    """The run no longer belongs to this claim."""


class InterruptReason(StrEnum):
    """Why the running work must end."""

    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease_lost"


class RunInterrupted(ApplianceError):
    """The running work was interrupted."""

    def __init__(self, reason: InterruptReason) -> None:
        super().__init__(f"The run was interrupted: {reason.value}.")
        self.reason = reason
