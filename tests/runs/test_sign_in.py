"""A sign-in as an iterator of steps, on the fake engine. The real Codex CLI's is in tests/journeys/test_logins.py."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import pytest

from moonmind_appliance.agents.adapter import LoginMethod
from moonmind_appliance.errors import EngineUnreachable, ImageNotFound, StoreError
from moonmind_appliance.models import LABEL_RUN, ContainerSpec, ExecSpec, LoginState
from moonmind_appliance.models.container_paths import LOGIN_FOLDER
from moonmind_appliance.runs.sign_in import (
    SignedIn,
    SignIn,
    SignInFailed,
    SignInPrompt,
    SignInWaiting,
    sign_out,
)
from moonmind_appliance.shards.login import LoginFailed
from moonmind_appliance.shards.spec import LOGIN_SECONDS, login_spec
from tests.appliance_under_test import ApplianceUnderTest
from tests.containers.fake_exec import FakeExec
from tests.containers.fake_objects import FakeFile
from tests.in_container.sent import program_of

OLD, NEW = b"rt_secretOfShard0-0123456789", b"rt_newLogin-0123456789"
PROMPT = "Open this link:\n\n   https://auth.openai.com/codex/device\n\nand enter the code\n\n   ABCD-12345\n\n"


@dataclass
class Person:
    """Decides in a browser; Codex prints the prompt and waits for that."""

    decided: threading.Event = field(default_factory=threading.Event)
    refuses: bool = False

    def codex_login(self, process: FakeExec) -> int:
        process.stdout.write(PROMPT.encode())
        while not self.decided.is_set():
            process.sleep(0.01)
        if self.refuses:
            process.stderr.write(b"Error logging in with device code: denied\n")
            return 1
        process.write_file(f"{LOGIN_FOLDER}/auth.json", NEW)
        return 0


@pytest.fixture
def person(appliance: ApplianceUnderTest) -> Iterator[Person]:
    made = Person()
    appliance.engine.on_exec(_is_login, made.codex_login)
    appliance.engine.on_exec(_is_move, _move)
    yield made
    made.decided.set()


def _is_login(_: ContainerSpec, spec: ExecSpec) -> bool:
    return spec.command == ["login"]


def _is_move(_: ContainerSpec, spec: ExecSpec) -> bool:
    return program_of(spec) == "store_login"


def _move(process: FakeExec) -> int:
    """The new login has a name of its own until it is moved."""
    files = _files(process)
    (new,) = [name for name in files if name.startswith(".new-")]
    files["auth.json"] = files.pop(new)
    return 0


def _files(process: FakeExec) -> dict[str, FakeFile]:
    (mount,) = process.container.spec.mounts
    return process.engine.volume_data[mount.volume].files


def stored(appliance: ApplianceUnderTest, shard: int = 0) -> bytes:
    return bytes(appliance.engine.volume_data[appliance.resources.shards[shard].volume].files["auth.json"].content)


def hold_by_a_run(appliance: ApplianceUnderTest) -> str:
    name = appliance.resources.shards[0]
    appliance.engine.ensure_network(appliance.resources.settings.job_network, {})
    spec = login_spec(appliance.resources, name, role="agent", name=name.lock, login_volume=name.volume)
    appliance.engine.start(msgspec.structs.replace(spec, labels={LABEL_RUN: "run-1", "moonmind.role": "agent"}))
    return name.lock


def test_the_prompt_comes_first_and_the_shard_last(appliance: ApplianceUnderTest, person: Person) -> None:
    """With the time at which the code expires; the worker is woken and the event is stored."""
    with SignIn(appliance.resources, 0) as steps:
        expires_at = appliance.clock() + timedelta(seconds=LOGIN_SECONDS)
        assert next(steps) == SignInPrompt("https://auth.openai.com/codex/device", "ABCD-12345", expires_at)
        person.decided.set()
        (last,) = steps
    assert isinstance(last, SignedIn)
    assert (last.shard.shard, last.shard.login) == (0, LoginState.PRESENT)
    assert stored(appliance) == NEW
    assert appliance.wakeups.woken == [0]
    assert [event.kind for event in appliance.store.events.after(0, limit=10)][-1] == "shard.signed_in"
    assert appliance.containers() == []


def test_nothing_happens_before_the_first_step_is_asked_for(appliance: ApplianceUnderTest, person: Person) -> None:
    """No container is created, and closing has nothing to undo."""
    with SignIn(appliance.resources, 0):
        pass
    assert appliance.containers() == []
    assert stored(appliance) == OLD


def test_a_refusal_leaves_the_old_login(appliance: ApplianceUnderTest, person: Person) -> None:
    """It contains Codex's message."""
    person.refuses = True
    with SignIn(appliance.resources, 0) as steps:
        next(steps)
        person.decided.set()
        (last,) = steps
    assert isinstance(last, SignInFailed)
    assert (last.cancelled, "denied" in last.message) == (False, True)
    assert "security settings" in last.hint
    assert (stored(appliance), appliance.containers()) == (OLD, [])


