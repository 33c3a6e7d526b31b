"""`login-shard`: a shard's sign-in, with what the person has to do shown until it is done."""

import threading
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta

import click
from rich.text import Text

from moonmind_appliance.appliance import attach
from moonmind_appliance.cli.command import PROGRAM, Command
from moonmind_appliance.cli.exits import CommandFailed, Exit
from moonmind_appliance.cli.invocation import Invocation
from moonmind_appliance.cli.prompt_panel import Prompt, PromptPanel
from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import ImageNotFound, InterruptReason, NameTaken
from moonmind_appliance.models import Shard
from moonmind_appliance.runs.execute import Tools
from moonmind_appliance.runs.readiness import say_who_waits
from moonmind_appliance.shards.login import LoginPrompt
from moonmind_appliance.shards.login import login_shard as sign_in
from moonmind_appliance.shards.look import note_login

_LOOK_EVERY = 0.2


@click.command(
    cls=Command,
    examples=[
        ("The first account", f"{PROGRAM} login-shard 0"),
        ("Another account, while runs go on elsewhere", f"{PROGRAM} login-shard 2"),
    ],
)
@click.argument("shard", type=click.IntRange(0), metavar="N")
@click.pass_obj
def login_shard(invocation: Invocation, shard: int) -> None:
    """Sign a shard in to ChatGPT by device code.

    Open the address in any browser, log in with the account that the shard is to use, and type the code; "device code
    login" must be allowed in that account's security settings. The login is made beside the old one and replaces it
    only when it succeeded: Ctrl-C, a refusal or a lapsed code leave the old one as it was. When a run holds the shard
    at that moment, the new login waits for its end. Runs that waited for a login then start by themselves.
    """
    settings = invocation.settings()
    if shard >= settings.codex_shards:
        most = settings.codex_shards - 1
        raise CommandFailed(
            f"There is no shard {shard}.", hint=f"Give 0 to {most}, or raise CODEX_SHARDS.", code=Exit.USAGE
        )
    tools = attach(settings)
    try:
        image = settings.spec_automation_job_image
        if tools.engine.image(image) is None:
            raise ImageNotFound(f"The Docker engine has no image {image}.", hint="Build it with ./install.sh.")
        login_file = _SignIn(invocation, tools, shard).carry_out()
        seen = note_login(tools.store, tools.redactor, tools.agent, shard, login_file, now=tools.clock())
        say_who_waits(tools)
        tools.doorbell.ring(shard, "")
    finally:
        tools.store.close()
    _tell(invocation, seen)


class _SignIn:
    """The sign-in in a thread of its own, so that Ctrl-C ends it in order."""

    def __init__(self, invocation: Invocation, tools: Tools, shard: int) -> None:
        self._invocation = invocation
        self._tools = tools
        self._name = tools.shards[shard]
        self._cancel = CancelToken()
        self._stack = ExitStack()
        self._panel: PromptPanel | None = None
        self._told: list[LoginPrompt | NameTaken] = []
        self._login_file = b""
        self._error: BaseException | None = None

    def carry_out(self) -> bytes:
        """The new login file. Raises what the sign-in raised, or KeyboardInterrupt once it is undone."""
        thread = threading.Thread(target=self._work, name="sign-in", daemon=True)
        thread.start()
        self._invocation.detail("starting the job image on a staging volume")
        with self._stack:
            try:
                while thread.is_alive():
                    thread.join(_LOOK_EVERY)
                    while self._told:
                        self._show(self._told.pop(0))
            except KeyboardInterrupt:
                self._cancel.cancel(InterruptReason.CANCELLED)
                thread.join()
                self._stack.close()
                self._invocation.note("The sign-in was stopped; the old login, if any, is untouched.")
                raise
        if self._error is not None:
            raise self._error
        return self._login_file

    def _work(self) -> None:
        tools = self._tools
        try:
            self._login_file = sign_in(
                tools.engine,
                tools.settings,
                tools.agent,
                self._name,
                appliance_id=tools.appliance_id,
                tell=self._told.append,
                wait_for_shard=self._told.append,
                cancel=self._cancel,
            )
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits
            self._error = error

    def _show(self, news: LoginPrompt | NameTaken) -> None:
        if isinstance(news, NameTaken):
            run = news.holder.get("moonmind.run")
            who = f"Run {run[:8]}" if run else "Somebody else"
            words = f"{who} uses shard {self._name.index}; the new login takes its place when that ends"
            if self._panel is not None and self._invocation.err.is_terminal:
                self._panel.waits_for = words
            else:
                self._invocation.note(f"{words}.")
            if self._invocation.as_json:
                self._invocation.json_line({"event": "waiting", "holder": news.holder})
            return
        if self._invocation.as_json:
            until = datetime.now(UTC) + timedelta(seconds=news.seconds)
            self._invocation.json_line({"event": "prompt", "address": news.address, "code": news.code, "until": until})
        title = f"Sign shard {self._name.index} in to ChatGPT"
        prompt = Prompt(title, news.address, news.address, news.code, time.monotonic() + news.seconds)
        self._panel = self._stack.enter_context(PromptPanel(self._invocation.err, prompt))


def _tell(invocation: Invocation, shard: Shard) -> None:
    if invocation.as_json:
        invocation.json_line({"event": "signed_in", "shard": shard})
        return
    who = f" as {shard.account_email}" if shard.account_email else ""
    plan = f" (plan {shard.plan})" if shard.plan else ""
    with suppress(BrokenPipeError):
        invocation.show(
            Text(f"✔ Shard {shard.shard} is signed in{who}{plan}. Waiting runs start by themselves.", "green")
        )
