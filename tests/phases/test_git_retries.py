"""Git's calls to GitHub are repeated while GitHub does not respond: a fake container, and Git's real messages."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from moonmind_appliance.errors import InterruptReason, RunInterrupted
from moonmind_appliance.models import ExecSpec, FailureCode, PhaseName
from moonmind_appliance.phases.git_answers import PushAnswer
from moonmind_appliance.phases.git_retries import GitHubAnswer, GitHubVerb, call_github
from moonmind_appliance.phases.start_job_container import git_spec
from tests.containers.fake import FakeEngine
from tests.containers.fake_exec import FakeExec
from tests.in_container.sent import program_of
from tests.phases.contexts import OnlyToken, RecordedEvents, make_context

DOWN = "fatal: unable to access 'http://x/acme/shop.git/': The requested URL returned error: 502"
LIMIT = "fatal: unable to access 'http://x/acme/shop.git/': The requested URL returned error: 429"
DENIED = "fatal: Authentication failed for 'http://x/acme/shop.git/'"
PATIENT = (0.0, 0.0, 0.0)
PUSH = GitHubVerb("push", PhaseName.COMMIT_PUSH, {"commit": "c" * 40}, FailureCode.PUSH_REJECTED, "push x")


class Called:
    """The outputs of the verb's calls, in order; the last one repeats. "" is a success."""

    def __init__(
        self, *outputs: str, github: Any = None, events: RecordedEvents | None = None, **settings: Any
    ) -> None:
        self.calls: list[ExecSpec] = []
        self.events = events or RecordedEvents()
        self._outputs = list(outputs)
        engine = FakeEngine()
        engine.on_exec(lambda _, spec: program_of(spec) == "git_push", self._run)
        self.context = make_context(
            engine=engine, events=self.events, github=github or OnlyToken(pauses=PATIENT), settings=settings
        )
        engine.ensure_volume(self.context.names.workspace_volume, {})
        engine.ensure_volume(self.context.names.git_volume, {})
        engine.ensure_network(self.context.settings.job_network, {})
        engine.start(git_spec(self.context))

    def _run(self, process: FakeExec) -> int:
        self.calls.append(process.spec)
        output = self._outputs.pop(0) if len(self._outputs) > 1 else self._outputs[0]
        if output:
            process.stderr.write(output.encode())
            return 1
        process.stdout.write(msgspec.json.encode(PushAnswer(pushed=True, commit="c" * 40)) + b"\n")
        return 0

    def push(self) -> GitHubAnswer[PushAnswer]:
        with self.context.logs(PhaseName.COMMIT_PUSH) as logs:
            return call_github(self.context, PUSH, PushAnswer, logs)


def test_an_outage_is_tried_again_with_an_event_each_time() -> None:
    """With phase, attempt, pause and Git's message; then it succeeds."""
    called = Called(DOWN, DOWN, "")
    answer = called.push()
    assert answer.result == PushAnswer(pushed=True, commit="c" * 40)
    assert (answer.failure, answer.outage, len(called.calls)) == (None, False, 3)
    assert [kind for kind, _ in called.events.events] == ["run.git_retried"] * 2
    _, data = called.events.events[1]
    assert (data["phase"], data["attempt"], data["pause"]) == ("commit_push", 2, 0.0)
    assert data["why"].startswith("git failed to push x. Its output: fatal: unable to access")


def test_an_outage_that_lasts_is_reported_after_the_last_pause() -> None:
    """The run must wait."""
    called = Called(DOWN)
    answer = called.push()
    assert answer.failure is not None
    assert (answer.failure.code, answer.outage, len(called.calls)) == (FailureCode.GITHUB_UNREACHABLE, True, 4)


def test_a_rate_limit_is_not_tried_again() -> None:
    """Git does not show when it ends: the run waits at once."""
    called = Called(LIMIT)
    answer = called.push()
    assert answer.failure is not None
    assert (answer.failure.code, answer.outage, len(called.calls)) == (FailureCode.GITHUB_RATE_LIMITED, True, 1)
    assert called.events.events == []


@pytest.mark.parametrize("stderr", [DENIED, "fatal: bad object"])
def test_an_error_that_no_repetition_cures_is_not_tried_again(stderr: str) -> None:
    """A refusal, and a failure of Git itself."""
    called = Called(stderr)
    answer = called.push()
    assert (answer.outage, len(called.calls)) == (False, 1)


SLOW = OnlyToken(pauses=(3600.0,))
"""Pauses that no test waits for."""


def test_a_cancel_ends_the_pause() -> None:
    """Nothing is called any more."""

    class Cancelling(RecordedEvents):
        """Cancels the run when the pause begins."""

        def record(self, kind: str, data: Mapping[str, object]) -> None:
            called.context.cancel.cancel(InterruptReason.CANCELLED)

    called = Called(DOWN, github=SLOW, events=Cancelling(), git_time_limit=86400)
    with pytest.raises(RunInterrupted):
        called.push()
    assert len(called.calls) == 1


def test_all_attempts_together_have_the_time_limit_of_git() -> None:
    """A pause that would exceed it is not begun, and the outage is reported."""
    called = Called(DOWN, github=SLOW, git_time_limit=60)
    assert called.push().outage
    (call,) = called.calls
    assert call.time_limit is not None
    assert call.time_limit <= 60
