"""A shard: a queue, a worker thread, a Docker volume with one login, and a lock."""

from datetime import datetime
from enum import StrEnum

import msgspec

from moonmind_appliance.models.agent import QuotaWindow


class LoginState(StrEnum):
    """What is known of a shard's login. Only `present` takes runs; `unknown` is looked at before a claim."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    PRESENT = "present"
    DEAD = "dead"


class ShardName(msgspec.Struct, frozen=True):
    """The four names of shard `index`; `prefix` is CODEX_VOLUME_PREFIX."""

    index: int
    prefix: str

    @property
    def queue(self) -> str:
        """The huey queue."""
        return f"codex-{self.index}"

    @property
    def thread(self) -> str:
        """The worker thread."""
        return f"codex-{self.index}"

    @property
    def volume(self) -> str:
        """The Docker volume that keeps the login."""
        return f"{self.prefix}{self.index}"

    @property
    def lock(self) -> str:
        """The name of the one container that may mount the volume: holding the name is holding the lock."""
        return f"{self.volume}-in-use"


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """What the appliance knows of one shard. Times are UTC."""

    shard: int
    login: LoginState = LoginState.UNKNOWN
    login_reason: str = ""
    account_email: str | None = None
    plan: str | None = None
    login_at: datetime | None = None
    checked_at: datetime | None = None
    access_expires_at: datetime | None = None
    last_refresh_at: datetime | None = None
    last_turn_at: datetime | None = None
    quota: list[QuotaWindow] = []
    rests_until: datetime | None = None
