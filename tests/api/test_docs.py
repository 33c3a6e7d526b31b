"""docs/api.md is complete: a route, field, code or metric that it does not name fails here."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moonmind_appliance.api import schemas
from moonmind_appliance.api.problems import PROBLEMS, Problem
from moonmind_appliance.models import (
    FAILURES,
    ArtifactType,
    LoginState,
    PhaseName,
    PhaseStatus,
    RunStatus,
    WaitReason,
)
from moonmind_appliance.runs.submit import SubmitRequest
from tests.api.served import BASE, Served

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
ANSWERS = [
    struct
    for struct in vars(schemas).values()
    if isinstance(struct, type) and issubclass(struct, msgspec.Struct) and struct.__module__ == schemas.__name__
]


def section(title: str) -> str:
    """The text under a heading of the page."""
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def row(code: str, title: str) -> list[str]:
    """The cells of a code's row in that section's table."""
    match = re.search(rf"^\| `{code}` \|(.*)\|$", section(title), re.MULTILINE)
    assert match, f"{code} has no row under {title}"
    return [cell.strip() for cell in match[1].split(" | ")]


def documented(word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", PAGE) is not None


@pytest.fixture(scope="module")
def document(shared: Served) -> dict[str, Any]:
    found: dict[str, Any] = shared.client(None).get("/schema/openapi.json").json()
    return found


def test_every_route_has_its_heading(document: dict[str, Any]) -> None:
    """A heading has the method and path of each route, and no heading names a missing route."""
    routes = {
        f"{method.upper()} {path.removeprefix(BASE)}" for path, item in document["paths"].items() for method in item
    }
    headings = set(re.findall(r"^##+ .*?`((?:GET|POST|PUT|DELETE) [^`]+)`$", PAGE, re.MULTILINE))
    assert headings == routes | {"GET /schema"}


def test_every_parameter_and_status_of_a_route_is_named(document: dict[str, Any]) -> None:
    """The route's section names its query parameters, its headers, and each status that is not common to all routes."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            heading = re.search(rf"^##+ .*`{method.upper()} {re.escape(path.removeprefix(BASE))}`$", PAGE, re.MULTILINE)
            assert heading
            text = re.split(r"^##+ ", PAGE[heading.end() :], maxsplit=1, flags=re.MULTILINE)[0]
            for parameter in operation.get("parameters", []):
                assert parameter["in"] == "path" or f"`{parameter['name']}" in text, parameter["name"]
            for status in operation["responses"]:
                assert int(status) >= 400 or f"**{status}**" in text, f"{path} {status}"


def test_every_problem_code_is_documented_with_its_status_and_title() -> None:
    """Status and title are those of the table in the code."""
    for code, kind in PROBLEMS.items():
        status, title, advice = row(code, "Errors")
        assert (int(status), title) == (kind.status, kind.title)
        assert advice.endswith((".", ")."))


def test_no_unknown_problem_code_is_documented() -> None:
    """This includes the codes in the routes' sections."""
    assert set(re.findall(r"^\| `([a-z_]+)` \| \d{3} \|", PAGE, re.MULTILINE)) == set(PROBLEMS)
    for status, codes in re.findall(r"\b([45]\d\d) ((?:`[a-z_]+`\s?)+)", PAGE):
        for code in re.findall(r"`([a-z_]+)`", codes):
            assert PROBLEMS[code].status == int(status), code


def test_every_failure_code_is_documented_with_who_acts_and_the_next_step() -> None:
    """The texts are those of the run."""
    for code, kind in FAILURES.items():
        assert row(code.value, "Failure codes") == [kind.who_acts.value, kind.next_step]


@pytest.mark.parametrize("struct", [*ANSWERS, SubmitRequest, Problem])
def test_every_field_is_named(struct: type[msgspec.Struct]) -> None:
    """The page names the fields of the request, of every answer and of an error."""
    assert [name for name in struct.__struct_fields__ if not documented(name)] == []


@pytest.mark.parametrize("enum", [RunStatus, PhaseName, PhaseStatus, ArtifactType, WaitReason, LoginState])
def test_every_value_is_named(enum: type[StrEnum]) -> None:
    """The page names all statuses, phases, types and reasons."""
    assert [value for value in enum if f"`{value}`" not in PAGE] == []


def test_the_examples_use_routes_that_exist(document: dict[str, Any]) -> None:
    """Each path after $BASE is a route's."""
    paths = [re.sub(r"\{\w+\}", "[^/]+", path.removeprefix(BASE)) for path in document["paths"]]
    used = set(re.findall(r'"\$BASE(/[^"?]*)', PAGE))
    assert len(used) > 5
    assert [address for address in used if not any(re.fullmatch(path, address) for path in paths)] == []
