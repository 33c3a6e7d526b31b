"""Whether a shard has a login, without running a command or a model turn."""

import pytest

from moonmind_appliance.errors import NameTaken
from moonmind_appliance.models import LoginState
from moonmind_appliance.shards.read_login import read_stored_login, record_login_file
from moonmind_appliance.shards.spec import login_spec
from tests.appliance_under_test import ApplianceUnderTest

LOGIN = b"rt_secretOfShard0-0123456789"


def test_a_login_is_read_under_the_lock_without_starting_anything(appliance: ApplianceUnderTest) -> None:
    """The container is only created, and removed afterwards."""
    assert read_stored_login(appliance.resources, 0) == LOGIN
    appliance.sign_out(0)
    assert read_stored_login(appliance.resources, 0) is None
    assert (appliance.containers(), appliance.engine.execs) == ([], [])


def test_a_shard_in_use_is_not_read(appliance: ApplianceUnderTest) -> None:
    """The container of its holder stays."""
    shard = appliance.resources.shards[0]
    spec = login_spec(appliance.resources, shard, role="agent", name=shard.lock, login_volume=shard.volume)
    appliance.engine.ensure_network(appliance.resources.settings.job_network, {})
    appliance.engine.start(spec)
    with pytest.raises(NameTaken):
        read_stored_login(appliance.resources, 0)
    assert appliance.containers() == [shard.lock]


def test_the_state_follows_the_file(appliance: ApplianceUnderTest) -> None:
    """A file is a login, no file is none; the address of the account is redacted like every stored text."""
    state = record_login_file(appliance.resources, 0, LOGIN)
    assert (state.login, state.account_email) == (LoginState.PRESENT, "ann@example.invalid")
    assert record_login_file(appliance.resources, 0, None, signed_in=True).login is LoginState.ABSENT
    assert appliance.store.shards.get(0).login is LoginState.ABSENT
