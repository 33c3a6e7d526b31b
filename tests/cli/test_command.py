"""What all commands have in common."""

import click
from click.testing import CliRunner

from moonmind_appliance.cli.command import Command, Lazy, LazyGroup
from moonmind_appliance.cli.invocation import Invocation


@click.command(cls=Command, examples=[("First", "program one"), ("Second", "program two \\\n  --more")])
@click.pass_obj
def one(invocation: Invocation) -> None:
    """Do one thing."""
    invocation.print_result({"verbose": invocation.verbose, "env_file": str(invocation.env_file)})


GROUP = LazyGroup(
    "program",
    lazy={"one": Lazy(f"{__name__}:one", "Do one thing."), "broken": Lazy("no.such:module", "It cannot be imported.")},
)


def call(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(GROUP, list(words), obj=Invocation({}))
    return result.exit_code, result.output


def test_the_groups_help_imports_no_command() -> None:
    """In the order of declaration, each with its line."""
    code, text = call("--help")
    assert code == 0
    assert text.index("one     Do one thing.") < text.index("broken  It cannot be imported.")


def test_an_unknown_command_suggests_a_similar_one() -> None:
    """If there is one."""
    assert "Unknown command 'on'. Did you mean one?" in call("on")[1]
    code, text = call("xyz")
    assert code == 2
    assert "Did you mean" not in text


def test_examples_are_never_wrapped() -> None:
    """Each is below its purpose, and can be copied."""
    command = LazyGroup("program", lazy=GROUP.lazy, examples=[("Long", "program " + "x" * 200)])
    text = CliRunner().invoke(command, ["--help"]).output
    assert any(line.strip() == f"program {'x' * 200}" for line in text.splitlines())
    assert "Examples:\n  Long:\n" in text