def test_it_can_be_cancelled_from_another_thread_while_it_is_iterated(
    appliance: ApplianceUnderTest, person: Person
) -> None:
    """The iterating thread gets the last step; cancelling twice is safe."""
    steps = SignIn(appliance.resources, 0)
    next(steps)
    for _ in range(2):
        threading.Timer(0.05, steps.cancel).start()
    (last,) = steps
    assert isinstance(last, SignInFailed)
    assert (last.cancelled, type(last.error)) == (True, LoginFailed)
    assert (stored(appliance), appliance.containers()) == (OLD, [])
    assert list(steps) == []


def test_a_cancel_before_the_first_step(appliance: ApplianceUnderTest, person: Person) -> None:
    """At most one step comes before the end, and the old login is unchanged."""
    steps = SignIn(appliance.resources, 0)
    steps.cancel()
    *before, last = steps
    assert isinstance(last, SignInFailed)
    assert (last.cancelled, stored(appliance), appliance.containers()) == (True, OLD, [])
    assert len(before) <= 1


def test_closing_undoes_everything_and_returns_when_it_is_done(appliance: ApplianceUnderTest, person: Person) -> None:
    """Also when the steps are left in the middle; twice is safe."""
    with SignIn(appliance.resources, 0) as steps:
        next(steps)
    assert appliance.containers() == []
    assert stored(appliance) == OLD
    steps.close()
    assert list(steps) == []


def test_it_waits_for_the_run_that_uses_the_shard(appliance: ApplianceUnderTest, person: Person) -> None:
    """The sign-in names the run once; the login is stored when the run ends."""
    lock = hold_by_a_run(appliance)
    with SignIn(appliance.resources, 0) as steps:
        next(steps)
        person.decided.set()
        assert next(steps) == SignInWaiting("run run-1", "run-1")
        assert stored(appliance) == OLD
        appliance.engine.remove(lock)
        (last,) = steps
    assert isinstance(last, SignedIn)
    assert stored(appliance) == NEW


def test_a_cancel_while_it_waits_for_a_run(appliance: ApplianceUnderTest, person: Person) -> None:
    """The run is not disturbed, and the old login stays."""
    lock = hold_by_a_run(appliance)
    with SignIn(appliance.resources, 0) as steps:
        next(steps)
        person.decided.set()
        next(steps)
        steps.cancel()
        (last,) = steps
    assert isinstance(last, SignInFailed)
    assert (last.cancelled, stored(appliance), appliance.containers()) == (True, OLD, [lock])


def test_a_cancel_that_comes_when_the_login_is_being_stored_is_too_late(
    appliance: ApplianceUnderTest, person: Person
) -> None:
    """Then it is signed in, and reports that."""
    steps = SignIn(appliance.resources, 0)

    def move(process: FakeExec) -> int:
        steps.cancel()
        return _move(process)

    appliance.engine.on_exec(_is_move, move)
    person.decided.set()
    *_, last = steps
    assert isinstance(last, SignedIn)
    assert stored(appliance) == NEW


