"""Runs inside a container with a login volume: removes what an agent or an earlier sign-in left in it."""

from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.login_volume import clean


def main(job: dict[str, Any]) -> int:
    """Empty `folder`, except for the regular files that `keep` names."""
    clean(Path(job["folder"]), tuple(job["keep"]))
    return 0
