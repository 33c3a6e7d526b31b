"""The real login is renewed by one process at a time, and only if that can help."""

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.in_container.broker_login import Login, LoginFile, NoLogin
from moonmind_appliance.in_container.broker_renewal import LEAST_SECONDS, Renewal, checking, was_refused
from moonmind_appliance.rehearsal.openai.accounts import Accounts, sample_accounts
from tests.in_container.broker_served import login_file

DEAD = {"account": {"id": 3, "result": {"account": None}}, "refreshed": False}


class Shard:
    """A login that can be renewed, and a clock."""

    def __init__(self, folder: Path, *, access_seconds: float = 86400.0) -> None:
        self.path = folder / "auth.json"
        self.accounts = Accounts(sample_accounts(1))
        self.accounts.access_seconds = access_seconds
        self.sign_in()
        self.checks = 0
        self.reports: list[dict[str, Any]] = []
        self.now = 1000.0
        self.work: Callable[[], dict[str, Any]] = self.renew
        self.begun = 0
        self.renewal = Renewal(LoginFile(self.path), self.check, self.begins, self.reports.append, lambda: self.now)

    def begins(self) -> None:
        self.begun += 1

    def sign_in(self) -> None:
        (self.path.parent / "new").write_bytes(login_file(self.accounts.sign_in(self.accounts[0]), self.accounts[0]))
        (self.path.parent / "new").rename(self.path)

    def renew(self) -> dict[str, Any]:
        self.accounts.access_seconds = 86400.0
        self.sign_in()
        return {"refreshed": True}

    def check(self) -> dict[str, Any]:
        self.checks += 1
        return self.work()

    def login(self) -> Login:
        return LoginFile(self.path).read()


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return Shard(tmp_path)


def test_a_login_that_is_valid_for_long_is_used_as_it_is(shard: Shard) -> None:
    """Nothing is renewed."""
    assert asyncio.run(shard.renewal.login()) == shard.login()
    assert shard.checks == 0


def test_requests_share_a_renewal(tmp_path: Path) -> None:
    """All of them wait for the one that runs, and get its token."""
    shard = Shard(tmp_path, access_seconds=299.0)
    old = shard.login()
    found = asyncio.run(_together([shard.renewal.login() for _ in range(20)]))
    assert shard.checks == 1
    assert {each.access_token for each in found} == {shard.login().access_token} != {old.access_token}
    assert shard.reports == [{"refreshed": True}]


async def _together(work: list[Any]) -> list[Any]:
    return list(await asyncio.gather(*work))


def test_a_request_that_ends_does_not_end_the_renewal(tmp_path: Path) -> None:
    """Its new tokens must be stored: the old ones are used up."""
    shard = Shard(tmp_path, access_seconds=1.0)
    go, stored = threading.Event(), shard.login()

    def work() -> dict[str, Any]:
        go.wait(10)
        return shard.renew()

    shard.work = work

    async def cancel() -> None:
        task = asyncio.create_task(shard.renewal.login())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert shard.login() == stored
        go.set()
        assert (await shard.renewal.login()).access_token != stored.access_token

    asyncio.run(cancel())
    assert shard.checks == 1


@pytest.mark.parametrize("error", [OSError(1, "x"), ValueError("x"), KeyError("x")])
def test_each_beginning_of_a_renewal_has_an_end(tmp_path: Path, error: Exception) -> None:
    """The appliance waits for it before it removes the container: the new tokens must be stored."""
    shard = Shard(tmp_path, access_seconds=1.0)

    def fail() -> dict[str, Any]:
        assert shard.begun == 1
        raise error

    shard.work = fail
    with contextlib.suppress(ValueError, KeyError):
        asyncio.run(shard.renewal.login())
    assert (shard.begun, len(shard.reports)) == (1, 1)
    assert shard.reports[0]["problem"]


def test_a_renewal_that_fails_is_tried_again_after_half_a_minute(tmp_path: Path) -> None:
    """Until then the token is used as it is. The clock begins when the renewal has ended."""
    shard = Shard(tmp_path, access_seconds=1.0)
    shard.work = lambda: {"refreshed": False}
    for after, checks in ((0.0, 1), (LEAST_SECONDS - 1, 1), (2.0, 2)):
        shard.now += after
        assert asyncio.run(shard.renewal.login()) == shard.login()
        assert shard.checks == checks


def test_a_refused_token_is_renewed_unless_there_is_another_one(shard: Shard) -> None:
    """The answer says whether a repetition can help."""
    old = shard.login()
    assert asyncio.run(shard.renewal.refused(old)) is True
    assert asyncio.run(shard.renewal.refused(old)) is True
    assert shard.checks == 1
    assert asyncio.run(shard.renewal.refused(shard.login())) is False
    assert shard.checks == 1


def test_renewals_that_do_not_help_become_rare(shard: Shard) -> None:
    """OpenAI may refuse a valid token because of something else in the agent's request."""
    for _ in range(24 * 60):
        asyncio.run(shard.renewal.refused(shard.login()))
        shard.now += 60
    assert shard.checks < 40


def test_a_login_is_dead_until_there_is_another_one(shard: Shard) -> None:
    """A sign-in or an import replaces it."""
    shard.work = lambda: DEAD
    assert not shard.renewal.is_dead()
    assert asyncio.run(shard.renewal.refused(shard.login())) is False
    assert shard.renewal.is_dead()
    shard.sign_in()
    assert not shard.renewal.is_dead()


def test_a_check_that_fails_does_not_block_the_next_one(tmp_path: Path) -> None:
    """The request that asked for it fails; the broker does not end."""
    shard = Shard(tmp_path, access_seconds=1.0)

    def fail() -> dict[str, Any]:
        raise FileNotFoundError(2, "No such file or directory")

    shard.work = fail
    assert asyncio.run(shard.renewal.login()) == shard.login()
    assert shard.reports == [{"refreshed": False, "problem": "Codex could not be started: No such file or directory."}]
    shard.work, shard.now = shard.renew, shard.now + LEAST_SECONDS
    asyncio.run(shard.renewal.login())
    assert [report["refreshed"] for report in shard.reports] == [False, True]


def test_without_a_login_nothing_is_renewed(shard: Shard) -> None:
    """It may have been removed meanwhile."""
    login = shard.login()
    shard.path.unlink()
    with pytest.raises(NoLogin):
        asyncio.run(shard.renewal.login())
    assert asyncio.run(shard.renewal.refused(login)) is False


@pytest.mark.parametrize(
    ("report", "refused"),
    [
        (DEAD, True),
        ({**DEAD, "refreshed": True}, False),
        ({"account": {"result": {"account": {"type": "chatgpt"}}}}, False),
        ({"account": {"error": {"code": 1}}}, False),
        ({"account": {}}, False),
        ({}, False),
    ],
)
def test_only_an_answer_without_an_account_is_a_refusal(report: dict[str, Any], *, refused: bool) -> None:
    """Without an answer, OpenAI may not have been reached."""
    assert was_refused(report) is refused


def test_the_check_leaves_nothing_behind(home: Path, volume: Path) -> None:
    """Its folder contains a copy of the login."""
    stand_in = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    message = json.loads(line)\n"
        "    if 'id' in message: print(json.dumps({'id': message['id'], 'result': {}}), flush=True)\n"
    )
    report = checking([sys.executable, "-c", stand_in], 10, home, volume)()
    assert json.loads(json.dumps(report))["refreshed"] is False
    assert list(home.iterdir()) == []
