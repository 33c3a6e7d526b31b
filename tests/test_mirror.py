"""Tests mirror the packages: who changes a module finds its rules in the test file of the same name."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TREES = {ROOT / "moonmind_appliance": ROOT / "tests", ROOT / "tui": ROOT / "tests" / "tui"}

# Modules without a test file of their own, and why.
EXCEPTIONS = {
    "moonmind_appliance/agents/adapter.py": "protocols and plain data; tests/agents tests the implementations",
    "moonmind_appliance/api/parts.py": "plain data",
    "moonmind_appliance/api/schemas.py": "plain data; tests/api/test_openapi.py holds it to the document",
    "moonmind_appliance/cli/__main__.py": "one call; tests/cli/terminal.py starts every process by it",
    "moonmind_appliance/cli/runs/access.py": "a protocol; tests/cli/runs tests both implementations at once",
    "moonmind_appliance/models/agent.py": "plain data",
    "moonmind_appliance/models/container_paths.py": "constants; job_image/README.md is their contract",
    "moonmind_appliance/models/phase_output.py": "plain data; tests/store/test_rows.py reads every type back",
    "moonmind_appliance/models/run_list.py": "plain data; tests/store/test_run_lists.py tests its meaning",
    "moonmind_appliance/oidc/status.py": "plain data",
    "moonmind_appliance/phases/git_answers.py": "plain data",
    "moonmind_appliance/phases/recorders.py": "protocols; tests/execution tests the implementations",
    "moonmind_appliance/rehearsal/environment.py": "only composes parts; every journey and rehearsal runs in it",
    "moonmind_appliance/rehearsal/github/injected.py": "names of injected values; every handler's test uses them",
    "moonmind_appliance/rehearsal/github/shapes.py": (
        "one JSON shape per function; tests/rehearsal/github/test_rest.py holds each response to GitHub's description"
    ),
}


def modules() -> Iterator[tuple[str, Path]]:
    """Each module's path in the repository, and its test file. `__init__.py` files only export names."""
    for source, tests in TREES.items():
        for path in sorted(source.rglob("*.py")):
            if path.name != "__init__.py":
                folder = tests / path.parent.relative_to(source)
                yield path.relative_to(ROOT).as_posix(), folder / f"test_{path.name}"


def test_every_module_has_a_test_file_or_a_reason() -> None:
    """Of the same name, in the folder of the same name."""
    missing = [module for module, test in modules() if not test.is_file() and module not in EXCEPTIONS]
    assert missing == []


def test_every_exception_is_needed() -> None:
    """The module exists and has no test file."""
    untested = {module for module, test in modules() if not test.is_file()}
    assert sorted(EXCEPTIONS.keys() - untested) == []


def test_every_test_file_contains_a_test() -> None:
    """An empty file would only hide that a module has none."""
    files = [test for _, test in modules() if test.is_file()]
    assert [str(file) for file in files if "def test_" not in file.read_text(encoding="utf-8")] == []
