"""GitHub's rules for a push, as Git's hook."""

import io

import pytest

from moonmind_appliance.rehearsal.github.push_refusals import PROTECTED_BRANCH
from moonmind_appliance.rehearsal.github.push_rules import changed_workflow, read_lines, refusal, write_lines

NEW = "a" * 40
REFUSAL = list(PROTECTED_BRANCH)


def test_lines_survive_writing_and_reading() -> None:
    """Git's pkt-lines: a length of four digits, and a flush at the end."""
    stream = io.BytesIO()
    write_lines(stream, ["version=1\0", "é"])
    assert stream.getvalue() == b"000eversion=1\x000006\xc3\xa90000"
    stream.seek(0)
    assert read_lines(stream) == ["version=1\0", "é"]
    assert read_lines(stream) == []


@pytest.mark.parametrize(
    ("ref", "rules", "refused"),
    [
        ("refs/heads/main", {"decline": REFUSAL, "workflow_scope": True}, True),
        ("refs/heads/main", {"protected": ["main"], "protection": REFUSAL, "workflow_scope": True}, True),
        ("refs/heads/topic/main", {"protected": ["main"], "protection": REFUSAL, "workflow_scope": True}, False),
        ("refs/heads/main", {"workflow_scope": True}, False),
    ],
)
def test_only_protected_branches_are_declined(ref: str, rules: dict[str, object], *, refused: bool) -> None:
    """By their full name."""
    assert (refusal(ref, NEW, rules) is not None) is refused


def test_a_deleted_branch_changes_no_workflow() -> None:
    """Git gives zeros as its new commit."""
    assert changed_workflow("0" * 40) is None
