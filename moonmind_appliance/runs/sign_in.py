"""Sign a shard in or out, and let the runs that waited for it go on."""

from collections.abc import Callable

from moonmind_appliance.agents.adapter import LoginWay
from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.errors import NameTaken
from moonmind_appliance.models import Shard
from moonmind_appliance.runs.readiness import say_who_waits
from moonmind_appliance.runs.tools import Tools
from moonmind_appliance.shards.login import LoginPrompt, login_from_file, login_shard
from moonmind_appliance.shards.logout import logout_shard
from moonmind_appliance.shards.look import note_login


def sign_in(
    tools: Tools,
    shard: int,
    *,
    tell: Callable[[LoginPrompt], None],
    wait_for_shard: Callable[[NameTaken], None],
    cancel: CancelToken | None = None,
    way: LoginWay = LoginWay.DEVICE,
    api_key: str | None = None,
) -> Shard:
    """Sign in, and ring for the runs that wait. See `login_shard`.

    Raises:
        LoginFailed: the old login, if any, is untouched.
        EngineError: the engine failed.
    """
    login_file = login_shard(
        tools.engine,
        tools.settings,
        tools.agent,
        tools.shards[shard],
        appliance_id=tools.appliance_id,
        tell=tell,
        wait_for_shard=wait_for_shard,
        cancel=cancel,
        way=way,
        api_key=api_key,
    )
    return _signed_in(tools, shard, login_file, way.value)


def bring_login(
    tools: Tools,
    shard: int,
    content: bytes,
    *,
    wait_for_shard: Callable[[NameTaken], None],
    cancel: CancelToken | None = None,
) -> Shard:
    """Bring in a login file that was made elsewhere, and ring for the runs that wait. See `login_from_file`.

    Raises:
        LoginFailed: the content is no login.
        EngineError: the engine failed.
    """
    login_file = login_from_file(
        tools.engine,
        tools.settings,
        tools.agent,
        tools.shards[shard],
        content,
        appliance_id=tools.appliance_id,
        wait_for_shard=wait_for_shard,
        cancel=cancel,
    )
    return _signed_in(tools, shard, login_file, "file")


def sign_out(tools: Tools, shard: int, *, cancel: CancelToken | None = None) -> tuple[Shard, bool]:
    """Sign out; the shard's state, and whether there was a login. Safe twice. See `logout_shard`.

    Raises:
        LogoutRefused: a run or another sign-in holds the shard.
        EngineError: the engine failed.
    """
    was = logout_shard(
        tools.engine,
        tools.settings,
        tools.agent,
        tools.shards[shard],
        appliance_id=tools.appliance_id,
        cancel=cancel,
    )
    state = note_login(tools.store, tools.redactor, tools.agent, shard, None, now=tools.clock())
    tools.redactor.forget(f"shard {shard}")
    if was:
        tools.store.events.add("shard.signed_out", shard=shard)
    say_who_waits(tools)
    return state, was


def _signed_in(tools: Tools, shard: int, login_file: bytes, way: str) -> Shard:
    state = note_login(tools.store, tools.redactor, tools.agent, shard, login_file, now=tools.clock(), signed_in=True)
    tools.store.events.add("shard.signed_in", shard=shard, data={"way": way})
    say_who_waits(tools)
    tools.doorbell.ring(shard, "")
    return state
