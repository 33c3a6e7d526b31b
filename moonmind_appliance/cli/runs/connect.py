"""Chooses the access to runs: over HTTP with a token, or on the data folder without one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from moonmind_appliance.api_address import local_url
from moonmind_appliance.cli.command import PROGRAM
from moonmind_appliance.cli.configuration import owns_data
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.runs.access import RunAccess
from moonmind_appliance.errors import Unauthenticated
from moonmind_appliance.oidc.token_file import TokenFile, default_token_path
from moonmind_appliance.settings import Settings
from moonmind_appliance.settings.values import http_url

SERVER_VARIABLE = "MOONMIND_SERVER"
TOKEN_VARIABLE = "MOONMIND_API_TOKEN"  # noqa: S105 - a variable's name


def access_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose the access."""
    function = click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="PATH",
        help=f"File that contains a token.  [default: ${TOKEN_VARIABLE}, else the saved login]",
    )(function)
    return click.option(
        "--server",
        metavar="URL",
        help=f"URL of the appliance.  [default: ${SERVER_VARIABLE}, else host and port of the settings]",
    )(function)


@contextmanager
def open_access(
    invocation: Invocation, server: str | None, token_file: Path | None, *, creates: bool = False
) -> Iterator[RunAccess]:
    """Open the access to runs that this caller has.

    Args:
        invocation: the command.
        server: `--server`.
        token_file: `--token-file`.
        creates: whether the command makes sense in a data folder that is still empty. If not, a wrong
            MOONMIND_DATA_DIR is an error, and no database is created there.

    Raises:
        Unauthenticated: the caller has neither a token nor the data folder.
        SettingsError: the settings are not valid.
        CommandFailed: the data folder has no database, and `creates` is False.
    """
    settings = invocation.settings(demanded=False)
    access = _choose(invocation, settings, server, token_file, creates=creates)
    try:
        yield access
    finally:
        access.close()


def _choose(
    invocation: Invocation, settings: Settings, server: str | None, token_file: Path | None, *, creates: bool
) -> RunAccess:
    named = server or invocation.environment.get(SERVER_VARIABLE)
    address = server_address(named) if named else local_url(settings)
    token = _given_token(invocation, token_file)
    login = TokenFile(default_token_path(invocation.environment))
    if token is None and login.path.exists():
        # Called before each request: a long watch outlives a token.
        token = partial(_access_token, login, settings)
        invocation.print_detail(f"token of the login in {login.path}")
    if token is not None:
        # A command on the data folder need not load the HTTP client.
        from moonmind_appliance.cli.runs.remote import Remote  # noqa: PLC0415 - see above

        invocation.print_detail(f"over HTTP, to {address}")
        return Remote(address, token, ca_file=settings.extra_ca_certs)
    if not named and owns_data(settings.moonmind_data_dir):
        # A caller over HTTP need not load the store.
        from moonmind_appliance.cli.runs.direct import Direct  # noqa: PLC0415 - see above

        if not creates:
            require_database(settings.moonmind_data_dir)
        invocation.print_detail(f"directly in the data folder {settings.moonmind_data_dir}, as operator")
        return Direct(settings, on_message=invocation.print_message)
    if not named and _is_missing(settings.moonmind_data_dir):
        raise Unauthenticated(
            f"The data folder {settings.moonmind_data_dir} does not exist, and there is no token for {address}.",
            hint=f"On the appliance's own machine, start `{PROGRAM} serve`, which makes the folder, or give the "
            f"appliance's settings with --env-file; elsewhere set {TOKEN_VARIABLE}, use --token-file, or run "
            f"`{PROGRAM} login`.",
        )
    raise Unauthenticated(
        f"There is no token for {address}.",
        hint=f"Set {TOKEN_VARIABLE}, use --token-file, or run `{PROGRAM} login`; "
        "on the appliance's own machine, run as the user that owns its data folder.",
    )


def require_database(data_dir: Path) -> None:
    """Refuse a data folder without a database: its path is probably wrong, and no database must be created there.

    Raises:
        CommandFailed: it has none.
        StoreError: it was lost.
    """
    from moonmind_appliance.store import Store  # noqa: PLC0415 - a caller over HTTP need not load the store

    if not Store.exists(data_dir):
        raise CommandFailed(
            f"The data folder {data_dir} has no database: no appliance has run there.",
            hint="Set MOONMIND_DATA_DIR, or --env-file, to that of the appliance.",
        )


def _access_token(login: TokenFile, settings: Settings) -> str:
    from moonmind_appliance.oidc.device_login import current_access_token  # noqa: PLC0415 - only for a saved login

    return current_access_token(login, ca_file=settings.extra_ca_certs)


def _is_missing(folder: Path) -> bool:
    """False also if this user may not know it."""
    try:
        folder.stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def _given_token(invocation: Invocation, token_file: Path | None) -> Callable[[], str] | None:
    """The token of --token-file or of the environment."""
    if token_file is not None:
        try:
            text = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandFailed(
                f"The token file {token_file} cannot be read ({getattr(error, 'strerror', None) or 'no text'}).",
                hint="Use a file that contains only the token.",
                code=Exit.REFUSED,
            ) from None
        where = f"token of {token_file}"
    else:
        text = invocation.environment.get(TOKEN_VARIABLE, "").strip()
        where = f"token of {TOKEN_VARIABLE}"
        if not text:
            return None
    if not text or not all("!" <= character <= "~" for character in text):
        raise CommandFailed(
            f"The {where} is not valid: it is empty, or contains characters that tokens do not have.",
            hint="Use only the token, on one line.",
            code=Exit.REFUSED,
        )
    invocation.print_detail(where)
    return lambda: text


def server_address(given: str) -> str:
    """The appliance's address without a trailing slash and without the API's path."""
    try:
        url = http_url(given if "://" in given else f"http://{given}")
    except ValueError as error:
        raise CommandFailed(
            f"The appliance URL {given!r} {error}.", hint="Use http(s)://HOST[:PORT].", code=Exit.USAGE
        ) from None
    return url.removesuffix("/api/spec-automation")
