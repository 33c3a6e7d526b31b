"""Text of a caller, an agent or a repository never blocks the process: every search takes linear time.

Python's `re` keeps the interpreter's lock while it searches, so one quadratic expression stops the whole appliance.
"""

import ast
import gc
import importlib
import io
import pkgutil
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from re import _parser as parser
from typing import Any

import pytest

import moonmind_appliance
from moonmind_appliance.cli.terminal import line
from moonmind_appliance.models import FailureCode, PhaseName
from moonmind_appliance.phases.acceptance import accept
from moonmind_appliance.phases.credential_audit import added_text
from moonmind_appliance.phases.github_failures import git_failure
from moonmind_appliance.phases.markdown import without_comments
from moonmind_appliance.phases.specification import clarifications, section, title
from moonmind_appliance.phases.template import is_unfilled
from moonmind_appliance.printable import escape, escape_json, invisible, is_blank, replace, strip
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.token_shapes import Anchored

PACKAGE = Path(moonmind_appliance.__file__).parent
SIZES = (4 * 1024, 16 * 1024, 64 * 1024)
READER_SIZES = (2 * 1024, 8 * 1024, 32 * 1024)
# Below this a measurement is noise, and a quadratic search of 16 KiB is well above it.
NOTICEABLE_SECONDS = 0.004
# Four times the text: 4 for a linear search, 16 for a quadratic one.
MOST_GROWTH = 8.0
# Linear with a large factor blocks the process, too. A busy machine is several times slower.
MOST_SECONDS_PER_BYTE = 2e-6
MOST_SECONDS_PER_BYTE_READ = 2e-5

FILLS = [" ", "\n", "\t", "a", "0", "A", "_", "-", "*", "#", "[", "(", ":", "/", ".", "\\", '"', "'", "@", "=", "\x1b["]
KNOWN_ATTACKS = [
    "<!--",
    "<!-- a -",
    "-eyJ",
    ".eyJ",
    "eyJaaaaaaaaaa.",
    "-eyJaaaaaaaa.eyJaaaaaaaa",
    "[NEEDS CLARIFICATION: ",
    "[NEEDS CLARIFICATION",
    "- [ ] ",
    "- [ ] T",
    "# a ",
    "## a\n",
    "-----BEGIN PRIVATE KEY-----",
    "://a:bb",
    "authorization: bearer ",
    '_token": "',
    "fixes ",
    "&#",
    "\x1b]",
]


Operation = str
"""How an expression is used: `search` represents every use that tries each position of the text."""


def modules() -> list[str]:
    found = pkgutil.walk_packages([str(PACKAGE)], "moonmind_appliance.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def patterns_in(value: object, depth: int = 0) -> Iterator[re.Pattern[Any]]:
    """Compiled expressions in a value, at any depth of tuples, lists, sets and dicts."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, Anchored):
        yield value.expression
    elif isinstance(value, partial):
        yield from patterns_in(value.args, depth)
    elif isinstance(value, dict | tuple | list | set | frozenset) and depth < 5:
        for item in value.items() if isinstance(value, dict) else value:
            yield from patterns_in(item, depth + 1)


def operations(variable: str, source: str) -> set[Operation]:
    """The methods that a module calls on a named expression; all of them if that is not visible."""
    used = set(re.findall(rf"\b{variable}\.(\w+)", source)) - {"pattern"}
    return used if used and used <= {"match", "fullmatch"} else {"search"}


def inline_patterns(source: str) -> Iterator[tuple[re.Pattern[Any], Operation]]:
    """Expressions in a call such as `re.search(r"…", text)`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="re"), attr=operation),
                args=[ast.Constant(value=str() | bytes() as expression), *_],
            ) if operation not in {"compile", "escape"}:
                multiline = "MULTILINE" in ast.unparse(node)
                yield re.compile(expression, re.MULTILINE if multiline else 0), operation


def every_pattern() -> dict[str, tuple[re.Pattern[Any], set[Operation]]]:
    found: dict[tuple[object, int], tuple[str, re.Pattern[Any], set[Operation]]] = {}

    def keep(name: str, pattern: re.Pattern[Any], used: set[Operation]) -> None:
        known = found.get((pattern.pattern, pattern.flags), (name, pattern, set()))
        found[pattern.pattern, pattern.flags] = (known[0], pattern, known[2] | used)

    for name in modules():
        module = importlib.import_module(name)
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        for variable, value in vars(module).items():
            for number, pattern in enumerate(patterns_in(value)):
                keep(f"{name}.{variable}.{number}", pattern, operations(variable, source))
        for number, (pattern, operation) in enumerate(inline_patterns(source)):
            keep(f"{name}:{number}", pattern, {operation})
    return {name: (pattern, used) for name, pattern, used in found.values()}


