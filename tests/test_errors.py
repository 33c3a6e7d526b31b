"""The error tree matches its drawing, and every error says what was wrong and what to do."""

import re

import pytest

from moonmind_appliance import errors
from moonmind_appliance.errors import (
    ApplianceError,
    EngineError,
    GitHubError,
    InterruptReason,
    NameTaken,
    NotFound,
    RequestError,
    RunInterrupted,
    SettingProblem,
    SettingsError,
    TooMany,
    Unavailable,
)


def tree(kind: type[BaseException], depth: int = 0) -> list[tuple[int, str]]:
    """Each class of the module below `kind`, with its depth, in order of definition."""
    below = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    return [(depth, kind.__name__), *(entry for each in below for entry in tree(each, depth + 1))]


def test_the_tree_matches_its_drawing() -> None:
    """The module's docstring has every class in its place."""
    branch = re.compile(r"^((?:[│├└─ ]{4})*)([A-Z]\w+)(?:\s{2,}|$)", re.MULTILINE)
    drawn = [(len(match[1]) // 4, match[2]) for match in branch.finditer(errors.__doc__ or "")]
    assert drawn == tree(ApplianceError)


def test_every_kind_of_error_has_a_docstring() -> None:
    """One each."""
    for _, name in tree(ApplianceError):
        assert getattr(errors, name).__doc__


def test_an_error_reads_as_what_was_wrong_and_what_to_do() -> None:
    """The hint is optional."""
    assert str(ApplianceError("The disk is full.", hint="Make room.")) == "The disk is full. Make room."
    assert str(ApplianceError("The disk is full.")) == "The disk is full."


def requests(kind: type[RequestError]) -> list[type[RequestError]]:
    return [kind, *(below for each in kind.__subclasses__() for below in requests(each))]


@pytest.mark.parametrize("kind", [kind for kind in requests(RequestError) if kind.__module__ == errors.__name__])
def test_each_request_error_has_a_status_and_a_stable_code(kind: type[RequestError]) -> None:
    """The code of its kind, unless the case has its own."""
    assert 400 <= kind.status < 600
    assert re.fullmatch(r"[a-z_]+", kind.default_code)
    if kind in {Unavailable, TooMany}:
        assert kind("x", code="own_code", retry_after=60).code == "own_code"  # type: ignore[call-arg]
    else:
        assert kind("x").code == kind.default_code
        assert kind("x", code="own_code").code == "own_code"


def test_no_two_request_errors_share_a_status_but_for_the_root() -> None:
    """The API maps each class to one status."""
    statuses = [kind.status for kind in requests(RequestError)[1:] if kind.__module__ == errors.__name__]
    assert len(statuses) == len(set(statuses))
    assert NotFound.status == 404


def test_a_taken_name_reports_its_holder() -> None:
    """With its labels, in order; a holder that was just removed is unknown."""
    taken = NameTaken("codex_auth_0-in-use", {"moonmind.run": "r1", "moonmind.role": "agent"}, running=True)
    assert isinstance(taken, EngineError)
    assert (
        str(taken) == "The container name codex_auth_0-in-use is already in use (moonmind.role=agent, moonmind.run=r1)."
    )
    assert "(unknown)" in str(NameTaken("x", {}, running=False))


def test_all_setting_problems_are_in_the_message() -> None:
    """One line each, with the name first."""
    error = SettingsError([SettingProblem("A", "is bad.", "Mend it."), SettingProblem("B", "too.", "Also.")])
    assert str(error).splitlines() == [
        "2 settings cannot be used:",
        "  A: is bad. Mend it.",
        "  B: too. Also.",
    ]


def test_githubs_response_is_kept() -> None:
    """Status, messages and retry time; without a response there is no status."""
    assert GitHubError("x", status=None).status is None
    assert GitHubError("x", status=422, errors=["a", "b"]).errors == ("a", "b")


@pytest.mark.parametrize("reason", InterruptReason)
def test_an_interruption_has_its_reason(reason: InterruptReason) -> None:
    """As a stable code."""
    assert RunInterrupted(reason).reason is reason
    assert reason.value in str(RunInterrupted(reason))
