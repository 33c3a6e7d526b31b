"""What the fake engine offers tests besides the contract."""

import io

import pytest

from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.models import ContainerSpec, EndReason, ExecOutcome, ExecSpec, Limits, Mount
from tests.containers.fake import JOB_IMAGE, FakeEngine
from tests.containers.fake_exec import FakeExec


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.start(
        ContainerSpec(
            name="box",
            image=JOB_IMAGE,
            command=["sleep", "infinity"],
            labels={},
            limits=Limits(1, 1.0, 1),
            mounts=[Mount("work", "/work/runs")],
        )
    )
    return engine


def _run(engine: FakeEngine, *command: str) -> tuple[ExecOutcome, bytes]:
    out = io.BytesIO()
    outcome = engine.execute("box", ExecSpec(command=list(command)), stdout=out, stderr=out)
    return outcome, out.getvalue()


def test_a_command_without_a_rule_succeeds(engine: FakeEngine) -> None:
    """It prints nothing and exits with 0."""
    outcome, said = _run(engine, "anything")
    assert (outcome.ok, said) == (True, b"")


def test_the_last_rule_that_matches_answers(engine: FakeEngine) -> None:
    """The matcher is a part of the command, or a predicate on container and command."""
    engine.on_exec("git", 1)
    engine.on_exec("git push", 2)
    engine.on_exec(lambda container, spec: container.name == "box" and spec.command[-1] == "--force", 3)
    codes = [_run(engine, *words.split())[0].exit_code for words in ("git pull", "git push", "git push --force", "ls")]
    assert codes == [1, 2, 3, 0]


def test_an_answer_works_on_the_volumes(engine: FakeEngine) -> None:
    """It reads and writes files, and creates the folders above them."""

    def answer(process: FakeExec) -> int:
        process.write_file("/work/runs/specs/001/spec.md", "# Title")
        process.stdout.write(process.read_file("/work/runs/specs/001/spec.md") or b"")
        return 5

    engine.on_exec("codex", answer)
    outcome, said = _run(engine, "codex", "exec")
    assert (outcome.exit_code, said) == (5, b"# Title")
    assert engine.read_file("box", "/work/runs/specs/001/spec.md", limit=10) == b"# Title"
    assert engine.volume_data["work"].folders == {"", "specs", "specs/001"}


def test_an_answer_may_lose_its_container(engine: FakeEngine) -> None:
    """After that the command's output is dropped."""

    def answer(process: FakeExec) -> int:
        process.stdout.write(b"before")
        process.kill_container()
        process.stdout.write(b"after")
        return 0

    engine.on_exec("codex", answer)
    outcome, said = _run(engine, "codex")
    assert (outcome.ended, outcome.exit_code, said) == (EndReason.CONTAINER_GONE, None, b"before")


def test_a_failure_applies_to_the_given_call(engine: FakeEngine) -> None:
    """The second `kill` from now on, twice in a row; other calls are not counted."""
    engine.fail(EngineUnreachable("gone"), method="kill", at=2, times=2)
    answers: list[object] = []
    for _ in range(4):
        engine.info()
        try:
            answers.append(engine.kill("box"))
        except EngineUnreachable as error:
            answers.append(error.message)
    assert answers == [True, "gone", "gone", False]


def test_a_failure_of_any_call(engine: FakeEngine) -> None:
    """Without a method every call counts."""
    engine.fail(EngineUnreachable("gone"), at=3)
    engine.info()
    engine.image(JOB_IMAGE)
    with pytest.raises(EngineUnreachable):
        engine.info()
    engine.info()


def test_calls_and_commands_are_recorded_in_order(engine: FakeEngine) -> None:
    """Each call with its object; each command with its container and its variables."""
    engine.calls.clear()
    engine.execute("box", ExecSpec(command=["a"], env={"X": "1"}), stdout=io.BytesIO(), stderr=io.BytesIO())
    engine.remove("box")
    assert engine.calls == [("execute", "box"), ("remove", "box")]
    assert engine.execs == [("box", ExecSpec(command=["a"], env={"X": "1"}))]
