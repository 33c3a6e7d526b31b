"""The user of the operating system who runs a command: an operator, who has access to the data folder."""

import os
import pwd

from moonmind_appliance.models import Actor, Author, Interface


def system_actor() -> Actor:
    """The actor of commands on the data folder."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = str(os.geteuid())
    return Actor(f"os:{name}", os.environ.get("SUDO_USER") or name, operator=True)


def system_author(interface: Interface) -> Author:
    """The same user as the author of changes."""
    actor = system_actor()
    return Author(actor.subject, actor.username, interface)
