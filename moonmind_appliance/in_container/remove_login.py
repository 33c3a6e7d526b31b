"""Runs inside a container that has the shard's lock: removes an agent's login and files that agents left."""

from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.login_volume import remove_login


def main(job: dict[str, Any]) -> int:
    """Remove the file or folder `name` from `folder`."""
    remove_login(Path(job["folder"]), job["name"])
    return 0
