"""Every value that comes from the agent's container, replaced by an invalid one: the appliance continues to serve.

After each case another process opens the same data folder, and the API answers from it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.execution.recover import recover
from moonmind_appliance.models import LoginState, RunStatus
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.scheduling.wake import maintain
from tests.api.served import serve
from tests.appliance_under_test import open_appliance
from tests.execution.hostile import GOOD, LIMITED, LOGIN, REFUSED, VALUES, Hostile, login_file, paths, replaced


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, github: StandInGitHub) -> Iterator[Hostile]:
    folder: Path = tmp_path_factory.mktemp("hostile") / "data"
    with open_appliance(folder, github) as appliance, serve(folder, codex_shards=2) as served:
        yield Hostile(appliance, served)


def cases(whole: Any) -> list[Any]:
    return [pytest.param(path, id=".".join(map(str, path))) for path in paths(whole)]


@pytest.mark.parametrize("path", cases({name: GOOD[name] for name in ("events", "report")}))
def test_a_turn_that_worked(hostile: Hostile, path: tuple[Any, ...]) -> None:
    """Each field of its events and of its report."""
    names = list(VALUES)
    for start in range(0, len(names), 3):
        three = names[start : start + 3]
        hostile.sign_in()
        # A run has three turns.
        hostile.said = [*(replaced(GOOD, path, VALUES[name]) for name in three), GOOD]
        hostile.attack(f"{path}: {three}")


@pytest.mark.parametrize(
    "path", [*cases({"report": LIMITED["report"]}), ("events", 1, "error"), ("events", 1, "error", "message")]
)
def test_a_turn_at_its_limit(hostile: Hostile, path: tuple[Any, ...]) -> None:
    """Each field of its error and of its report."""
    for name, value in VALUES.items():
        hostile.sign_in()
        hostile.said = [replaced(LIMITED, path, value)]
        hostile.attack(f"{path}: {name}")


@pytest.mark.parametrize("path", [("report", "codex_error_info"), ("report", "rate_limits", "rate_limit_reached_type")])
def test_a_turn_of_a_refused_account(hostile: Hostile, path: tuple[Any, ...]) -> None:
    """Each field that only such a turn has."""
    for name, value in VALUES.items():
        hostile.sign_in()
        hostile.said = [replaced(REFUSED, path, value)]
        hostile.attack(f"{path}: {name}")


@pytest.mark.parametrize("path", cases(LOGIN))
def test_the_login_file(hostile: Hostile, path: tuple[Any, ...]) -> None:
    """Each field of the file, and each claim of its tokens."""
    for name, value in VALUES.items():
        hostile.sign_in()
        hostile.put(login_file(replaced(LOGIN, path, value)))
        hostile.attack(f"{path}: {name}")


WHOLE_FILES = {
    "empty": b"",
    "blank": b" \n" * 1000,
    "deep": b"[" * 200_000,
    "too large": b"[" * 300_000,
    "binary": bytes(range(256)) * 100,
    "not UTF-8": b'{"tokens": "\xff\xfe"}',
    "a key twice": login_file(LOGIN)[:-1] + b', "tokens": {}}',
    "two values": login_file(LOGIN) + b"{}",
    "half of it": login_file(LOGIN)[:300],
    "another kind of login": login_file(LOGIN)[:-1] + b', "agent_identity": {"id": "x"}}',
}


@pytest.mark.parametrize("content", WHOLE_FILES.values(), ids=WHOLE_FILES)
def test_a_login_file_that_is_none(hostile: Hostile, content: bytes) -> None:
    """The shard reports it and takes no run; another shard takes them, also after a restart."""
    hostile.sign_in()
    hostile.put(content)
    run = hostile.appliance.submit()
    hostile.appliance.work(0)
    assert hostile.appliance.store.shards.get(0).login is LoginState.DEAD
    hostile.appliance.work(1)
    assert (hostile.appliance.stored(run).status, hostile.appliance.stored(run).shard) == (RunStatus.SUCCEEDED, 1)
    maintain(hostile.resources)
    recover(hostile.resources)
    after = hostile.appliance.submit()
    hostile.appliance.work(0)
    assert hostile.appliance.stored(after).status is RunStatus.QUEUED
    hostile.appliance.work(1)
    assert hostile.appliance.stored(after).status is RunStatus.SUCCEEDED


LINES = {
    "deep": b"[" * 200_000,
    "an endless number": b'{"type": "turn.completed", "usage": {"n": ' + b"9" * 100_000 + b"}}",
    "binary": bytes(range(256)).replace(b"\n", b"") * 100,
    "a report of another shape": b'{"type": "moonmind.report", "files": [1]}',
    "a deep report": b'{"type": "moonmind.report", "rate_limits": ' + b"[" * 200_000,
    "a report that is not UTF-8": b'{"type": "moonmind.report", "login_digest": "\xff"}',
    "a key twice": b'{"type": "turn.started", "type": "turn.completed"}',
    "a large line": b'{"type": "item.completed", "item": "' + b"x" * 400_000 + b'"}',
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_line_that_another_process_wrote_into_the_events(hostile: Hostile, line: bytes) -> None:
    """It changes nothing, because the turn's own report follows it."""
    hostile.sign_in()
    hostile.line = line
    run = hostile.appliance.submit(shard=0)
    hostile.appliance.work(0)
    assert hostile.appliance.stored(run).status is RunStatus.SUCCEEDED
    hostile.sign_in()
    hostile.attack("the next run")
