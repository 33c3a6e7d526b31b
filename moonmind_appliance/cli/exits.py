"""The exit codes, and which error has which."""

import errno
from enum import IntEnum

from moonmind_appliance.errors import (
    ApplianceError,
    DataFolderInUse,
    EngineUnreachable,
    Forbidden,
    GitHubError,
    InvalidRequest,
    LoginError,
    NotFound,
    SettingsError,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    SETTINGS = 3
    UNAVAILABLE = 4
    REFUSED = 5
    NOT_FOUND = 6
    RUN_FAILED = 7
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "success",
    Exit.FAILED: "failure; the line that starts with `error:` gives the reason",
    Exit.USAGE: "the command line or the request is not valid",
    Exit.SETTINGS: "the settings are not valid",
    Exit.UNAVAILABLE: (
        "a dependency is unavailable or already in use: API, Docker engine, Keycloak, GitHub, port, data folder"
    ),
    Exit.REFUSED: "permission denied: token missing, not valid or without the required role; files of another user",
    Exit.NOT_FOUND: "the run, artifact or token does not exist",
    Exit.RUN_FAILED: "the awaited run failed or was cancelled",
    Exit.INTERRUPTED: "stopped with Ctrl-C, SIGTERM or SIGHUP",
}

_BY_KIND: tuple[tuple[type[ApplianceError], Exit], ...] = (
    (SettingsError, Exit.SETTINGS),
    (InvalidRequest, Exit.USAGE),
    (TooLarge, Exit.USAGE),
    (Unauthenticated, Exit.REFUSED),
    (Forbidden, Exit.REFUSED),
    (NotFound, Exit.NOT_FOUND),
    (TooMany, Exit.UNAVAILABLE),
    (Unavailable, Exit.UNAVAILABLE),
    (EngineUnreachable, Exit.UNAVAILABLE),
    (DataFolderInUse, Exit.UNAVAILABLE),
)


class CommandFailed(ApplianceError):
    """A command cannot do what it was asked to; `code` is its exit code."""

    def __init__(self, message: str, *, hint: str = "", code: Exit = Exit.FAILED) -> None:
        super().__init__(message, hint=hint)
        self.code = code


def exit_of(error: ApplianceError) -> Exit:
    """The exit code of that error."""
    if isinstance(error, CommandFailed):
        return error.code
    if isinstance(error, LoginError):
        return Exit.UNAVAILABLE if error.code == "identity_provider_unreachable" else Exit.REFUSED
    if isinstance(error, GitHubError):
        refusals = {401: Exit.REFUSED, 403: Exit.REFUSED, 404: Exit.NOT_FOUND, None: Exit.UNAVAILABLE}
        return refusals.get(error.status, Exit.FAILED)
    if isinstance(error.__cause__, PermissionError):
        return Exit.REFUSED
    return next((code for kind, code in _BY_KIND if isinstance(error, kind)), Exit.FAILED)


def exit_of_address(number: int | None) -> Exit:
    """The exit code if the API cannot listen on its address; `number` is the operating system's error number."""
    return {errno.EADDRINUSE: Exit.UNAVAILABLE, errno.EACCES: Exit.REFUSED}.get(number or 0, Exit.SETTINGS)
