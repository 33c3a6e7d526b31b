"""What the API answers: the fields of docs/api.md, by their names and in their order. Times are RFC 3339 in UTC.

What the other interfaces show too is in `views`.
"""

from typing import Annotated

import msgspec

from moonmind_appliance.views.shard_view import ShardView


class ShardList(msgspec.Struct, frozen=True):
    """All shards, by number."""

    items: list[ShardView]


class Health(msgspec.Struct, frozen=True):
    """The process is alive."""

    status: Annotated[str, msgspec.Meta(examples=["ok"])]
    version: str


class ReadyCheck(msgspec.Struct, frozen=True):
    """One thing that work needs."""

    name: str
    ok: bool
    message: str


class Ready(msgspec.Struct, frozen=True):
    """The appliance takes and runs work."""

    status: Annotated[str, msgspec.Meta(examples=["ready"])]
    checks: list[ReadyCheck]
