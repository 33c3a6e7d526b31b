"""The API's response bodies: the fields of docs/api.md, with its names and order. Times are RFC 3339 in UTC.

Structs that the other interfaces show too are in `views`.
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
    """One check of what runs need."""

    name: str
    ok: bool
    message: str


class Ready(msgspec.Struct, frozen=True):
    """Whether the appliance accepts and executes runs."""

    status: Annotated[str, msgspec.Meta(examples=["ready"])]
    checks: list[ReadyCheck]
