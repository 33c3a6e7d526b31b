"""The terminal interface as an operator uses it: the real program on a pseudo-terminal, in a rehearsal environment."""

import base64

import pytest

from moonmind_appliance.models import LoginState
from tests.tui.terminal import PseudoTerminal

pytestmark = [pytest.mark.docker, pytest.mark.image]

SLUG = "acme/terminal"
ENTER, CTRL_S, TAB = "\r", "\x13", "\t"
TO_THE_TEXT = 5 * TAB


@pytest.fixture
def terminal(environment, running, tmp_path):
    """`moonmind-appliance tui` on the data folder of the running appliance."""
    environment.github.add_repository(SLUG)
    own = {"HOME": str(tmp_path), "MOONMIND_ENV_FILE": "/dev/null", "MOONMIND_PORT": str(running.port)}
    with PseudoTerminal(
        ["moonmind_appliance.cli", "tui"], environment.variables() | own, columns=120, lines=40
    ) as made:
        yield made


def test_from_the_sign_in_to_the_pull_request(environment, running, terminal):
    """With keys only: sign a shard in, submit and watch a run, copy its address, read its text."""
    terminal.wait("serve: running")

    terminal.type("2")
    terminal.wait("Press i to sign in.")
    terminal.type("ji")
    terminal.wait("Shard 1 is signed in as")
    assert running.appliance.resources.store.shards.get(1).login is LoginState.PRESENT
    terminal.type(ENTER)
    terminal.wait(lambda text: "Sign shard 1 in" not in text)

    terminal.type("1")
    terminal.wait("Press n to submit one.")
    # In one burst, like a paste or keys over a slow connection: no key is lost or reordered.
    terminal.type(f"n{SLUG}{TO_THE_TEXT}# Due dates{ENTER}{ENTER}- Goal: each book can have a date{CTRL_S}")
    terminal.wait("is accepted.")
    terminal.wait("SUCCEEDED")
    (pull,) = environment.github.pull_requests(SLUG)
    assert (pull.draft, pull.title) == (True, "Due dates")
    terminal.wait(f": {pull.html_url}")

    terminal.type("o")
    terminal.wait("Address sent to your terminal")
    assert b"\x1b]52;c;" + base64.b64encode(pull.html_url.encode()) in terminal.written
    terminal.type("]]")
    terminal.wait("Feature Specification: Due dates")

    terminal.type("q")
    assert terminal.ended() == 0
    assert terminal.modes == set()
    assert b"Traceback" not in terminal.written
