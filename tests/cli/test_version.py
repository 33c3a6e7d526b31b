"""`version`."""

import platform

from moonmind_appliance.version import appliance_version
from tests.cli.terminal import Terminal


def test_without_an_engine_the_tools_have_no_version(terminal: Terminal) -> None:
    """The appliance's own is always there, and the command succeeds."""
    called = terminal.call("version", "--json", DOCKER_HOST=f"unix://{terminal.home}/none.sock")
    assert called.code == 0
    assert called.json == {
        "appliance": appliance_version(),
        "python": platform.python_version(),
        "docker": None,
        "job_image_reference": called.json["job_image_reference"],
        "codex": None,
        "spec_kit": None,
        "job_image": None,
    }
    assert called.stderr != ""
