"""A new login replaces the old one only after success; everything is stored under the shard's lock."""

from collections.abc import Callable
from typing import Any

import pytest

from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.containers.volume_lock import lock_holder
from moonmind_appliance.errors import InterruptReason, NameTaken
from moonmind_appliance.shards.login import (
    LoginFailed,
    LoginPrompt,
    _PromptReader,
    login_from_file,
    login_shard,
)
from moonmind_appliance.shards.spec import LOGIN_SECONDS, ensure_login_network, login_spec
from tests.appliance_under_test import ApplianceUnderTest
from tests.tui.simulated_sign_in import ADDRESS, CODE, NEW, SimulatedSignIn, stored_login

OLD = b"rt_secretOfShard0-0123456789"
PROMPT = f"Open\n\x1b[94m   {ADDRESS}\x1b[0m\nand enter\n   {CODE}\n"


@pytest.fixture
def volume(appliance: ApplianceUnderTest) -> str:
    return appliance.resources.shards[0].volume


def sign_in(appliance: ApplianceUnderTest, on_prompt: Callable[[LoginPrompt], Any], **more: Any) -> bytes:
    return login_shard(appliance.resources, 0, on_prompt=on_prompt, wait_for_shard=lambda _: None, **more)


def test_a_login_replaces_the_old_one_and_nothing_is_left(appliance: ApplianceUnderTest, volume: str) -> None:
    """The prompt has address, code and time; the staging volume is removed."""
    simulated, prompts = SimulatedSignIn(appliance.engine), list[LoginPrompt]()
    simulated.decided.set()
    assert sign_in(appliance, prompts.append) == NEW
    assert prompts == [LoginPrompt(ADDRESS, CODE, LOGIN_SECONDS)]
    assert stored_login(appliance.engine, volume) == NEW
    assert appliance.containers() == []
    assert appliance.resources.shards[0].staging_volume not in appliance.engine.volume_data


def test_a_refused_login_leaves_the_old_one(appliance: ApplianceUnderTest, volume: str) -> None:
    """The message has the agent's own last words."""
    simulated = SimulatedSignIn(appliance.engine, refuses=True)
    simulated.decided.set()
    with pytest.raises(LoginFailed, match="device code: denied"):
        sign_in(appliance, lambda _: None)
    assert stored_login(appliance.engine, volume) == OLD
    assert appliance.containers() == []


def test_a_container_that_ends_is_no_refusal(appliance: ApplianceUnderTest, volume: str) -> None:
    """It ends when the engine passes on no sign of life: the account's settings are not to blame."""
    SimulatedSignIn(appliance.engine)
    with pytest.raises(LoginFailed, match="container ended too early") as caught:
        sign_in(appliance, lambda _: appliance.engine.kill(appliance.resources.shards[0].sign_in))
    assert "security settings" not in str(caught.value)
    assert stored_login(appliance.engine, volume) == OLD


def test_a_success_without_a_file_is_a_failure(appliance: ApplianceUnderTest, volume: str) -> None:
    """The exit code alone proves nothing."""
    appliance.engine.on_exec("login", 0)
    with pytest.raises(LoginFailed, match="wrote no login file"):
        sign_in(appliance, lambda _: None)
    assert stored_login(appliance.engine, volume) == OLD


def test_a_file_that_is_no_login_is_refused(appliance: ApplianceUnderTest, volume: str) -> None:
    """A file that is too large is none. No container is started."""
    with pytest.raises(LoginFailed, match=r"This auth\.json contains no login"):
        login_from_file(appliance.resources, 0, b"x" * 10_000_000, wait_for_shard=lambda _: None)
    assert stored_login(appliance.engine, volume) == OLD
    assert appliance.containers() == []


def test_a_cancel_while_a_run_uses_the_shard_leaves_the_old_login(appliance: ApplianceUnderTest, volume: str) -> None:
    """The caller learns once what is waited for."""
    shard = appliance.resources.shards[0]
    ensure_login_network(appliance.resources)
    spec = login_spec(appliance.resources, shard, role="agent", name=shard.lock, login_volume=volume)
    appliance.engine.start(spec)
    cancel, holders = CancelToken(), list[str]()

    def wait(error: NameTaken) -> None:
        holders.append(lock_holder(error))
        cancel.cancel(InterruptReason.CANCELLED)

    with pytest.raises(LoginFailed, match="was stopped"):
        login_from_file(appliance.resources, 0, NEW, wait_for_shard=wait, cancel=cancel)
    assert holders == [f"the container {shard.lock}"]
    assert stored_login(appliance.engine, volume) == OLD


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_prompt_is_found_in_any_chunks(size: int) -> None:
    """Only in complete lines, without colours, and once."""
    prompts: list[LoginPrompt] = []
    reader = _PromptReader(prompts.append, with_code=True)
    output = (PROMPT + PROMPT).encode()
    for start in range(0, len(output), size):
        reader.write(output[start : start + size])
    assert prompts == [LoginPrompt(ADDRESS, CODE, LOGIN_SECONDS)]


def test_an_address_of_this_machine_is_no_prompt() -> None:
    """A sign-in by browser prints where it listens, too. It needs no code."""
    prompts: list[LoginPrompt] = []
    reader = _PromptReader(prompts.append, with_code=False)
    reader.write(b"Starting local login server on http://localhost:1455.\n")
    assert prompts == []
    reader.write(b"https://auth.openai.com/oauth/authorize?x=ABCD-12345\n")
    assert [(prompt.address, prompt.code) for prompt in prompts] == [
        ("https://auth.openai.com/oauth/authorize?x=ABCD-12345", "")
    ]
