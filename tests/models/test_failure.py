"""Failure codes are stable, complete, and none of them is only on paper."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import moonmind_appliance
from moonmind_appliance.models import FAILURES, Failure, FailureCode, WhoActs, failure

PACKAGE = Path(moonmind_appliance.__file__).parent


def test_every_code_says_who_acts_and_what_comes_next() -> None:
    """In a sentence, in the order of the codes."""
    assert list(FAILURES) == list(FailureCode)
    for kind in FAILURES.values():
        assert kind.who_acts in WhoActs
        assert re.match(r"[A-Z]", kind.next_step)
        assert kind.next_step.endswith(".")


@pytest.mark.parametrize("code", FailureCode)
def test_every_code_is_given_somewhere(code: FailureCode) -> None:
    """A code that nothing produces is a promise that nobody keeps."""
    users = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if path.name != "failure.py" and re.search(rf"\bFailureCode\.{code.name}\b", path.read_text(encoding="utf-8"))
    ]
    assert users


@pytest.mark.parametrize("code", FailureCode)
def test_a_code_is_its_name_in_small_letters(code: FailureCode) -> None:
    """So that it can be searched for, and never drifts."""
    assert code.value == code.name.lower()


def test_a_case_that_knows_better_names_another_who_acts() -> None:
    """The next step and the code stay; a time to come back is kept."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    made = failure(FailureCode.PUSH_REJECTED, "why", retry_at=at, who_acts=WhoActs.SUBMITTER)
    step = FAILURES[FailureCode.PUSH_REJECTED].next_step
    assert made == Failure(FailureCode.PUSH_REJECTED, WhoActs.SUBMITTER, "why", step, at)
    assert failure(FailureCode.PUSH_REJECTED, "why").who_acts is WhoActs.GITHUB_ADMIN
