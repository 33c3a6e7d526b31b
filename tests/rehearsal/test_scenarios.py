"""The scenarios of a rehearsal."""

from pathlib import Path

import pytest

from moonmind_appliance.models import RunStatus
from moonmind_appliance.rehearsal.openai import feature_files
from moonmind_appliance.rehearsal.scenarios import SCENARIOS, configure, write_expected_files


class StandIn:
    """Records how a scenario configures both stand-ins."""

    def __init__(self) -> None:
        self.responses: list[tuple[str, str | None, int | None]] = []
        self.faults: list[str] = []
        self.limits: list[tuple[int | None, int]] = []

    def respond_with(self, response: object, *, phase: str | None = None, times: int | None = None) -> None:
        self.responses.append((response.kind.value, phase, times))  # type: ignore[attr-defined]

    def inject(self, fault: str, *, times: int | None, retry_after: int) -> None:
        self.faults.append(fault)
        self.limits.append((times, retry_after))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_failure_has_a_code_and_a_success_has_none(name: str) -> None:
    """Only a failed run is expected to have one, and it opens no pull request."""
    expected = SCENARIOS[name].expected
    assert (expected.failure is not None) is (expected.status is RunStatus.FAILED)
    assert expected.pull_requests == (1 if expected.status is RunStatus.SUCCEEDED else 0)


def test_a_response_for_some_turns_is_followed_by_normal_ones() -> None:
    """In the order in which the stand-in uses them."""
    stand_in = StandIn()
    configure(SCENARIOS["usage-limit"], stand_in, stand_in)  # type: ignore[arg-type]
    assert [phase for _, phase, _ in stand_in.responses] == [None, "speckit-plan"]
    assert stand_in.responses[1][2] == 1
    assert stand_in.faults == []


def test_a_fault_of_github_is_injected() -> None:
    """The model responds as usual."""
    stand_in = StandIn()
    configure(SCENARIOS["push-refused"], stand_in, stand_in)  # type: ignore[arg-type]
    assert stand_in.faults == ["push-refused"]
    assert len(stand_in.responses) == 1


def test_the_tokens_of_an_app_end_during_the_run() -> None:
    """GitHub's `expires_at` decides. They work longer, so that the machine's speed does not matter."""
    lives: list[tuple[float, float]] = []

    class StandInWithApps(StandIn):
        def set_token_life(self, seconds: float, *, grace: float) -> None:
            lives.append((seconds, grace))

    stand_in = StandInWithApps()
    configure(SCENARIOS["github-app"], stand_in, stand_in)  # type: ignore[arg-type]
    assert lives == [(2.0, 3600.0)]


def test_a_fault_of_github_may_end() -> None:
    """Each occurs as often as the scenario says, and a limit lasts as long."""
    stand_in = StandIn()
    configure(SCENARIOS["github-limit"], stand_in, stand_in)  # type: ignore[arg-type]
    assert (stand_in.faults, stand_in.limits) == (["too-many-requests"], [(1, 2)])
    flaky = StandIn()
    configure(SCENARIOS["github-flaky"], flaky, flaky)  # type: ignore[arg-type]
    assert flaky.faults == ["git-refs-error", "git-fetch-error", "git-push-error"]


def test_the_expected_files_are_those_of_the_model(tmp_path: Path) -> None:
    """Then the run has nothing to change."""
    write_expected_files(tmp_path, "# Dark mode\n")
    written = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == feature_files("# Dark mode\n")
