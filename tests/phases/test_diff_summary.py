"""The change as a page of Markdown."""

from typing import Any

import pytest
from msgspec import UNSET

from moonmind_appliance.models import LeftOutPath, PathWarning
from moonmind_appliance.phases.diff_summary import cell, diff_summary, file_row
from moonmind_appliance.phases.git_answers import ChangedFile, Size, StagedChange
from tests.phases.contexts import make_context


def staged(**fields: Any) -> StagedChange:
    known = {
        "base_commit": "b" * 40,
        "commit": "c" * 40,
        "changed": True,
        "patch_bytes": 1,
        "files": [ChangedFile("a.md", "A", 3, 0)],
        "file_count": 1,
        "left_out": [],
        "left_out_count": 0,
        "nested_repositories_removed": [],
        "nested_repository_count": 0,
        "size": Size(1000, 10, 0, 2**50, 2**30),
    }
    return StagedChange(**(known | fields))


def lines(**fields: Any) -> list[str]:
    return [line for line in diff_summary(make_context(), staged(**fields)).splitlines() if line]


def test_the_page_names_base_branch_and_files() -> None:
    """A table row for each changed file."""
    assert lines() == [
        "# Change of run 0f3a9c1e-0000-4000-8000-000000000000",
        f"Base: `main` at `{'b' * 40}`",
        "Branch: `speckit/20260301/0f3a9c1e`",
        "| file | status | added | removed |",
        "| --- | --- | ---: | ---: |",
        "| `a.md` | added | 3 | 0 |",
    ]


def test_no_change() -> None:
    """The page says so, without a table."""
    assert lines(changed=False, files=[], file_count=0)[-1] == "No change: the tree is identical to the base."


def test_files_beyond_the_bounds_are_counted() -> None:
    """Of changed files, omitted files and nested repositories."""
    page = lines(
        file_count=4,
        left_out=[LeftOutPath("x.key", "a secret")],
        left_out_count=3,
        warnings=[PathWarning("a.bin", "Git LFS is not applied")],
        warning_count=5,
        nested_repositories_removed=["sub"],
        nested_repository_count=6,
    )
    assert page[6:] == [
        "… and 3 more.",
        "Left out of the commit:",
        "- `x.key`: a secret",
        "… and 2 more.",
        "Check these files:",
        "- `a.bin`: Git LFS is not applied",
        "… and 4 more.",
        "Nested Git repositories removed before the commit:",
        "- `sub`",
        "… and 5 more.",
    ]


@pytest.mark.parametrize(
    ("file", "row"),
    [
        (ChangedFile("a", "M", 1, 2), "| `a` | modified | 1 | 2 |"),
        (ChangedFile("a", "D", None, None), "| `a` | deleted | binary | binary |"),
        (ChangedFile("a", "X", UNSET, UNSET), "| `a` | X | ? | ? |"),
    ],
)
def test_a_row_without_counts(file: ChangedFile, row: str) -> None:
    """Binary files and changes that are too large to count have none."""
    assert file_row(file) == row


def test_a_path_cannot_leave_its_cell() -> None:
    """No backtick, no column separator, and no character that changes the direction of text."""
    shown = cell("a`b|c\u202egpj")
    assert "`" not in shown
    assert "\u202e" not in shown
    assert shown.startswith("a'b\\|c")
