"""docs/cli.md matches the program."""

import re
from collections.abc import Iterator

import click
import pytest

from moonmind_appliance.cli.command import Command, LazyGroup
from moonmind_appliance.cli.exits import MEANINGS, Exit
from moonmind_appliance.cli.program import main
from tests.cli.terminal import ROOT

DOCS = (ROOT / "docs/cli.md").read_text(encoding="utf-8")


def commands(group: LazyGroup, path: str = "moonmind-appliance") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.lazy:
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, LazyGroup):
            yield from commands(command, f"{path} {name}")


ALL = dict(commands(main))


def section(path: str) -> str:
    found = re.search(rf"^## {re.escape(path)}\n(.*?)(?=^## |\Z)", DOCS, re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no section `## {path}`"
    return found[1]


@pytest.mark.parametrize("path", ALL)
def test_every_command_and_option_has_its_place_in_the_page(path: str) -> None:
    """Each command has a section with its options; the common options are listed once, at the top."""
    told = section(path) + section("Common options")
    names = [name for option in ALL[path].params if isinstance(option, click.Option) for name in option.opts]
    missing = [name for name in names if not re.search(rf"`{name}[` ]", told)]
    assert missing == []


def test_the_page_has_no_unknown_command() -> None:
    """A removed command is removed from the page, too."""
    told = re.findall(r"^## (moonmind-appliance .*)$", DOCS, re.MULTILINE)
    assert sorted(told) == sorted(ALL)


def test_every_exit_code_is_in_the_page() -> None:
    """The page has the number and the meaning, as in --help."""
    told = section("Exit codes")
    assert [code for code in Exit if f"| {code.value} | {MEANINGS[code]} |" not in told] == []


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_examples(path: str) -> None:
    """Help has a first sentence, which the list of commands repeats, and examples that are existing commands."""
    command = ALL[path]
    group = main if path.count(" ") == 1 else ALL[path.rpartition(" ")[0]]
    assert isinstance(group, LazyGroup)
    assert isinstance(command, Command | LazyGroup)
    assert (command.help or "").startswith(group.lazy[path.rpartition(" ")[2]].summary)
    assert command.examples
    assert all("moonmind-appliance" in example.command for example in command.examples)
    for example in command.examples:
        for called in re.findall(r"moonmind-appliance ((?:[a-z-]+ ?){1,2})", example.command):
            words = called.split()
            known = {" ".join(words[:count]) for count in (1, 2)}
            assert known & {name.removeprefix("moonmind-appliance ") for name in ALL}
