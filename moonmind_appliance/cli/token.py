"""`token`: the API's own tokens (AUTH_PROVIDER=local), and the saved Keycloak login's for curl."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
from rich.console import Group
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command, Lazy, LazyGroup
from moonmind_appliance.cli.exits import CommandFailed
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.terminal import ago, clean, table
from moonmind_appliance.oidc.token_file import TokenFile, default_token_path
from moonmind_appliance.settings import Settings
from moonmind_appliance.settings.values import time_span
from moonmind_appliance.store import LocalToken, Store

_HERE = "moonmind_appliance.cli.token"
_LONGEST = timedelta(days=3650)

COMMANDS = {
    "create": Lazy(f"{_HERE}:create", "Create a token; it is shown once."),
    "list": Lazy(f"{_HERE}:list_tokens", "List the tokens."),
    "revoke": Lazy(f"{_HERE}:revoke", "Revoke a token at once."),
    "show": Lazy(f"{_HERE}:show", "Print the Keycloak login's access token, for curl."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    examples=[
        ("A token for a build server, for three months", f"{PROGRAM} token create --name ci --expires 90d"),
        ("A Keycloak token for curl", f'curl -H "Authorization: Bearer $({PROGRAM} token show)" …'),
    ],
)
def token() -> None:
    """Create, list and revoke API tokens.

    With AUTH_PROVIDER=local (the default) callers authenticate with these tokens. Only their hashes are stored, so a
    lost token must be revoked and replaced. These commands work in the data folder: any user who can write to it is an
    operator.
    """


class Lifetime(click.ParamType[datetime]):
    """A duration such as 90d or 12h, or a date: converted to the token's expiry in UTC."""

    name = "lifetime"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Convert the option's text."""
        if isinstance(value, datetime):
            return value
        now = datetime.now(UTC)
        end = None
        if re.fullmatch(r"[0-9]+\s*[a-z]", value.strip().lower()):
            try:
                end = now + timedelta(seconds=time_span(value.strip()))
            except ValueError as error:
                self.fail(f"{value!r} {error}.", param, ctx)
        elif re.fullmatch(r"\d{4}-\d{2}-\d{2}", value.strip()):
            try:
                end = datetime.fromisoformat(value.strip()).replace(tzinfo=UTC)
            except ValueError:
                end = None
        if end is None:
            self.fail(
                f"{value!r} is neither a time span such as 90d, 12h, 30m, 8w nor a date such as 2027-01-31.", param, ctx
            )
        if end <= now:
            self.fail(f"{value!r} is in the past.", param, ctx)
        if end > now + _LONGEST:
            self.fail(
                f"{value!r} is more than ten years; omit the option for a token that does not expire.", param, ctx
            )
        return end


@contextmanager
def _store(settings: Settings) -> Iterator[Store]:
    store = Store.open(settings.moonmind_data_dir)
    try:
        yield store
    finally:
        store.close()


@click.command(
    cls=Command,
    name="create",
    examples=[
        ("For a person", f"{PROGRAM} token create --name ann"),
        (
            "For an operator's dashboard, for a year",
            f"{PROGRAM} token create --name board --role operator --expires 52w",
        ),
        ("Into a variable", f"MOONMIND_API_TOKEN=$({PROGRAM} token create --name ci --json | jq -r .token)"),
    ],
)
@click.option("--name", required=True, help="Owner of the token; runs are listed under this name.")
@click.option(
    "--role",
    type=click.Choice(["user", "operator"]),
    default="user",
    show_default=True,
    help="A user can access only their own runs; an operator can access all runs and the shards.",
)
@click.option(
    "--expires",
    type=Lifetime(),
    metavar="WHEN",
    help="When it expires: a time span (30m, 12h, 90d, 8w) or a date (2027-01-31).  [default: never]",
)
@click.option("--keep-runs", is_flag=True, help="Inherit the runs of the revoked token with this name.")
@click.pass_obj
def create(invocation: Invocation, name: str, role: str, expires: datetime | None, *, keep_runs: bool) -> None:
    """Create a token; it is shown once.

    A running `serve` accepts it immediately. With AUTH_PROVIDER=keycloak the API accepts only Keycloak's tokens, so
    none is created.
    """
    settings = invocation.settings()
    if settings.auth_provider != "local":
        raise CommandFailed(
            f"AUTH_PROVIDER is {settings.auth_provider}: the API would never accept a token that is created here.",
            hint=f"Use a Keycloak token: `{PROGRAM} login`, then `{PROGRAM} token show`. Or set AUTH_PROVIDER=local.",
        )
    with _store(settings) as store:
        made = store.tokens.create(name, operator=role == "operator", expires_at=expires, keep_runs=keep_runs)
    if invocation.as_json:
        invocation.print_result({"token": made, "name": name, "role": role, "expires_at": expires})
        return
    invocation.out.print(made, soft_wrap=True)
    end = f"until {expires:%Y-%m-%d %H:%M} UTC" if expires else "until it is revoked"
    invocation.print_message(
        f"The token of {name} ({role}), valid {end}. It is shown only once: only its hash is stored."
    )


