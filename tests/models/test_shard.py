"""A shard's names, and what may be stored of it."""

import msgspec
import pytest

from moonmind_appliance.models import QuotaWindow, Shard, ShardNames


def test_the_names_of_a_shard() -> None:
    """All are different, and the lock belongs to the volume."""
    names = ShardNames(2, "codex_auth_")
    assert (names.queue, names.thread, names.volume) == ("codex-2", "codex-2", "codex_auth_2")
    assert (names.lock, names.sign_in) == ("codex_auth_2-in-use", "codex_auth_2-login")
    assert names.staging_volume == "codex_auth_2-staging"


@pytest.mark.parametrize(
    "shard",
    [
        Shard(shard=0, login_reason="x" * 1001),
        Shard(shard=0, account="x" * 65),
        Shard(shard=0, quota=[QuotaWindow(1.0)] * 9),
        Shard(shard=0, quota=[QuotaWindow(-1.0)]),
        Shard(shard=0, quota=[QuotaWindow(1.0, window_minutes=0)]),
    ],
)
def test_a_state_outside_its_bounds_cannot_be_read_again(shard: Shard) -> None:
    """So it must not be stored."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(shard), type=Shard)