def literals(pattern: re.Pattern[Any]) -> list[str]:
    """The literal strings of an expression, in order."""
    runs: list[str] = [""]

    def walk(item: object) -> None:
        if isinstance(item, parser.SubPattern):
            for operation, argument in item:
                if str(operation) == "LITERAL":
                    runs[-1] += chr(argument)
                else:
                    runs.append("")
                    walk(argument)
        elif isinstance(item, tuple | list):
            for part in item:
                walk(part)

    walk(parser.parse(pattern.pattern, pattern.flags & ~re.LOCALE))
    return list(dict.fromkeys(run for run in runs if run))


def attacks(own: list[str]) -> Iterator[tuple[str, str, str]]:
    """Prefix, repeated part, suffix."""
    for unit in [*FILLS, *KNOWN_ATTACKS]:
        yield "", unit, ""
    for literal in own:
        for separator in ("", " ", "-", "\n", "a"):
            yield "", literal + separator, ""
        for fill in (" ", "a", "\n", "-", "0"):
            yield f"{literal}a", fill, "!"
            yield literal, fill, "\n"
    for together in filter(None, ["".join(own)]):
        yield "", together, ""
        yield "", f"{together} ", ""
    for fill in (" ", "\t", "#"):
        yield "# a", fill, "b"
        yield "- a", fill, "b"


