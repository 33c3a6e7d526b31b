"""The error tree: "we failed". "The job failed" is a result, see `models.Failure`.

ApplianceError
├── SettingsError            settings that cannot work; all problems at once
├── RequestError             the caller can mend it; the API maps each to one status
│   ├── InvalidRequest       400
│   ├── Unauthenticated      401
│   ├── Forbidden            403
│   ├── NotFound             404
│   ├── Conflict             409
│   ├── TooLarge             413
│   └── Unavailable          503, with a time to come back
├── EngineError              Docker said no
│   ├── EngineUnreachable
│   ├── ImageNotFound
│   ├── NameTaken            also the shard's lock: says who holds it
│   ├── ContainerNotFound
│   ├── UnreadableFile       too large, or no regular file
│   └── DiskFull
├── GitHubError              GitHub said no, or could not be reached
├── LoginError               the command line has no token from Keycloak, and why
├── StoreError               the database or the data folder
│   ├── DataFolderInUse
│   └── LeaseLost            somebody else owns the run now: stop touching it
└── RunInterrupted           a cancel, a shutdown or a lost lease ends the work in hand
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class ApplianceError(Exception):
    """Base of all. `message` says what was wrong and where; `hint` says what to do. Neither holds a secret."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class SettingProblem(NamedTuple):
    """One setting that cannot work."""

    name: str
    message: str
    hint: str


class SettingsError(ApplianceError):
    """All problems of the settings, found in one pass."""

    def __init__(self, problems: Sequence[SettingProblem]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {p.name}: {p.message} {p.hint}".rstrip() for p in self.problems)
        super().__init__(f"{len(self.problems)} setting(s) cannot be used:\n{lines}")


class FieldProblem(NamedTuple):
    """One field of a request that cannot be used."""

    field: str
    message: str


class RequestError(ApplianceError):
    """Something the caller sent or asked; `code` is stable, `status` is HTTP's."""

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
    """A payload, parameter or header that cannot be used."""


class Unauthenticated(RequestError):
    """No token, or one that is not valid."""

    status = 401
    default_code = "unauthenticated"


class Forbidden(RequestError):
    """Known caller, not allowed."""

    status = 403
    default_code = "forbidden"


class NotFound(RequestError):
    """Not there, or not this caller's to see."""

    status = 404
    default_code = "not_found"


class Conflict(RequestError):
    """The thing's state does not allow it."""

    status = 409
    default_code = "conflict"


class TooLarge(RequestError):
    """More bytes than are taken."""

    status = 413
    default_code = "too_large"


class Unavailable(RequestError):
    """Not now; `retry_after` is in seconds."""

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
    """A container of that name exists. `holder` are its labels (empty: it went away in the same moment)."""

    def __init__(self, name: str, holder: Mapping[str, str], *, running: bool) -> None:
        who = ", ".join(f"{key}={value}" for key, value in sorted(holder.items())) or "unknown"
        super().__init__(f"The container name {name} is already in use ({who}).")
        self.name = name
        self.holder = dict(holder)
        self.running = running


class ContainerNotFound(EngineError):
    """The container is gone."""


class UnreadableFile(EngineError):
    """A file in a container is too large, or no regular file."""


class DiskFull(EngineError):
    """The engine has no room left."""


class GitHubError(ApplianceError):
    """GitHub's answer was not the wished one.

    `status` is HTTP's, None when nothing answered. `errors` are GitHub's own words, `retry_at` its wish.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None,
        errors: Sequence[str] = (),
        retry_at: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = tuple(errors)
        self.retry_at = retry_at


class LoginError(ApplianceError):
    """The command line's login at Keycloak did not come about or does not hold; `code` is stable."""

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class StoreError(ApplianceError):
    """The database or the data folder cannot be used."""


class DataFolderInUse(StoreError):
    """Another process serves this data folder."""


class LeaseLost(StoreError):
    """The run is not this claim's any more."""


class InterruptReason(StrEnum):
    """Why the work in hand must end."""

    CANCELLED = "cancelled"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease_lost"


class RunInterrupted(ApplianceError):
    """The work in hand was told to end."""

    def __init__(self, reason: InterruptReason) -> None:
        super().__init__(f"The run was interrupted: {reason.value}.")
        self.reason = reason
