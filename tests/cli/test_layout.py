"""Tables and facts fit any terminal, and break no word that fits."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

from moonmind_appliance.cli.layout import wrap
from moonmind_appliance.cli.terminal import facts, table

WORDS = ["moonmind/spec-automation-job", "codex-0@rehearsal.example", "login-shard", "2", "waits", "für", "コード"]


def shown(what: RenderableType, width: int) -> list[str]:
    written = io.StringIO()
    Console(file=written, width=width, color_system=None).print(what)
    return written.getvalue().splitlines()


def findings() -> RenderableType:
    made = table("", "CHECK", "SEEN", "TO DO", right={"SEEN"}, below="TO DO")
    made.add_row("✔", "job image", " ".join(WORDS), "")
    made.add_row(Text("✖", "red"), "login of shard 2", "Not signed in.", "moonmind-appliance login-shard 2")
    return made


def shards() -> RenderableType:
    made = table("SHARD", "ACCOUNT", "PLAN", "NOW", optional=("PLAN",))
    made.add_row("0", WORDS[1], "a plan with a long name", "run 5b0c6a5e")
    return made


def run() -> RenderableType:
    return facts([("repository", WORDS[0]), ("next step", " ".join(WORDS)), ("reference", "")])


@pytest.mark.parametrize("width", [60, 80, 120, 200, 4096])
@pytest.mark.parametrize("make", [findings, shards, run])
def test_every_line_fits_and_no_word_is_broken(make: object, width: int) -> None:
    """A word that fits the terminal is on one line, whatever the width."""
    assert callable(make)
    lines = shown(make(), width)
    assert [line for line in lines if cell_len(line) > width or line != line.rstrip()] == []
    found = {word for line in lines for word in line.split()}
    words = set(WORDS) if make is findings else {WORDS[1]} if make is shards else {WORDS[0], *WORDS}
    assert words - found == set()


@pytest.mark.parametrize("width", [3, 20, 44])
@pytest.mark.parametrize("make", [findings, shards, run])
def test_a_narrow_terminal_is_never_exceeded_by_a_table(make: object, width: int) -> None:
    """Values are broken where they must be; only the names of facts and of list entries need their width."""
    assert callable(make)
    assert max(cell_len(line) for line in shown(make(), width)) <= max(width, 16)


def test_what_to_do_goes_below_before_the_table_becomes_a_list() -> None:
    """At 200 columns each finding is one line."""
    assert len(shown(findings(), 200)) == 4
    assert "→ moonmind-appliance login-shard 2" in " ".join(shown(findings(), 70))


def test_optional_columns_are_left_out_before_the_table_becomes_a_list() -> None:
    """The columns that people need stay."""
    assert shown(shards(), 80)[0].split() == ["SHARD", "ACCOUNT", "PLAN", "NOW"]
    assert shown(shards(), 50)[0].split() == ["SHARD", "ACCOUNT", "NOW"]
    assert shown(shards(), 41)[2:] == ["0      codex-0@              run 5b0c6a5e", "       rehearsal.example"]
    assert shown(shards(), 30) == [
        "SHARD    0",
        "ACCOUNT  codex-0@",
        "         rehearsal.example",
        "PLAN     a plan with a long",
        "         name",
        "NOW      run 5b0c6a5e",
    ]


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("a bc def", 4, ["a bc", "def"]),
        ("https://github.com/acme/shop/pull/12", 20, ["https://github.com/", "acme/shop/pull/12"]),
        ("see abcdefgh", 5, ["see a", "bcdef", "gh"]),
        ("コードコード", 4, ["コー", "ドコ", "ード"]),
        ("one\n\ntwo", 9, ["one", "", "two"]),
        ("", 5, [""]),
    ],
)
def test_a_line_is_broken_at_spaces_then_at_slashes_then_anywhere(text: str, width: int, lines: list[str]) -> None:
    """Widths are cells: a wide character takes two."""
    assert [line.plain for line in wrap(Text(text), width)] == lines


def test_parts_keep_their_style() -> None:
    """Also across a break."""
    first, second = wrap(Text.assemble(("red ", "red"), ("bold", "bold")), 5)
    assert ([span.style for span in first.spans], [span.style for span in second.spans]) == (["red"], ["bold"])
