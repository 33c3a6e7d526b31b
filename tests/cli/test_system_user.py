"""The user of the operating system, as actor and as author."""

import os
import pwd

import pytest

from moonmind_appliance.cli.system_user import system_actor, system_author
from moonmind_appliance.models import Interface


def test_the_user_is_an_operator_with_the_name_from_before_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The subject is the user of the process. The name is that of the person who called sudo."""
    name = pwd.getpwuid(os.geteuid()).pw_name
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert (system_actor().subject, system_actor().username, system_actor().operator) == (f"os:{name}", name, True)
    monkeypatch.setenv("SUDO_USER", "ann")
    author = system_author(Interface.TUI)
    assert (author.subject, author.username, author.interface) == (f"os:{name}", "ann", Interface.TUI)
