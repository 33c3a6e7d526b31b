"""`login-shard` and `logout-shard`: a shard's sign-in, with what the person has to do shown until it is done."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.text import Text

from moonmind_appliance.agents.adapter import LoginWay
from moonmind_appliance.appliance import attach
from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.prompt_panel import Prompt, PromptPanel
from moonmind_appliance.cli.terminal import clean
from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import ImageNotFound, InterruptReason, NameTaken
from moonmind_appliance.models import Shard
from moonmind_appliance.runs.sign_in import bring_login, sign_in, sign_out
from moonmind_appliance.runs.tools import Tools
from moonmind_appliance.shards.login import LoginPrompt, who_holds
from moonmind_appliance.shards.logout import LogoutRefused

_LOOK_EVERY = 0.2
_LONGEST_KEY = 1000


@click.command(
    cls=Command,
    examples=[
        ("The first account", f"{PROGRAM} login-shard 0"),
        ("Another account, while runs go on elsewhere", f"{PROGRAM} login-shard 2"),
        ("With the browser of this machine", f"{PROGRAM} login-shard 0 --browser"),
        (
            "With an API key of OpenAI's platform, out of a password store",
            f"pass openai | {PROGRAM} login-shard 0 --api-key",
        ),
    ],
)
@click.argument("shard", type=click.IntRange(0), metavar="N")
@click.option("--browser", is_flag=True, help="Sign in with a browser on this machine; it comes back to port 1455.")
@click.option(
    "--from-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PATH",
    help="Bring in an auth.json that was made elsewhere. Its other copy must not be used any more.",
)
@click.option("--api-key", is_flag=True, help="Use an API key, read from stdin; runs are then billed by use.")
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

    Open the address in any browser, log in with the account that the shard is to use, and type the code; "device code
    login" must be allowed in that account's security settings. The login is made beside the old one and replaces it
    only when it succeeded: Ctrl-C, a refusal or a lapsed code leave the old one as it was. When a run holds the shard
    at that moment, the new login waits for its end. Runs that waited for a login then start by themselves.
    """
    if browser + api_key + (from_file is not None) > 1:
        raise click.UsageError("--browser, --from-file and --api-key exclude each other.", click.get_current_context())
    content = _content(from_file) if from_file else b""
    key = _key(invocation) if api_key else None
    way = LoginWay.BROWSER if browser else LoginWay.API_KEY if api_key else LoginWay.DEVICE
    with _tools(invocation, shard) as tools:

        def work(news: list[LoginPrompt | NameTaken], cancel: CancelToken) -> Shard:
            if from_file:
                return bring_login(tools, shard, content, wait_for_shard=news.append, cancel=cancel)
            return sign_in(
                tools, shard, tell=news.append, wait_for_shard=news.append, cancel=cancel, way=way, api_key=key
            )

        seen = _SignIn(invocation, shard, work).carry_out()
    if from_file:
        invocation.note(
            f"Do not use {from_file} any more, nor the machine it came from: the first of the two copies that renews "
            "itself ends the other."
        )
    _tell(invocation, seen)


@click.command(
    cls=Command,
    examples=[
        ("Before an account is given to somebody else", f"{PROGRAM} logout-shard 2"),
    ],
)
@click.argument("shard", type=click.IntRange(0), metavar="N")
@click.pass_obj
def logout_shard(invocation: Invocation, shard: int) -> None:
    """Sign a shard out: the login is revoked and removed.

    Refused while a run holds the shard. Runs that could only go there wait for the next `login-shard`. Where OpenAI
    cannot be told, the login is removed here all the same. Safe twice.
    """
    with _tools(invocation, shard) as tools:
        try:
            state, was = sign_out(tools, shard)
        except LogoutRefused as error:
            raise CommandFailed(error.message, hint=error.hint, code=Exit.UNAVAILABLE) from None
    words = f"Shard {shard} is signed out." if was else f"Nobody was signed in on shard {shard}."
    invocation.answer({"was_signed_in": was, "shard": state}, Text(words))


