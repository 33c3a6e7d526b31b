"""`login-shard` and `logout-shard`: a shard's sign-in, and instructions for the operator until it is complete."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import click
from rich.text import Text

from moonmind_appliance.agents.adapter import LoginMethod
from moonmind_appliance.attach import attach
from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.prompt_panel import Prompt, PromptPanel
from moonmind_appliance.cli.signals import STOPPING
from moonmind_appliance.cli.terminal import clean
from moonmind_appliance.models import Shard
from moonmind_appliance.resources import Resources
from moonmind_appliance.runs.sign_in import (
    SignedIn,
    SignIn,
    SignInFailed,
    SignInPrompt,
    SignInStep,
    SignInWaiting,
    sign_out,
)
from moonmind_appliance.shards.login import LoginFailed
from moonmind_appliance.shards.logout import LogoutRefused

_LONGEST_KEY = 1000


@click.command(
    cls=Command,
    examples=[
        ("The first account", f"{PROGRAM} login-shard 0"),
        ("Another account, while runs continue on other shards", f"{PROGRAM} login-shard 2"),
        ("With a browser on this machine", f"{PROGRAM} login-shard 0 --browser"),
        (
            "With an OpenAI API key from a password store",
            f"pass openai | {PROGRAM} login-shard 0 --api-key",
        ),
    ],
)
@click.argument("shard", type=click.IntRange(0), metavar="N")
@click.option(
    "--browser", is_flag=True, help="Sign in with a browser on this machine; it is redirected to local port 1455."
)
@click.option(
    "--from-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Import an existing auth.json. Do not use any other copy of it afterwards.",
)
@click.option("--api-key", is_flag=True, help="Read an API key from stdin; its runs are billed by usage.")
@click.pass_obj
def login_shard(
    invocation: Invocation,
    shard: int,
    from_file: Path | None,
    *,
    browser: bool,
    api_key: bool,
) -> None:
    """Sign a shard in to ChatGPT by device code.

    Open the URL in any browser, log in with the account that the shard will use, and enter the code; "device code
    login" must be enabled in that account's security settings. The new login replaces the old one only after it has
    succeeded: Ctrl-C, a refusal or an expired code leave the old one unchanged. While a run uses the shard, the new
    login waits for the run to end. Runs that waited for a login then start automatically.
    """
    if browser + api_key + (from_file is not None) > 1:
        raise click.UsageError("Use only one of --browser, --from-file and --api-key.", click.get_current_context())
    content = _content(from_file) if from_file else b""
    key = _key(invocation) if api_key else None
    method = LoginMethod.BROWSER if browser else LoginMethod.API_KEY if api_key else LoginMethod.DEVICE
    with shard_resources(invocation, shard) as resources:
        sign_in = (
            SignIn.from_file(resources, shard, content)
            if from_file
            else SignIn(resources, shard, method=method, api_key=key)
        )
        signed_in = _Show(invocation, shard).to_the_end(sign_in)
    if from_file:
        invocation.print_message(
            f"Do not use {from_file} again, here or where it came from: when one copy renews its tokens, the other "
            "copy stops working."
        )
    _print_signed_in(invocation, signed_in)


@click.command(
    cls=Command,
    examples=[
        ("Before an account is handed over", f"{PROGRAM} logout-shard 2"),
    ],
)
@click.argument("shard", type=click.IntRange(0), metavar="N")
@click.pass_obj
def logout_shard(invocation: Invocation, shard: int) -> None:
    """Sign a shard out: the login is revoked and removed.

    Fails while a run uses the shard. Runs that need this shard wait for the next `login-shard`. The login is removed
    locally even if OpenAI cannot be reached to revoke it. Safe to repeat.
    """
    with shard_resources(invocation, shard) as resources:
        try:
            state, was = sign_out(resources, shard)
        except LogoutRefused as error:
            raise CommandFailed(error.message, hint=error.hint, code=Exit.UNAVAILABLE) from None
    message = f"Shard {shard} is signed out." if was else f"Shard {shard} had no login."
    invocation.print_result({"was_signed_in": was, "shard": state}, Text(message))


@contextmanager
def shard_resources(invocation: Invocation, shard: int) -> Iterator[Resources]:
    """The verbs' resources, after a check that the shard exists."""
    settings = invocation.settings()
    if shard >= settings.codex_shards:
        hint = f"Use 0 to {settings.codex_shards - 1}, or raise CODEX_SHARDS."
        raise CommandFailed(f"Shard {shard} does not exist.", hint=hint, code=Exit.USAGE)
    with attach(settings) as resources:
        yield resources


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandFailed(
            f"{path} cannot be read ({error.strerror}).", hint="Run as its owner.", code=Exit.REFUSED
        ) from None


