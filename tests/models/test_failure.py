"""Failure codes are stable, documented and used."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import moonmind_appliance
from moonmind_appliance.models import FAILURES, Failure, FailureCode, WhoActs, failure

PACKAGE = Path(moonmind_appliance.__file__).parent


def test_every_code_has_who_acts_and_a_next_step() -> None:
    """A sentence each, in the order of the codes."""
    assert list(FAILURES) == list(FailureCode)
    for kind in FAILURES.values():
        assert kind.who_acts in WhoActs
        assert re.match(r"[A-Z]", kind.next_step)
        assert kind.next_step.endswith(".")


@pytest.mark.parametrize("code", FailureCode)
def test_every_code_is_used(code: FailureCode) -> None:
    """An unused code would be a false promise."""
    users = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if path.name != "failure.py" and re.search(rf"\bFailureCode\.{code.name}\b", path.read_text(encoding="utf-8"))
    ]
    assert users


@pytest.mark.parametrize("code", FailureCode)
def test_a_code_is_its_name_in_lower_case(code: FailureCode) -> None:
    """It can be searched for."""
    assert code.value == code.name.lower()


def test_a_step_that_sets_the_token_also_names_the_app() -> None:
    """With a GitHub App, GITHUB_TOKEN must not be set: the appliance would not start."""
    steps = [kind.next_step for kind in FAILURES.values() if "GITHUB_TOKEN" in kind.next_step]
    assert len(steps) > 1
    assert [step for step in steps if not re.search(r"GITHUB_APP_ID|\bApp\b", step)] == []


def test_a_case_can_name_another_who_acts() -> None:
    """Code and next step are unchanged; a retry time is kept."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    made = failure(FailureCode.PUSH_REJECTED, "why", retry_at=at, who_acts=WhoActs.SUBMITTER)
    step = FAILURES[FailureCode.PUSH_REJECTED].next_step
    assert made == Failure(FailureCode.PUSH_REJECTED, WhoActs.SUBMITTER, "why", step, at)
    assert failure(FailureCode.PUSH_REJECTED, "why").who_acts is WhoActs.GITHUB_ADMIN
