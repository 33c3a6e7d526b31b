"""How a command ends: the exit codes, and which error ends with which."""

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
    Exit.OK: "it worked",
    Exit.FAILED: "it did not; the line that begins with `error:` says why",
    Exit.USAGE: "the command line or the request cannot be used",
    Exit.SETTINGS: "the settings cannot be used",
    Exit.UNAVAILABLE: "somebody does not answer or is taken: API, Docker engine, Keycloak, GitHub, port, data folder",
    Exit.REFUSED: "no permission: token missing, wrong or not enough; files that are not yours",
    Exit.NOT_FOUND: "there is no such run, artifact or token",
    Exit.RUN_FAILED: "the run that was waited for ended failed or cancelled",
    Exit.INTERRUPTED: "stopped with Ctrl-C",
}

_BY_KIND: tuple[tuple[type[ApplianceError], Exit], ...] = (
    (SettingsError, Exit.SETTINGS),
    (InvalidRequest, Exit.USAGE),
    (TooLarge, Exit.USAGE),
    (Unauthenticated, Exit.REFUSED),
    (Forbidden, Exit.REFUSED),
    (NotFound, Exit.NOT_FOUND),
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
    """The exit code that tells of that error."""
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
