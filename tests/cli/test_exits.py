"""Which error has which exit code."""

import pytest

from moonmind_appliance.cli.exits import Exit, exit_of
from moonmind_appliance.errors import (
    ApplianceError,
    Conflict,
    DataFolderInUse,
    EngineUnreachable,
    Forbidden,
    GitHubError,
    InvalidRequest,
    LoginError,
    NotFound,
    SettingsError,
    StoreError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError([]), Exit.SETTINGS),
        (InvalidRequest("no"), Exit.USAGE),
        (TooLarge("no"), Exit.USAGE),
        (Unauthenticated("no"), Exit.REFUSED),
        (Forbidden("no"), Exit.REFUSED),
        (NotFound("no"), Exit.NOT_FOUND),
        (Conflict("no"), Exit.FAILED),
        (Unavailable("no", code="draining", retry_after=1), Exit.UNAVAILABLE),
        (EngineUnreachable("no"), Exit.UNAVAILABLE),
        (DataFolderInUse("no"), Exit.UNAVAILABLE),
        (StoreError("no"), Exit.FAILED),
        (LoginError("no", code="not_logged_in"), Exit.REFUSED),
        (LoginError("no", code="identity_provider_unreachable"), Exit.UNAVAILABLE),
        (GitHubError("no", status=None), Exit.UNAVAILABLE),
        (GitHubError("no", status=401), Exit.REFUSED),
        (GitHubError("no", status=500), Exit.FAILED),
    ],
)
def test_each_kind_of_error_has_its_code(error: ApplianceError, code: Exit) -> None:
    """The table of errors and exit codes."""
    assert exit_of(error) == code


def test_a_file_of_another_user_is_a_refusal() -> None:
    """A permission error has the code of a refusal, for any kind of error."""
    error = StoreError("no")
    error.__cause__ = PermissionError()
    assert exit_of(error) == Exit.REFUSED
