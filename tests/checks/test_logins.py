"""The checks of the shards' logins."""

from moonmind_appliance.checks.finding import Level
from moonmind_appliance.checks.logins import any_login, logins, shard_logins
from moonmind_appliance.models import LoginState, Shard
from tests.appliance_under_test import ApplianceUnderTest


def test_one_login_is_enough() -> None:
    """A missing one is a note; a dead one is wrong, because the operator expects it to work."""
    shards = [
        Shard(shard=0, login=LoginState.ABSENT),
        Shard(shard=1, login=LoginState.PRESENT, account_email="a@b.test", plan="plus"),
        Shard(shard=2, login=LoginState.DEAD, login_reason="expired"),
    ]
    found = shard_logins(shards)
    assert [(each.level.value, each.observed) for each in found] == [
        ("note", "Not signed in."),
        ("ok", "a@b.test, plan plus"),
        ("wrong", "The login no longer works: expired."),
    ]
    assert any_login(found) == found[1]


def test_no_login() -> None:
    """Only the first shard's finding is wrong."""
    found = shard_logins([Shard(shard=0, login=LoginState.ABSENT), Shard(shard=1, login=LoginState.ABSENT)])
    assert [each.level.value for each in found] == ["wrong", "note"]
    assert any_login(found).to_do == "moonmind-appliance login-shard 0"


def test_logins_that_were_never_checked(appliance: ApplianceUnderTest) -> None:
    """They are checked now if that is allowed."""
    assert [each.observed for each in logins(appliance.resources)] == ["Not checked yet."] * 2
    assert [each.level.value for each in logins(appliance.resources, check_unknown=True)] == ["ok", "ok"]
    assert [each.level.value for each in logins(appliance.resources)] == ["ok", "ok"]


def test_an_api_key_cannot_be_used_with_a_login_broker() -> None:
    """Its runs would fail. Without the broker it is a good login."""
    key = Shard(shard=1, login=LoginState.PRESENT, by_api_key=True)
    (found,) = shard_logins([key], login_broker=True)
    assert (found.level, "LOGIN_BROKER=false" in found.to_do) == (Level.WRONG, True)
    assert [each.level for each in shard_logins([key])] == [Level.OK]
