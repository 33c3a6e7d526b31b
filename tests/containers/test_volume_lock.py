"""Waiting for a shard's lock: runs are never interrupted, leftovers of a crash are removed."""

import threading

import msgspec
import pytest

from moonmind_appliance.containers.engine import CancelToken
from moonmind_appliance.containers.volume_lock import CHECK, LOOK, MOVE, lock_holder, start_under_lock
from moonmind_appliance.errors import InterruptReason, NameTaken
from moonmind_appliance.models import ContainerSpec, Limits
from tests.containers.fake import JOB_IMAGE, FakeEngine

LIMITS = Limits(1, 1.0, 16)
MINE = ContainerSpec(name="codex_auth_1-in-use", image=JOB_IMAGE, command=["x"], labels={}, limits=LIMITS)


def held_by(role: str, **labels: str) -> ContainerSpec:
    return msgspec.structs.replace(MINE, labels={"moonmind.role": role, **labels})


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def test_a_free_lock_is_taken_at_once(engine: FakeEngine) -> None:
    """It takes one call."""
    start_under_lock(engine, MINE)
    assert engine.calls == [("start", MINE.name)]


@pytest.mark.parametrize("role", ["agent", "", "somebody"])
def test_there_is_no_wait_for_a_run_or_another_container(engine: FakeEngine, role: str) -> None:
    """The error comes at once with the labels of the container that has the lock, which is not removed."""
    engine.start(held_by(role, **{"moonmind.run": "r"}))
    with pytest.raises(NameTaken) as refusal:
        start_under_lock(engine, MINE)
    assert refusal.value.holder["moonmind.run"] == "r"
    assert engine.calls == [("start", MINE.name)] * 2


@pytest.mark.parametrize("role", [LOOK, CHECK, MOVE])
def test_short_work_is_waited_for(engine: FakeEngine, role: str) -> None:
    """The lock is taken after it has ended."""
    engine.start(held_by(role))
    threading.Timer(0.4, engine.remove, [MINE.name]).start()
    start_under_lock(engine, MINE)
    assert engine.container_data[MINE.name].spec is MINE


@pytest.mark.parametrize(("role", "run"), [(LOOK, False), (CHECK, True), (MOVE, True)])
def test_what_a_crash_left_is_removed(engine: FakeEngine, role: str, *, run: bool) -> None:
    """The container that reads a login never runs; the others have ended."""
    engine.start(held_by(role), run=run)
    engine.kill(MINE.name)
    start_under_lock(engine, MINE)
    assert engine.container_data[MINE.name].spec is MINE


@pytest.mark.parametrize("role", [CHECK, MOVE])
def test_work_that_still_runs_is_never_removed(engine: FakeEngine, role: str) -> None:
    """Killing a renewal could destroy the login."""
    holder = held_by(role)
    engine.start(holder)
    with pytest.raises(NameTaken):
        start_under_lock(engine, MINE, patience=0.5)
    assert engine.container_data[MINE.name].spec is holder


def test_a_cancel_ends_the_waiting(engine: FakeEngine) -> None:
    """A cancelled run stops waiting."""
    cancel = CancelToken()
    cancel.cancel(InterruptReason.CANCELLED)
    engine.start(held_by(CHECK))
    with pytest.raises(NameTaken):
        start_under_lock(engine, MINE, patience=3600, cancel=cancel)


@pytest.mark.parametrize(
    ("labels", "holder"),
    [
        ({"moonmind.role": "agent", "moonmind.run": "r1"}, "run r1"),
        ({"moonmind.role": "login"}, "another sign-in"),
        ({"moonmind.role": "check"}, "a health check"),
        ({"moonmind.role": "look"}, "a login check"),
        ({}, "the container box"),
    ],
)
def test_the_holder_of_a_lock_is_named_by_its_labels(labels: dict[str, str], holder: str) -> None:
    """For display."""
    assert lock_holder(NameTaken("box", labels, running=True)) == holder