def test_a_cancel_between_the_consent_and_the_storing_leaves_the_old_login(
    appliance: ApplianceUnderTest, person: Person
) -> None:
    """The consent alone changes nothing here."""
    steps = SignIn(appliance.resources, 0)

    def login(process: FakeExec) -> int:
        code = person.codex_login(process)
        steps.cancel()
        return code

    appliance.engine.on_exec(_is_login, login)
    person.decided.set()
    *_, last = steps
    assert isinstance(last, SignInFailed)
    assert (last.cancelled, stored(appliance), appliance.containers()) == (True, OLD, [])


def test_a_file_is_stored_without_a_prompt(appliance: ApplianceUnderTest, person: Person) -> None:
    """The only step is the last one."""
    (last,) = SignIn.from_file(appliance.resources, 0, NEW)
    assert isinstance(last, SignedIn)
    assert stored(appliance) == NEW


def test_an_api_key_needs_no_prompt(appliance: ApplianceUnderTest, person: Person) -> None:
    """It is passed in a file of the container."""
    seen = []

    def login(process: FakeExec) -> int:
        seen.append(process.read_file(f"{LOGIN_FOLDER}/api-key"))
        process.write_file(f"{LOGIN_FOLDER}/auth.json", NEW)
        return 0

    appliance.engine.on_exec(_is_login, login)
    (last,) = SignIn(appliance.resources, 0, method=LoginMethod.API_KEY, api_key="sk-1\n")
    assert isinstance(last, SignedIn)
    assert seen == [b"sk-1"]


def test_an_engine_without_the_image_is_reported(appliance: ApplianceUnderTest, person: Person) -> None:
    """Before anything is created."""
    appliance.engine.images.clear()
    (last,) = SignIn(appliance.resources, 0)
    assert isinstance(last, SignInFailed)
    assert isinstance(last.error, ImageNotFound)
    assert last.hint == "Build it with ./install.sh."


def test_a_full_disk_is_reported_before_the_person_signs_in(appliance: ApplianceUnderTest, person: Person) -> None:
    """The new login could be stored in its volume, but not recorded: the shard would then look replaced."""
    settings = msgspec.structs.replace(appliance.resources.settings, min_free_disk=1 << 60)
    (last,) = SignIn(msgspec.structs.replace(appliance.resources, settings=settings), 0)
    assert isinstance(last, SignInFailed)
    assert last.message.endswith(" free; a sign-in needs at least 268435456.0 GiB.")
    assert last.hint == "Free space there, or lower MIN_FREE_DISK. The login was not changed."


def test_an_engine_that_does_not_answer_is_a_step(appliance: ApplianceUnderTest, person: Person) -> None:
    """Not an exception: who shows the steps shows this one, too."""
    appliance.engine.fail(EngineUnreachable("No engine answers."))
    (last,) = SignIn(appliance.resources, 0)
    assert isinstance(last, SignInFailed)
    assert isinstance(last.error, EngineUnreachable)


def test_a_database_that_fails_after_the_sign_in_is_a_step(appliance: ApplianceUnderTest, person: Person) -> None:
    """The new login is in its volume anyway."""
    with SignIn(appliance.resources, 0) as steps:
        next(steps)
        appliance.store.close()
        person.decided.set()
        (last,) = steps
    assert isinstance(last, SignInFailed)
    assert isinstance(last.error, StoreError)
    assert stored(appliance) == NEW


def test_a_defect_is_raised_where_the_steps_are_asked_for(appliance: ApplianceUnderTest, person: Person) -> None:
    """Once; then the iterator is over."""

    def login(process: FakeExec) -> int:
        raise ZeroDivisionError

    appliance.engine.on_exec(_is_login, login)
    steps = SignIn(appliance.resources, 0)
    with pytest.raises(ZeroDivisionError):
        next(steps)
    assert list(steps) == []
    assert appliance.containers() == []


def test_a_sign_out_is_safe_twice(appliance: ApplianceUnderTest, person: Person) -> None:
    """The second time there was no login."""
    appliance.engine.on_exec(lambda _, spec: program_of(spec) == "remove_login", _remove)
    assert [sign_out(appliance.resources, 0)[1] for _ in range(2)] == [True, False]
    assert appliance.store.shards.get(0).login is LoginState.ABSENT


def _remove(process: FakeExec) -> None:
    del _files(process)["auth.json"]