@click.command(
    cls=Command,
    name="list",
    examples=[
        ("Active tokens", f"{PROGRAM} token list"),
        ("All tokens", f"{PROGRAM} token list --all"),
    ],
)
@click.option("--all", "everything", is_flag=True, help="Include revoked and expired tokens.")
@click.pass_obj
def list_tokens(invocation: Invocation, *, everything: bool) -> None:
    """List the tokens. Only their names and dates: the tokens themselves are not stored."""
    now = datetime.now(UTC)
    settings = invocation.settings()
    if settings.auth_provider != "local":
        invocation.print_message(f"AUTH_PROVIDER is {settings.auth_provider}: the API accepts none of these tokens.")
    with _store(settings) as store:
        rows = [row for row in store.tokens.list() if everything or _state(row, now) == "in use"]
    shown = table("NAME", "ROLE", "STATE", "MADE", "ENDS", "LAST USED")
    for row in rows:
        state = _state(row, now)
        shown.add_row(
            Text(clean(row.name), "bold"),
            "operator" if row.operator else "user",
            Text(state, "green" if state == "in use" else "dim"),
            ago(row.created_at, now),
            ago(row.expires_at, now) or "never",
            ago(row.last_used_at, now) or "never",
        )
    empty = Text("There are no active tokens. Create one with: moonmind-appliance token create --name NAME", "dim")
    invocation.print_result(
        [
            {
                "name": row.name,
                "role": "operator" if row.operator else "user",
                "state": _state(row, now),
                "created_at": row.created_at,
                "expires_at": row.expires_at,
                "revoked_at": row.revoked_at,
                "last_used_at": row.last_used_at,
            }
            for row in rows
        ],
        shown if rows else Group(empty),
    )


def _state(row: LocalToken, now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "over" if row.expires_at is not None and row.expires_at <= now else "in use"


@click.command(
    cls=Command,
    name="revoke",
    examples=[("With immediate effect", f"{PROGRAM} token revoke ci")],
)
@click.argument("name")
@click.pass_obj
def revoke(invocation: Invocation, name: str) -> None:
    """Revoke a token at once. Runs that were submitted with it continue."""
    with _store(invocation.settings()) as store:
        store.tokens.revoke(name)
    invocation.print_result({"name": name, "state": "revoked"}, Text(f"The token {name} is revoked."))


@click.command(
    cls=Command,
    name="show",
    examples=[
        (
            "List runs with curl",
            f'curl -H "Authorization: Bearer $({PROGRAM} token show)" http://HOST:5000/api/spec-automation/runs',
        ),
    ],
)
@click.pass_obj
def show(invocation: Invocation) -> None:
    """Print the Keycloak login's access token, for curl.

    Uses the login that `moonmind-appliance login` saved; a token that is about to expire is refreshed first. Tokens
    created with `token create` cannot be shown again.
    """
    # The libraries that renew a login, which the other commands here do not need.
    from moonmind_appliance.oidc.device_login import current_access_token  # noqa: PLC0415 - see above

    settings = invocation.settings(demanded=False)
    file = TokenFile(default_token_path(invocation.environment))
    access = current_access_token(file, ca_file=settings.extra_ca_certs)
    if not invocation.as_json:
        invocation.out.print(access, soft_wrap=True)
        return
    login = file.load()
    invocation.print_result(
        {
            "token": access,
            "username": login.username if login else None,
            "issuer": login.issuer if login else None,
            "expires_at": datetime.fromtimestamp(login.access_expires_at, UTC) if login else None,
        }
    )
