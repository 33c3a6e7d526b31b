"""How `rehearse --serve` tells a person to call its appliance."""

import re
import shlex
from itertools import pairwise

import msgspec

from moonmind_appliance.cli.served_rehearsal import attached_commands, exports
from moonmind_appliance.rehearsal.serve import ServedRehearsal
from tests.cli.terminal import ROOT


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


def test_the_exports_are_the_variables_of_the_api_page() -> None:
    """The base address, and the token that may send every request of the page."""
    texts = {name: f"<{name}>" for name in ServedRehearsal.__struct_fields__}
    served = msgspec.convert({**texts, "shards": 1}, ServedRehearsal)
    lines = exports(served).splitlines()
    assert lines == ["export BASE=<api_url>", "export MOONMIND_API_TOKEN=<operator_token>"]
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    assert re.findall("^export [A-Z_]+=", page, re.MULTILINE) == [line.partition("<")[0] for line in lines]
