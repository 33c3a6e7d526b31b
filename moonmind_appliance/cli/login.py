"""`login` and `logout`: Keycloak's device grant for callers on another machine."""

import time
from datetime import UTC, datetime, timedelta

import click
from rich.text import Text

from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.prompt_panel import Prompt, PromptPanel
from moonmind_appliance.oidc.device_login import DeviceLogin
from moonmind_appliance.oidc.token_file import SavedLogin, TokenFile, default_token_path
from moonmind_appliance.settings import Settings


@click.command(
    cls=Command,
    examples=[
        ("In the configured realm", f"{PROGRAM} login"),
        ("From a laptop", f"{PROGRAM} login --issuer https://sso.example.com/realms/moonmind"),
        ("Then", f"{PROGRAM} runs list --server https://moonmind.example.com"),
    ],
)
@click.option(
    "--issuer",
    metavar="URL",
    help="URL of the Keycloak realm.  [default: $OIDC_ISSUER_URL, else the realm of the previous login]",
)
@click.option(
    "--client-id", metavar="ID", help="The realm's public client.  [default: $OIDC_CLI_CLIENT_ID, moonmind-cli]"
)
@click.pass_obj
def login(invocation: Invocation, issuer: str | None, client_id: str | None) -> None:
    """Log in to Keycloak, to use `runs` from this machine.

    Shows a URL and a code to confirm in any browser, and saves the login in a file that only you can read. It is
    refreshed automatically. `token show` prints its access token for curl; `logout` removes it.
    """
    settings = invocation.settings(demanded=False)
    file = TokenFile(default_token_path(invocation.environment))
    realm = _realm(settings, issuer, file)
    with DeviceLogin(
        issuer=realm, client_id=client_id or settings.oidc_cli_client_id, ca_file=settings.extra_ca_certs
    ) as device:
        code = device.start()
        prompt = Prompt(
            title=f"Log in at {realm}",
            address=code.verification_uri,
            complete=code.verification_uri_complete or code.verification_uri,
            code=code.user_code,
            ends=time.monotonic() + code.expires_in,
        )
        if invocation.as_json:
            ends = datetime.now(UTC) + timedelta(seconds=code.expires_in)
            invocation.json_line({"event": "prompt", "address": prompt.complete, "code": code.user_code, "until": ends})
        with PromptPanel(invocation.err, prompt):
            saved = device.wait(code)
    file.save(saved)
    _print_signed_in(invocation, saved, file)


@click.command(cls=Command, examples=[("On a shared machine", f"{PROGRAM} logout")])
@click.pass_obj
def logout(invocation: Invocation) -> None:
    """Remove the saved Keycloak login.

    An access token that was already issued stays valid until it expires, usually within minutes.
    """
    file = TokenFile(default_token_path(invocation.environment))
    removed = file.forget()
    message = f"The login in {file.path} is removed." if removed else "There was no saved login."
    invocation.print_result({"removed": removed, "file": str(file.path)}, Text(message))


def _realm(settings: Settings, issuer: str | None, file: TokenFile) -> str:
    if found := issuer or settings.oidc_issuer_url:
        return found.rstrip("/")
    before = file.load()
    if before is not None:
        return before.issuer
    raise CommandFailed(
        "The Keycloak realm is not configured.",
        hint="Use --issuer https://HOST/realms/NAME, or set OIDC_ISSUER_URL.",
        code=Exit.USAGE,
    )


def _print_signed_in(invocation: Invocation, saved: SavedLogin, file: TokenFile) -> None:
    event = {"username": saved.username, "issuer": saved.issuer, "file": str(file.path)}
    if invocation.as_json:
        invocation.json_line({"event": "logged_in", **event})
    else:
        invocation.print_part(Text(f"Logged in as {saved.username or 'an unnamed user'}; saved in {file.path}."))
