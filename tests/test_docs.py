"""README and docs agree with the code: a missing or wrong entry fails here.

`tests/api/test_docs.py` checks the page on the REST API, `tests/cli/test_docs.py` the page on the command line.
"""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import click
import pytest
from markdown_it import MarkdownIt

from moonmind_appliance.cli.program import main
from moonmind_appliance.containers.volume_lock import CHECK, LOOK, MOVE
from moonmind_appliance.in_container.protected_patterns import DEFAULT
from moonmind_appliance.models import (
    FAILURES,
    LABEL_APPLIANCE,
    LABEL_REHEARSAL,
    LABEL_REPOSITORY,
    LABEL_ROLE,
    LABEL_RUN,
    LABEL_SHARD,
    PHASE_MOVES,
    PHASE_ORDER,
    RUN_MOVES,
    ArtifactType,
    FailureCode,
    PhaseStatus,
    RunStatus,
    WaitReason,
    WhoActs,
)
from moonmind_appliance.rehearsal.scenarios import SCENARIOS
from moonmind_appliance.settings import default_of, options, show
from moonmind_appliance.store import Store
from moonmind_appliance.store.connection import Database
from tui.keys import KEYS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "moonmind_appliance"
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SCRIPTS = ("install.sh", "tests/run", "job_image/build.sh")


class Page(NamedTuple):
    """The parsed parts of a page: anchors of its headings, links and images, shell blocks, code spans."""

    anchors: set[str]
    links: list[str]
    shell: list[str]
    spans: list[str]


@cache
def read(name: str) -> Page:
    page = Page(set(), [], [], [])
    seen: dict[str, int] = {}
    tokens = MarkdownIt("commonmark").enable("table").parse((ROOT / name).read_text(encoding="utf-8"))
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "fence" and token.info.strip() in {"bash", "sh"}:
            page.shell.append(token.content)
        for child in token.children or ():
            if child.type == "code_inline":
                page.spans.append(child.content)
            elif child.type in {"link_open", "image"}:
                page.links.append(str(child.attrGet("href") or child.attrGet("src")))
        if before is not None and before.type == "heading_open":
            text = "".join(child.content for child in token.children or () if child.type in {"text", "code_inline"})
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            page.anchors.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
            seen[slug] = seen.get(slug, 0) + 1
    return page


def text(name: str, heading: str = "") -> str:
    """A page, or the section under one of its headings, up to the next heading of that level."""
    whole = (ROOT / name).read_text(encoding="utf-8")
    if not heading:
        return whole
    level = heading.split(" ", 1)[0]
    assert f"\n{heading}\n" in whole, f"{name} has no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", whole.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(name: str, heading: str = "") -> list[list[str]]:
    """The cells of all tables there, without header rows; backticks around a whole cell are removed."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text(name, heading), re.MULTILINE):
        for line in block.splitlines()[2:]:
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            found.append([re.sub(r"^`([^`]*)`$", r"\1", cell) for cell in cells])
    return found


def moves(diagram: str) -> set[tuple[str, str]]:
    """The arrows of a Mermaid state diagram, except the first one."""
    return set(re.findall(r"^\s*(\w+) --> (\w+)", diagram, re.MULTILINE))


# --- required entries -------------------------------------------------------------------------------------------------


def test_every_setting_is_documented_with_its_default_and_its_sentence() -> None:
    """With the text of `moonmind-appliance settings`; a default may have a unit (4g, 45m)."""
    documented = {cells[0]: cells[1:] for cells in rows("docs/settings.md", "## All settings")}
    assert set(documented) == set(options())
    for name, option in options().items():
        default, sentence = documented[name]
        assert sentence == option.sentence, name
        assert (option.parse(default) == default_of(name)) if default else (show(name, default_of(name)) == ""), name
        assert all(f"`{older}`" in text("docs/settings.md") for older in option.older_names), name


def test_the_protected_paths_are_documented() -> None:
    """The patterns for which `default` stands, in their order."""
    cells = [cells[1] for cells in rows("docs/settings.md", "## Protected paths")]
    assert re.findall(r"`([^`]+)`", " ".join(cells)) == list(DEFAULT)


def test_every_failure_code_is_documented_with_who_acts_and_the_next_step() -> None:
    """With the text of the run's `failure`; each code once, and no unknown code."""
    documented = [cells for cells in rows("docs/failures.md", "## Failure codes") if len(cells) == 4]
    by_code = {code: (who, next_step) for code, who, _, next_step in documented}
    assert len(by_code) == len(documented)
    assert by_code == {code.value: (kind.who_acts.value, kind.next_step) for code, kind in FAILURES.items()}


def test_every_failure_code_is_used_in_the_code() -> None:
    """The page documents no code that a run cannot end with."""
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(PACKAGE / "models") and not path.is_relative_to(PACKAGE / "rehearsal")
    )
    assert [code for code in FailureCode if not re.search(rf"FailureCode\.{code.name}\b", source)] == []


