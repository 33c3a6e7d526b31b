"""`token`: the API's own tokens (AUTH_PROVIDER=local), and the saved Keycloak login's for curl."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
from rich.console import Group
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command, Lazy, LazyGroup
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.terminal import ago, clean, table
from moonmind_appliance.oidc import TokenFile, current_access_token, default_token_path
from moonmind_appliance.store import LocalToken, Store

_HERE = "moonmind_appliance.cli.token"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=3650)

COMMANDS = {
    "create": Lazy(f"{_HERE}:create", "Make a token; it is shown once."),
    "list": Lazy(f"{_HERE}:list_tokens", "List the tokens that were made."),
    "revoke": Lazy(f"{_HERE}:revoke", "End a token at once."),
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
    """Make, list and revoke the API's own tokens.

    With AUTH_PROVIDER=local (the default) these tokens are what callers send. Only their hashes are kept, so a token
    that was lost is revoked and made anew. These commands work on the data folder: who may write there is the operator.
    """


class Lifetime(click.ParamType[datetime]):
    """A span such as 90d or 12h, or a date: the moment at which the token ends, in UTC."""

    name = "lifetime"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it."""
        if isinstance(value, datetime):
            return value
        now = datetime.now(UTC)
        end = None
        if match := re.fullmatch(r"(\d{1,5})([mhdw])", value.strip().lower()):
            end = now + timedelta(**{_UNITS[match[2]]: int(match[1])})
        elif re.fullmatch(r"\d{4}-\d{2}-\d{2}", value.strip()):
            try:
                end = datetime.fromisoformat(value.strip()).replace(tzinfo=UTC)
            except ValueError:
                end = None
        if end is None:
            self.fail(
                f"{value!r} is neither a span such as 90d, 12h, 30m, 8w nor a date such as 2027-01-31.", param, ctx
            )
        if end <= now:
            self.fail(f"{value!r} is over already.", param, ctx)
        if end > now + _LONGEST:
            self.fail(f"{value!r} is more than ten years; leave the option out for a token without an end.", param, ctx)
        return end


@contextmanager
def _store(invocation: Invocation) -> Iterator[Store]:
    store = Store.open(invocation.settings().moonmind_data_dir)
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
@click.option("--name", required=True, help="Whose token it is; runs are listed under this name.")
@click.option(
    "--role",
    type=click.Choice(["user", "operator"]),
    default="user",
    show_default=True,
    help="A user sees and steers the own runs, an operator all of them, and the shards.",
)
@click.option(
    "--expires",
    type=Lifetime(),
    metavar="WHEN",
    help="When it ends: a span (30m, 12h, 90d, 8w) or a date (2027-01-31).  [default: never]",
)
@click.option("--keep-runs", is_flag=True, help="See the runs of the revoked token of this name.")
@click.pass_obj
def create(invocation: Invocation, name: str, role: str, expires: datetime | None, *, keep_runs: bool) -> None:
    """Make a token; it is shown once.

    A running `serve` takes it at once.
    """
    with _store(invocation) as store:
        made = store.tokens.create(name, operator=role == "operator", expires_at=expires, keep_runs=keep_runs)
    if invocation.as_json:
        invocation.answer({"token": made, "name": name, "role": role, "expires_at": expires})
        return
    invocation.out.print(made, soft_wrap=True)
    end = f"until {expires:%Y-%m-%d %H:%M} UTC" if expires else "until it is revoked"
    invocation.note(f"The token of {name} ({role}), good {end}. It is shown this once: only its hash is kept.")


@click.command(
    cls=Command,
    name="list",
    examples=[
        ("Those in use", f"{PROGRAM} token list"),
        ("All that ever were", f"{PROGRAM} token list --all"),
    ],
)
@click.option("--all", "everything", is_flag=True, help="Also those that are revoked or over.")
@click.pass_obj
def list_tokens(invocation: Invocation, *, everything: bool) -> None:
    """List the tokens that were made. The tokens themselves are kept nowhere."""
    now = datetime.now(UTC)
    with _store(invocation) as store:
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
    empty = Text("No token is in use. Make one: moonmind-appliance token create --name NAME", "dim")
    invocation.answer(
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
    examples=[("From the next request on", f"{PROGRAM} token revoke ci")],
)
@click.argument("name")
@click.pass_obj
def revoke(invocation: Invocation, name: str) -> None:
    """End a token at once. Runs that were submitted with it go on."""
    with _store(invocation) as store:
        store.tokens.revoke(name)
    invocation.answer({"name": name, "state": "revoked"}, Text(f"The token {name} is revoked."))


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

    The login is the one of `moonmind-appliance login`; a token that is about to end is refreshed first. Tokens that
    `token create` made cannot be shown again.
    """
    settings = invocation.settings(demanded=False)
    file = TokenFile(default_token_path(invocation.environment))
    access = current_access_token(file, ca_file=settings.extra_ca_certs)
    if not invocation.as_json:
        invocation.out.print(access, soft_wrap=True)
        return
    login = file.load()
    invocation.answer(
        {
            "token": access,
            "username": login.username if login else None,
            "issuer": login.issuer if login else None,
            "expires_at": datetime.fromtimestamp(login.access_expires_at, UTC) if login else None,
        }
    )