@contextmanager
def _tools(invocation: Invocation, shard: int) -> Iterator[Tools]:
    """The verbs' tools, once it is sure that there is such a shard and an image to work with."""
    settings = invocation.settings()
    if shard >= settings.codex_shards:
        hint = f"Give 0 to {settings.codex_shards - 1}, or raise CODEX_SHARDS."
        raise CommandFailed(f"There is no shard {shard}.", hint=hint, code=Exit.USAGE)
    tools = attach(settings)
    try:
        image = settings.spec_automation_job_image
        if tools.engine.image(image) is None:
            raise ImageNotFound(f"The Docker engine has no image {image}.", hint="Build it with ./install.sh.")
        yield tools
    finally:
        tools.store.close()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandFailed(
            f"{path} cannot be read ({error.strerror}).", hint="Run as its owner.", code=Exit.REFUSED
        ) from None


def _key(invocation: Invocation) -> str:
    """The key from stdin; on a terminal it is asked for and not shown."""
    if sys.stdin.isatty():
        given = click.prompt("OpenAI API key", hide_input=True, err=True, type=str)
    else:
        invocation.detail("API key from stdin")
        given = sys.stdin.read(_LONGEST_KEY)
    key = str(given).strip()
    if not key or not all("!" <= character <= "~" for character in key):
        raise CommandFailed("There is no API key on stdin.", hint="Give the key alone, on one line.", code=Exit.USAGE)
    return key


class _SignIn:
    """The sign-in in a thread of its own, so that Ctrl-C ends it in order."""

    def __init__(
        self,
        invocation: Invocation,
        shard: int,
        work: Callable[[list[LoginPrompt | NameTaken], CancelToken], Shard],
    ) -> None:
        self._invocation = invocation
        self._shard = shard
        self._do = work
        self._cancel = CancelToken()
        # Not the thread's `join`: an interrupted one takes the thread for ended (seen on Python 3.11).
        self._over = threading.Event()
        self._stack = ExitStack()
        self._panel: PromptPanel | None = None
        self._news: list[LoginPrompt | NameTaken] = []
        self._seen: Shard | None = None
        self._error: BaseException | None = None

    def carry_out(self) -> Shard:
        """The shard as it is then. Raises what the sign-in raised, or KeyboardInterrupt once it is undone."""
        threading.Thread(target=self._work, name="sign-in", daemon=True).start()
        with self._stack:
            try:
                while not self._over.wait(_LOOK_EVERY):
                    while self._news:
                        self._show(self._news.pop(0))
            except KeyboardInterrupt:
                self._cancel.cancel(InterruptReason.CANCELLED)
                self._over.wait()
                self._stack.close()
                if self._seen is None:
                    self._invocation.note("The sign-in was stopped; the old login, if any, is untouched.")
                raise
        if self._error is not None:
            raise self._error
        if self._seen is None:
            raise AssertionError("a sign-in without error has a result")
        return self._seen

    def _work(self) -> None:
        try:
            self._seen = self._do(self._news, self._cancel)
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits
            self._error = error
        finally:
            self._over.set()

    def _show(self, news: LoginPrompt | NameTaken) -> None:
        if isinstance(news, NameTaken):
            self._show_holder(news)
            return
        if self._invocation.as_json:
            until = datetime.now(UTC) + timedelta(seconds=news.seconds)
            self._invocation.json_line(
                {"event": "prompt", "address": news.address, "code": news.code or None, "until": until}
            )
        title = f"Sign shard {self._shard} in to ChatGPT"
        prompt = Prompt(title, news.address, news.address, news.code, time.monotonic() + news.seconds)
        self._panel = self._stack.enter_context(PromptPanel(self._invocation.err, prompt))

    def _show_holder(self, news: NameTaken) -> None:
        words = f"Shard {self._shard} is held by {who_holds(news)}; the new login takes its place when that ends"
        if self._panel is not None and self._invocation.err.is_terminal:
            self._panel.waits_for = words
        else:
            self._invocation.note(f"{words}.")
        if self._invocation.as_json:
            self._invocation.json_line({"event": "waiting", "for": who_holds(news)})


def _tell(invocation: Invocation, shard: Shard) -> None:
    if invocation.as_json:
        invocation.json_line({"event": "signed_in", "shard": shard})
        return
    who = f" as {clean(shard.account_email)}" if shard.account_email else ""
    plan = f" (plan {clean(shard.plan)})" if shard.plan else ""
    words = f"✔ Shard {shard.shard} is signed in{who}{plan}. Waiting runs start by themselves."
    invocation.show(Text(words, "green"))
