"""`moonmind-appliance`, with the long intervals of the product compressed: hours and days become seconds.

The settings compress what an operator can set. These are the constants that no setting has.
"""

import importlib
from datetime import timedelta
from typing import Any

CONSTANTS: dict[str, Any] = {
    "appliance:_LOOK_AT_LOGINS_EVERY": 3,
    "appliance:_WAKE_AGAIN_EVERY": 10,
    "appliance:_RETAIN_EVERY": 10,
    "retention.plan:_EVENTS_AT_LEAST": timedelta(seconds=30),
    "shards.health:TRY_AGAIN_AFTER": timedelta(seconds=5),
    "shards.health:CHECK_COOLDOWN_AFTER": timedelta(seconds=10),
    "shards.upkeep:_CHECK_AGAIN_AFTER": timedelta(seconds=5),
    "shards.upkeep:_READ_EVERY": timedelta(seconds=20),
    "shards.upkeep:_ADMIT_AGAIN_AFTER": timedelta(seconds=30),
}


def compress() -> None:
    """Replace the constants, in this process."""
    for place, value in CONSTANTS.items():
        module, _, name = place.partition(":")
        setattr(importlib.import_module(f"moonmind_appliance.{module}"), name, value)


if __name__ == "__main__":
    from moonmind_appliance.cli import main

    compress()
    main()