def test_every_value_of_who_acts_is_documented() -> None:
    """In a separate table."""
    named = [cells[0] for cells in rows("docs/failures.md", "## Failure codes") if len(cells) == 2]
    assert named == [who.value for who in WhoActs]


def test_every_wait_reason_is_documented_with_what_to_do() -> None:
    """And none that does not exist."""
    documented = {cells[0]: cells[1:] for cells in rows("docs/failures.md", "## What a run waits for")}
    assert set(documented) == {reason.value for reason in WaitReason}
    assert all(all(cells) for cells in documented.values())


def test_every_scenario_is_documented_with_what_it_shows_and_how_it_ends() -> None:
    """With the text of `moonmind-appliance rehearse --help`."""
    documented = {name: (shows, end) for name, shows, end in rows("docs/use.md", "### Scenarios of the rehearsal")}
    expected = {}
    for name, scenario in SCENARIOS.items():
        end = [scenario.expected.status, *([scenario.expected.failure] if scenario.expected.failure else [])]
        expected[name] = (scenario.summary, ", ".join(f"`{word.value}`" for word in end))
    assert {name: (shows, end if "," in end else f"`{end}`") for name, (shows, end) in documented.items()} == expected


def test_every_artifact_type_is_explained() -> None:
    """And none that does not exist."""
    assert {cells[0] for cells in rows("docs/use.md", "## Artifacts")} == {kind.value for kind in ArtifactType}


def test_every_phase_is_explained_in_order() -> None:
    """In a table, and in the picture."""
    assert [cells[0] for cells in rows("docs/use.md", "## Phases")] == [phase.value for phase in PHASE_ORDER]
    picture = (DOCS / "images" / "path-of-a-run.svg").read_text(encoding="utf-8")
    assert re.findall(r"\w+", picture.partition("nine phases: ")[2].partition("</desc>")[0]) == list(PHASE_ORDER)


def test_every_status_is_explained() -> None:
    """Of runs in a table, of phases in a sentence."""
    assert {cells[0] for cells in rows("docs/use.md", "## Statuses")} == {status.value for status in RunStatus}
    assert [status for status in PhaseStatus if f"`{status}`" not in text("docs/use.md", "## Phases")] == []


def test_the_diagrams_have_every_move_and_no_other() -> None:
    """Of runs and of phases."""
    run, phase = re.findall(r"```mermaid\n(.*?)```", text("docs/architecture.md", "## States"), re.DOTALL)
    assert moves(run) == {(old.value, new.value) for old, news in RUN_MOVES.items() for new in news}
    assert moves(phase) == {(old.value, new.value) for old, news in PHASE_MOVES.items() for new in news}


def test_the_layers_are_those_of_the_import_contract() -> None:
    """Top to bottom, as in `pyproject.toml`; and each package is explained."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    expected = [re.findall(r"\w+", layer) for layer in layers]
    assert [re.findall(r"\w+", cells[0]) for cells in rows("docs/architecture.md", "## Layers")] == expected
    packages = {re.sub(r"\.py$|/$", "", cells[0]) for cells in rows("docs/architecture.md", "## Packages")}
    assert packages == {package for layer in expected for package in layer}


def test_every_table_of_the_database_is_explained(tmp_path: Path) -> None:
    """And none that does not exist."""
    Store.open(tmp_path).close()
    database = Database(tmp_path / "appliance.db")
    with database.read() as connection:
        made = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    database.close()
    documented = {cells[0] for cells in rows("docs/architecture.md", "## Tables")}
    assert documented == {name for name in made if not name.startswith("sqlite_")}


@pytest.mark.parametrize(
    "label", [LABEL_APPLIANCE, LABEL_RUN, LABEL_SHARD, LABEL_ROLE, LABEL_REHEARSAL, LABEL_REPOSITORY]
)
def test_every_label_in_docker_is_explained(label: str) -> None:
    """In the table of labels."""
    assert label in {cells[0] for cells in rows("docs/architecture.md", "## Names and labels in Docker")}


def test_every_role_in_docker_is_named() -> None:
    """Each value that the code gives to the label."""
    given = {LOOK, CHECK, MOVE}
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        given |= set(re.findall(r'\brole="(\w+)"', source))
        given |= set(re.findall(r'(?:LABEL_ROLE|"moonmind\.role"): "(\w+)"', source))
        given |= set(re.findall(r'labels\((?:[^()"]*, )?"(\w+)"\)', source))
    (row,) = (row for row in rows("docs/architecture.md", "## Names and labels in Docker") if row[0] == LABEL_ROLE)
    assert len(given) > 4
    assert given - set(re.findall(r"`(\w+)`", row[1])) == set()


def test_each_decision_has_its_number() -> None:
    """The file's, the heading's and the index's are the same."""
    index = dict(re.findall(r"^\| (\d+) \| \[.*\]\((.+)\) \|$", text("docs/decisions/README.md"), re.MULTILINE))
    pages = {page.name for page in (DOCS / "decisions").glob("*.md")} - {"README.md"}
    assert set(index.values()) == pages
    for number, name in index.items():
        assert name.startswith(f"{int(number):02d}-")
        assert text(f"docs/decisions/{name}").startswith(f"# {number}. ")


