"""A shard: a queue, a worker thread, a Docker volume with one login, and a lock."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from moonmind_appliance.models.agent import QuotaWindow


class LoginState(StrEnum):
    """The known state of a shard's login. Only `present` takes runs; `unknown` is checked before a claim.

    `dead`: it can no longer be used or renewed. `refused`: it is valid, but its account may not use the agent (plan,
    credits, an administrator), which does not resolve by itself.
    """

    UNKNOWN = "unknown"
    ABSENT = "absent"
    PRESENT = "present"
    DEAD = "dead"
    REFUSED = "refused"


class LoginFault(StrEnum):
    """Why a login does not take runs: stable codes in addition to the text of `login_reason`."""

    NO_LOGIN = "no_login"
    FILE_UNREADABLE = "file_unreadable"
    REFRESH_REFUSED = "refresh_refused"
    UNAUTHORIZED = "unauthorized"
    ACCOUNT_REFUSED = "account_refused"
    ACCOUNT_CHANGED = "account_changed"


class ShardNames(msgspec.Struct, frozen=True):
    """The names of shard `index`; `prefix` is CODEX_VOLUME_PREFIX."""

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
        """The Docker volume with the login."""
        return f"{self.prefix}{self.index}"

    @property
    def lock(self) -> str:
        """The name of the only container that may mount the volume: a container of this name is the lock."""
        return f"{self.volume}-in-use"

    @property
    def sign_in(self) -> str:
        """The container in which a person signs in."""
        return f"{self.volume}-login"

    @property
    def staging_volume(self) -> str:
        """The volume in which a new login is made before it replaces the old one."""
        return f"{self.volume}-staging"


Reason = Annotated[str, Meta(max_length=1000)]


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """The known state of one shard. Times are UTC.

    `login_since` is when `login` last changed; `login_at` when the account was signed in. `checked_at` is when the
    login file was last read, `last_refresh_at` the last successful renewal, `refresh_problem` why a later try neither
    succeeded nor was refused ("" if none failed), `last_turn_at` the last successful model turn. `login_digest` shows
    whether the file changed. `account` is the adapter's short name for the account that was signed in ("" if no sign-in
    was seen). `check_wanted`: something happened that only a login check can confirm. `paused_at`: when an operator
    paused the shard.

    Bounds are checked before a state is stored: a state that cannot be read again must not be written.
    """

    shard: int
    login: LoginState = LoginState.UNKNOWN
    login_fault: LoginFault | None = None
    login_reason: Reason = ""
    login_since: datetime | None = None
    login_digest: Annotated[str, Meta(max_length=64)] = ""
    account: Annotated[str, Meta(max_length=64)] = ""
    by_api_key: bool = False
    account_email: Annotated[str, Meta(max_length=1000)] | None = None
    plan: Annotated[str, Meta(max_length=1000)] | None = None
    login_at: datetime | None = None
    checked_at: datetime | None = None
    access_expires_at: datetime | None = None
    last_refresh_at: datetime | None = None
    refresh_tried_at: datetime | None = None
    refresh_problem: Reason = ""
    last_turn_at: datetime | None = None
    check_wanted: bool = False
    quota: Annotated[list[QuotaWindow], Meta(max_length=8)] = []
    # The name in stored states and in the REST API.
    cooldown_until: datetime | None = msgspec.field(name="rests_until", default=None)
    paused_at: datetime | None = None