def _key(invocation: Invocation) -> str:
    """The key from stdin; on a terminal a prompt asks for it without echo."""
    if sys.stdin.isatty():
        given = click.prompt("OpenAI API key", hide_input=True, err=True, type=str)
    else:
        invocation.print_detail("API key from stdin")
        given = sys.stdin.read(_LONGEST_KEY)
    key = str(given).strip()
    if not key or not all("!" <= character <= "~" for character in key):
        raise CommandFailed("There is no API key on stdin.", hint="Pass only the key, on one line.", code=Exit.USAGE)
    return key


@contextmanager
def _stopped_by_signals(sign_in: SignIn) -> Iterator[threading.Event]:
    """The first Ctrl-C, SIGTERM or SIGHUP stops the sign-in in order and sets the event; a second one ends the command.

    A handler, not `except KeyboardInterrupt`: Python could raise that anywhere, also outside of the `try`.
    """
    stopped = threading.Event()
    before = {sig: signal.getsignal(sig) for sig in (signal.SIGINT, *STOPPING)}
    # A shell starts background commands with SIGINT ignored: keep it ignored.
    caught = {sig: handler for sig, handler in before.items() if handler is not signal.SIG_IGN}

    def restore() -> None:
        for sig, handler in caught.items():
            signal.signal(sig, handler)

    def cancel() -> None:
        stopped.set()
        sign_in.cancel()

    def stop(_sig: int, _frame: FrameType | None) -> None:
        restore()
        # In a thread: the interrupted code may own the locks that `cancel` takes.
        threading.Thread(target=cancel, name="stop-sign-in").start()

    for sig in caught:
        signal.signal(sig, stop)
    try:
        yield stopped
    finally:
        restore()


class _Show:
    """Shows a sign-in's steps as they happen."""

    def __init__(self, invocation: Invocation, shard: int) -> None:
        self._invocation = invocation
        self._shard = shard
        self._stack = ExitStack()
        self._panel: PromptPanel | None = None

    def to_the_end(self, sign_in: SignIn) -> Shard:
        """Wait until the sign-in ends; return the shard afterwards.

        Raises:
            ApplianceError: the sign-in failed.
            KeyboardInterrupt: it was stopped.
        """
        with _stopped_by_signals(sign_in) as stopped:
            try:
                with self._stack:
                    for step in sign_in:
                        self._show(step)
            except KeyboardInterrupt:
                # The second Ctrl-C: do not wait for the clean-up. The sign-in ends without this process.
                raise
            except BaseException:
                sign_in.close()
                raise
        match step:
            case SignInFailed(error=LoginFailed(), cancelled=True):
                self._invocation.print_message("The sign-in was stopped; the old login, if any, is unchanged.")
                raise KeyboardInterrupt
            case SignInFailed(error=error):
                raise error
            case SignedIn(shard=state):
                if stopped.is_set():
                    self._invocation.print_message("Too late to stop the sign-in: the new login is already stored.")
                return state
        raise AssertionError("a sign-in ends with one of these steps")

    def _show(self, step: SignInStep) -> None:
        if isinstance(step, SignInPrompt):
            self._show_prompt(step)
        elif isinstance(step, SignInWaiting):
            self._show_lock_holder(step.holder)

    def _show_prompt(self, step: SignInPrompt) -> None:
        if self._invocation.as_json:
            self._invocation.json_line(
                {"event": "prompt", "address": step.address, "code": step.code or None, "until": step.expires_at}
            )
        left = (step.expires_at - datetime.now(UTC)).total_seconds()
        title = f"Sign shard {self._shard} in to ChatGPT"
        prompt = Prompt(title, step.address, step.address, step.code, time.monotonic() + left)
        self._panel = self._stack.enter_context(PromptPanel(self._invocation.err, prompt))

    def _show_lock_holder(self, holder: str) -> None:
        message = f"Shard {self._shard} is in use by {holder}; the new login replaces the old one when it ends"
        if self._panel is not None and self._invocation.err.is_terminal:
            self._panel.waits_for = message
        else:
            self._invocation.print_message(f"{message}.")
        if self._invocation.as_json:
            self._invocation.json_line({"event": "waiting", "for": holder})


def _print_signed_in(invocation: Invocation, shard: Shard) -> None:
    if invocation.as_json:
        invocation.json_line({"event": "signed_in", "shard": shard})
        return
    who = f" as {clean(shard.account_email)}" if shard.account_email else ""
    plan = f" (plan {clean(shard.plan)})" if shard.plan else ""
    message = f"✔ Shard {shard.shard} is signed in{who}{plan}. Waiting runs start automatically."
    invocation.print_part(Text(message, "green"))