def test_every_key_of_the_terminal_interface_is_documented() -> None:
    """In the words of the help screen, under the heading of its part, in the same order."""
    for where, keys in KEYS.items():
        documented = rows("docs/tui.md", f"### {where.value}")
        assert documented == [[key.shown, key.help] for key in keys], where


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_link_has_a_target(name: str) -> None:
    """A file of the checkout, and an existing heading in it."""
    broken = []
    for link in read(name).links:
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = (ROOT / name).parent.joinpath(unquote(parts.path)).resolve() if parts.path else ROOT / name
        known = target.exists() and target.is_relative_to(ROOT)
        if not known or (parts.fragment and parts.fragment not in read(str(target.relative_to(ROOT))).anchors):
            broken.append(link)
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    """In docs/README.md, which the README links; a folder's pages are in the folder's index."""
    assert "docs/README.md" in read("README.md").links
    pages = {str(page.relative_to(DOCS)) for page in (*DOCS.glob("*.md"), *DOCS.glob("*/README.md"))}
    assert pages - {"README.md"} - set(read("docs/README.md").links) == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_source_file_that_is_named_exists(name: str) -> None:
    """In the package, the checkout, or the page's folder; names that begin with a dot belong to a repository."""
    places = (PACKAGE, ROOT, (ROOT / name).parent)
    paths = [
        span for span in read(name).spans if re.fullmatch(r"\w[\w.-]*(?:/[\w.-]+)+\.(?:py|sh|toml|json|txt|in)", span)
    ]
    assert [path for path in paths if not any((place / path).exists() for place in places)] == []


# --- examples ---------------------------------------------------------------------------------------------------------


def calls(name: str, program: str) -> Iterator[list[str]]:
    """The arguments of each call of a program in the page's shell blocks and code spans."""
    lines = [line for block in read(name).shell for line in block.replace("\\\n", " ").splitlines()]
    start = re.compile(
        rf"(?:^|\$\(|\||&&|;)\s*(?:sudo\s+|docker compose (?:exec|run) (?:-\S+ )*\w+ |\w+=\S*\s+)*"
        rf"(?:\./|\S*/bin/)?{re.escape(program)}(?=$|[\s)])([^|;)#&]*)"
    )
    for piece in [*lines, *read(name).spans]:
        for match in start.finditer(piece.strip()):
            words = re.sub(r"<[^>]*>|\$\w+|…|\[[^\]]*\]", "X", match[1]).replace("'", "").replace('"', "")
            yield shlex.split(words)


def problem(words: list[str]) -> str | None:
    """The first unknown command or option in a call of `moonmind-appliance`, or None."""
    command: click.Command = main
    context = click.Context(main, info_name="moonmind-appliance")
    words = list(words)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        word = words.pop(0)
        found = command.get_command(context, word)
        if found is None:
            return None if word in {"X", "COMMAND"} else f"no command {word}"
        command = found
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h"}
    wrong = [word for word in words if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known]
    return f"no option {' '.join(wrong)} of {command.name}" if wrong else None


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_a_command_that_exists(name: str) -> None:
    """Commands and options of `moonmind-appliance`."""
    found = [(words, problem(words)) for words in calls(name, "moonmind-appliance")]
    assert [entry for entry in found if entry[1]] == []


def test_examples_are_checked() -> None:
    """The README's examples are found, and an unknown command or option is noticed."""
    assert len(list(calls("README.md", "moonmind-appliance"))) > 5
    assert problem(["runs", "submit", "--repository", "X", "--spec", "spec.md"]) is None
    assert problem(["runs", "launch"]) == "no command launch"
    assert problem(["token", "create", "--colour"]) == "no option --colour of create"


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_of_a_script_is_in_its_help(script: str) -> None:
    """Each option that the pages' examples use."""
    shown = subprocess.run([ROOT / script, "--help"], capture_output=True, text=True, check=True).stdout
    given = {word for name in NAMES for words in calls(name, script) for word in words if word.startswith("--")}
    assert [option for option in given if not re.search(rf"(?<![\w-]){option}\b", shown)] == []


def test_every_option_of_a_bench_exists() -> None:
    """Each bench is documented with its path. A file that is no program is a helper of several benches."""
    folder = ROOT / "tests" / "bench"
    programs = [
        path for path in folder.glob("*.py") if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
    ]
    sources = {path: path for path in programs} | {path.parent: path for path in folder.glob("*/__main__.py")}
    assert len(sources) > 2
    page = text("docs/contributing.md", "## Benches")
    for bench, path in sorted(sources.items()):
        call = re.search(rf"python {re.escape(str(bench.relative_to(ROOT)))}(?![\w./])(.*)", page)
        assert call, bench
        source = path.read_text(encoding="utf-8")
        assert [option for option in re.findall(r"--[\w-]+", call[1]) if f'"{option}"' not in source] == []
