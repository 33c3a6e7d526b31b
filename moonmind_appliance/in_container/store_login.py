"""Runs inside a container that has the shard's lock: replaces an agent's login with a new one."""

import sys
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.login_volume import LOGIN_FILE_LIMIT, clean, write_by_rename
from moonmind_appliance.in_container.shared import read_regular


def main(job: dict[str, Any]) -> int:
    """Store the file `new` as `login`, both in the login volume, and remove everything else except logins.

    Exit code 1 and the reason on standard error if the new login could not be stored; the old one is then unchanged.
    """
    new, login = Path(job["new"]), Path(job["login"])
    content = read_regular(new, LOGIN_FILE_LIMIT)
    if content is None:
        sys.stderr.write("The new login file could not be read.\n")
        return 1
    try:
        write_by_rename(login, content)
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        return 1
    clean(login.parent)
    return 0
