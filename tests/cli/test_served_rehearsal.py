"""How `rehearse --serve` tells a person to call its appliance."""

import shlex
from itertools import pairwise

from moonmind_appliance.cli.served_rehearsal import attached_commands


def test_variables_that_override_the_env_file_are_unset() -> None:
    """Only those that are set, with the variables that name a file."""
    environment = {
        "MOONMIND_PORT": "1",
        "GITHUB_TOKEN_FILE": "/x",
        "MOONMIND_API_TOKEN": "t",
        "HOME": "/root",
        "CODEX_MODEL": "",
    }
    words = shlex.split(attached_commands("/srv/a b/appliance.env", environment, "")[0])
    assert words[0] == "env"
    assert {word for before, word in pairwise(words) if before == "-u"} == {
        "MOONMIND_API_TOKEN",
        "MOONMIND_PORT",
        "GITHUB_TOKEN_FILE",
    }
    assert words[-4:] == ["moonmind-appliance", "tui", "--env-file", "/srv/a b/appliance.env"]


def test_a_prefix_comes_first_and_nothing_is_unset_in_a_clean_shell() -> None:
    """Such as `docker compose exec api`."""
    commands = attached_commands("/e", {}, "docker compose exec api")
    assert commands[0] == "docker compose exec api moonmind-appliance tui --env-file /e"
    assert len(set(commands)) == len(commands)
