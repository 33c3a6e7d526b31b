"""A shard is signed out: the login is revoked, and its file is removed."""

from typing import Any

import pytest

from moonmind_appliance.models import ContainerSpec, ExecSpec
from moonmind_appliance.shards.logout import LogoutRefused, logout_shard
from moonmind_appliance.shards.spec import login_spec
from tests.appliance_under_test import ApplianceUnderTest
from tests.containers.fake_exec import FakeExec
from tests.in_container.sent import program_of


def removes(appliance: ApplianceUnderTest) -> Any:
    def remove(_: FakeExec) -> int:
        appliance.sign_out(0)
        return 0

    return remove


def is_removal(_: ContainerSpec, spec: ExecSpec) -> bool:
    return program_of(spec) == "remove_login"


@pytest.mark.parametrize("revoked", [True, False])
def test_the_file_is_removed_after_the_agents_own_sign_out(appliance: ApplianceUnderTest, *, revoked: bool) -> None:
    """Also if the agent's service does not answer. A second call finds no login."""
    appliance.engine.on_exec("logout", 0 if revoked else 1)
    appliance.engine.on_exec(is_removal, removes(appliance))
    assert logout_shard(appliance.resources, 0) is True
    commands = [spec.command for _, spec in appliance.engine.execs]
    assert commands[0][-1] == "logout"
    assert commands[0][0] == "timeout"
    assert len(commands) == 2
    assert logout_shard(appliance.resources, 0) is False
    assert appliance.containers() == []


@pytest.mark.parametrize(
    ("labels", "holder"), [({"moonmind.run": "r1"}, "run r1"), ({}, "the container codex_auth_0-in-use")]
)
def test_a_shard_in_use_is_not_signed_out(appliance: ApplianceUnderTest, labels: dict[str, str], holder: str) -> None:
    """The message says by what, and nothing was changed."""
    shard = appliance.resources.shards[0]
    spec = login_spec(appliance.resources, shard, role="agent", name=shard.lock, login_volume=shard.volume)
    appliance.engine.ensure_network(appliance.resources.settings.job_network, {})
    appliance.engine.start(
        ContainerSpec(
            name=spec.name,
            image=spec.image,
            command=spec.command,
            labels={"moonmind.role": "agent"} | labels,
            limits=spec.limits,
        )
    )
    with pytest.raises(LogoutRefused, match=f"in use by {holder}; nothing was changed"):
        logout_shard(appliance.resources, 0)
    assert appliance.engine.execs == []