def attack(parts: tuple[str, str, str], size: int) -> str:
    prefix, unit, suffix = parts
    return prefix + unit * (size // len(unit)) + suffix


def fastest(search: Callable[[Any], object], text: object, times: int = 3) -> float:
    """Seconds of this thread's processor time, the minimum of some tries, so that other load does not count.

    Nor does the garbage collector, as in `timeit`: it visits all objects of the process, and only for a longer text.
    """
    took = []
    gc.disable()
    try:
        for _ in range(times):
            began = time.thread_time()
            search(text)
            took.append(time.thread_time() - began)
            if took[-1] < NOTICEABLE_SECONDS:
                break
    finally:
        gc.enable()
    return min(took)


def why_slow(
    search: Callable[[Any], object],
    make: Callable[[int], object],
    sizes: tuple[int, ...] = SIZES,
    most_per_byte: float = MOST_SECONDS_PER_BYTE,
) -> str:
    """Empty if the search takes linear time with a small factor."""
    before = 0.0
    for size in sizes:
        took = fastest(search, make(size), 1)
        if took > MOST_GROWTH * max(before, NOTICEABLE_SECONDS) or took > size * most_per_byte:
            took = fastest(search, make(size))
        if took < NOTICEABLE_SECONDS and size > sizes[0]:
            return ""
        if took > size * most_per_byte and (size == sizes[-1] or took > 4 * size * most_per_byte):
            return f"{took:.3f} s for {size} bytes"
        if before >= NOTICEABLE_SECONDS and took / before > MOST_GROWTH:
            return f"{took:.3f} s for {size} bytes, {took / before:.0f} times of what a quarter took"
        before = took
    return ""


def use(pattern: re.Pattern[Any], used: set[Operation]) -> Callable[[Any], object]:
    """Do with a text what the package does with it."""
    if used <= {"match", "fullmatch"}:
        return lambda text: [getattr(pattern, operation)(text) for operation in used]
    return lambda text: sum(1 for _ in pattern.finditer(text))


def test_known_quadratic_expressions_are_found() -> None:
    """This check can fail: on a blank run, an unfinished comment, a token's prefix, a marker."""
    for expression, parts in [
        (r"^#\s+(.+?)\s*$", ("# a", " ", "b")),
        (r"<!--.*?-->", ("", "<!--", "")),
        (r"\beyJ[A-Za-z0-9_-]{8,8192}\.eyJ", ("", "-eyJ", "")),
        (r"\[NEEDS CLARIFICATION:?\s*([^\]]*)\]", ("", "[NEEDS CLARIFICATION", "")),
        (r"^\s*[-*] \[ \]", ("", "\n", "")),
    ]:
        search = use(re.compile(expression, re.DOTALL | re.MULTILINE), {"search"})
        assert why_slow(search, lambda size, parts=parts: attack(parts, size)), expression


PATTERNS = every_pattern()


def test_all_expressions_are_found() -> None:
    """In modules, in tables and in calls."""
    assert len(PATTERNS) > 50
    for known in ("moonmind_appliance.runs.submit._BRANCH_REFUSALS.3", "moonmind_appliance.settings.values:0"):
        assert known in PATTERNS


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_every_expression_takes_linear_time(name: str) -> None:
    """Of every module: on blanks, repeated prefixes, and its own literals repeated and cut."""
    pattern, used = PATTERNS[name]
    search, binary = use(pattern, used), isinstance(pattern.pattern, bytes)

    def make(parts: tuple[str, str, str], size: int) -> str | bytes:
        text = attack(parts, size)
        return text.encode("latin-1", "replace") if binary else text

    for parts in dict.fromkeys(attacks(literals(pattern))):
        slow = why_slow(search, lambda size, parts=parts: make(parts, size))
        assert not slow, f"{pattern.pattern!r} on {parts}: {slow}"


def redacted_as_a_stream(text: bytes) -> None:
    stream = REDACTOR.stream(io.BytesIO())
    for begin in range(0, len(text), 1000):
        stream.write(text[begin : begin + 1000])
    stream.flush()


JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0xx" + "A1b2" * 200 + ".c2lnbmF0dXJl"
REDACTOR = Redactor({"canary": "Tk9-very.secret/value", "periodic": "abab-" * 200, "token": JWT})

READERS: dict[str, Callable[[str], object]] = {
    "title": title,
    "section": lambda text: section(text, "Assumptions"),
    "clarifications": clarifications,
    "comments": without_comments,
    "unfilled": lambda text: is_unfilled(text, text + "x"),
    "tasks": lambda text: accept(PhaseName.SPECKIT_TASKS, "tasks.md", text, "a [placeholder]"),
    "redact": REDACTOR.redact_text,
    "find": lambda text: REDACTOR.find(text.encode()),
    "stream": lambda text: redacted_as_a_stream(text.encode()),
    "patch": lambda text: added_text(text.encode()),
    "printable": lambda text: (escape(text), strip(text), invisible(text), is_blank(text)),
    "printable JSON": lambda text: (escape_json(text), replace(text)),
    "terminal": line,
    "git": lambda text: git_failure(text, FailureCode.CLONE_FAILED, "clone", pushing=True),
}
"""What reads a text of a caller, an agent or a repository."""


@pytest.mark.parametrize("name", READERS)
def test_every_reader_of_external_text_takes_linear_time(name: str) -> None:
    """Whole functions, including loops, on all the attacks."""
    own = ["## Assumptions", "[NEEDS CLARIFICATION: a]", "[first step]", "- [ ] T001", "<!-- -->", JWT, "abab-"]
    own += ["ghp_" + "a1B2" * 9, "-----BEGIN PRIVATE KEY-----\n", "AKIAABCDEFGH23456723 ", "\x1b]0;", "\u202e", "+a\n"]
    own += ["-rt_aB3x", " sk-aB3xK9", "-ghs_1_eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0", "glpat-aB3 ", "://x:yyyy@"]
    own += ["Permission to ", "Remote branch ", "Repository ", "remote: refusing to allow "]
    own += ['-----BEGIN PRIVATE KEY-----" + "', "xoxb-1234567890-", "AKIA", "-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.aB3"]
    for parts in dict.fromkeys(attacks(own)):
        slow = why_slow(
            READERS[name], lambda size, parts=parts: attack(parts, size), READER_SIZES, MOST_SECONDS_PER_BYTE_READ
        )
        assert not slow, f"{name} on {parts}: {slow}"


@pytest.mark.parametrize(("unit", "megabytes"), [("x", 64), ("-eyJ", 16)])
def test_an_endless_line_does_not_block_other_threads(unit: str, megabytes: int) -> None:
    """While one thread redacts it, another continues: one search of all of it would take half a minute."""
    text = (unit * (megabytes * 1024**2 // len(unit))).encode()
    done = threading.Event()

    def redact() -> None:
        REDACTOR.redact(text)
        done.set()

    worker = threading.Thread(target=redact)
    worker.start()
    longest, last = 0.0, time.monotonic()
    while not done.wait(0.002):
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    worker.join()
    assert longest < 5
