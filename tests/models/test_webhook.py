"""The webhook's messages, as the documentation shows them."""

import re
from pathlib import Path

import msgspec
import pytest

from moonmind_appliance.models import (
    RUN_MESSAGES,
    SHARD_MESSAGES,
    TEST_MESSAGES,
    RunData,
    RunMessage,
    SenderData,
    ShardData,
    ShardMessage,
)

PAGE = (Path(__file__).parents[2] / "docs" / "webhook.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


def test_every_type_is_documented_with_its_meaning() -> None:
    """And none that does not exist."""
    documented = dict(re.findall(r"^\| `((?:run|shard|appliance)\.\w+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert documented == RUN_MESSAGES | SHARD_MESSAGES | TEST_MESSAGES


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_message(example: str) -> None:
    """With all of its members, and no others."""
    kind = msgspec.json.decode(example)["type"]
    message = msgspec.json.decode(example, type=RunMessage if kind in RUN_MESSAGES else ShardMessage)
    assert msgspec.to_builtins(message, str_keys=True) == msgspec.json.decode(example) | {
        "timestamp": msgspec.to_builtins(message.timestamp)
    }


def test_there_are_examples() -> None:
    """A failed run, a waiting one and a dead login."""
    assert [msgspec.json.decode(example)["type"] for example in EXAMPLES] == [
        "run.failed",
        "run.waiting",
        "shard.login_dead",
    ]


@pytest.mark.parametrize("struct", [RunData, ShardData, SenderData])
def test_every_member_is_documented(struct: type[msgspec.Struct]) -> None:
    """In the table of members."""
    table = PAGE.partition("| member of `data` |")[2].partition("\n\n")[0]
    assert [name for name in struct.__struct_fields__ if f"`{name}`" not in table] == []
