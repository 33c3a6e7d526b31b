"""`serve`: runs the API and the workers in one process, until a signal stops it."""

import contextlib
import faulthandler
import logging
import signal

import click

from moonmind_appliance.api.paths import SCHEMA_PATH
from moonmind_appliance.api_address import BASE_PATH, AddressUnavailable, open_socket, public_url, sent_in_clear
from moonmind_appliance.appliance import Appliance
from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import CommandFailed, Exit, exit_of_address
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.logs import RedactingFormatter, start_log
from moonmind_appliance.freed_memory import share_arenas
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.serving import Supervision
from moonmind_appliance.serving import serve as serve_http
from moonmind_appliance.settings import Settings, secrets_of
from moonmind_appliance.shards.health import LOGIN_WORDS
from moonmind_appliance.store import Store
from moonmind_appliance.version import appliance_version

_log = logging.getLogger(__name__)


@click.command(
    cls=Command,
    json=False,
    # Changes that `serve` makes are automatic: they have no author.
    interface=None,
    examples=[
        ("With the settings in /etc/moonmind-appliance/appliance.env", f"{PROGRAM} serve"),
        (
            "With other settings, and a JSON log for a collector",
            f"MOONMIND_LOG_FORMAT=json {PROGRAM} serve --env-file my.env",
        ),
        ("A second appliance on the same machine", f"MOONMIND_DATA_DIR=/srv/second MOONMIND_PORT=5001 {PROGRAM} serve"),
    ],
)
@click.pass_obj
def serve(invocation: Invocation) -> Exit:
    """Run the appliance: API and workers, until it is stopped.

    The log goes to stderr, as text or JSON (MOONMIND_LOG_FORMAT), without secrets. On SIGTERM or Ctrl-C no run starts,
    and the running phases have STOP_GRACE to end; their runs resume after the next start. A second signal interrupts
    them at once. The exit code is then 0. Only one process can use a data folder.
    """
    share_arenas()
    configuration = invocation.configuration()
    settings = configuration.settings
    formatter = start_log(settings.moonmind_log_format, Redactor(secrets_of(settings)), debug=invocation.debug)
    # When systemd's watchdog aborts the process, stderr gets the position of each thread. There may be no stderr. The
    # dump takes no lock, so that a thread that still runs can make it crash: then it is incomplete.
    with contextlib.suppress(RuntimeError, OSError):
        faulthandler.enable()
    try:
        return _serve(settings, formatter)
    except KeyboardInterrupt:
        _log.info("Stopped before the start was complete.")
        return Exit.OK


def _serve(settings: Settings, formatter: RedactingFormatter) -> Exit:
    supervision = Supervision()
    supervision.starting()
    appliance = Appliance(settings)
    # From here on logins are read and refreshed: redact their tokens, too.
    formatter.redactor = appliance.resources.redactor
    try:
        listening = open_socket(settings.moonmind_host, settings.moonmind_port)
    except AddressUnavailable as error:
        appliance.stop()
        raise CommandFailed(error.message, hint=error.hint, code=exit_of_address(error.errno)) from error
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # An exception in a server that runs would leave its threads: end the process.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with listening:
        _log.info("%s", banner(settings, appliance.resources.store))
        warn(settings)
        started = serve_http(appliance, listening, supervision)
    if (failure := appliance.start_failure) is not None:
        raise CommandFailed(failure.message, hint=failure.hint)
    if not started:
        raise CommandFailed("The appliance did not start.", hint="The log above says why.")
    return Exit.OK


def banner(settings: Settings, store: Store) -> str:
    """The first line: the API's address, the data folder, the shards that are signed in, the address of the docs."""
    url = public_url(settings)
    shards = "; ".join(
        f"shard {shard.shard}: {LOGIN_WORDS[shard.login]}" for shard in store.shards.all(settings.codex_shards)
    )
    return (
        f"MoonMind appliance {appliance_version()} on {url}{BASE_PATH}; "
        f"data in {settings.moonmind_data_dir}; {shards}; API docs on {url}{SCHEMA_PATH}"
    )


def warn(settings: Settings) -> None:
    """Warn of what will make runs fail, and of what is unsafe."""
    if settings.github_token is None and settings.github_app_id is None:
        _log.warning(
            "Neither GITHUB_TOKEN nor GITHUB_APP_ID is set: every run will fail in prepare_job. Set one and restart."
        )
    if (host := sent_in_clear(settings)) is not None:
        _log.warning(
            "The API is reached at %s without TLS, so tokens are sent unencrypted. "
            "Put a TLS proxy in front of it, and set MOONMIND_PUBLIC_URL to the proxy's https:// address.",
            host,
        )
    if settings.webhook_url is not None and settings.webhook_url.sent_in_clear:
        _log.warning("WEBHOOK_URL uses http: the webhook's messages are signed, but sent unencrypted.")
    if settings.spec_workflow_test_mode:
        _log.warning("SPEC_WORKFLOW_TEST_MODE is on: runs push nothing.")
