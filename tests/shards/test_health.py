"""The four facts about a login, and when it is checked."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.errors import NameTaken
from moonmind_appliance.models import LoginFault, LoginState, QuotaWindow, Shard, ShardNames
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.shards.health import (
    GradeName,
    check_shard,
    health_of,
    nearly_used,
    renewal_is_due,
)
from moonmind_appliance.shards.spec import login_spec
from moonmind_appliance.store import Store
from tests.appliance_under_test import make_resources
from tests.containers.fake import FakeEngine, FakeExec, FakeFile

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NAME = ShardNames(1, "codex_auth_")
P, D = LoginState.PRESENT, LoginState.DEAD
UNAUTHORIZED = LoginFault.UNAUTHORIZED


def shard(login: LoginState = P, **more: Any) -> Shard:
    return Shard(shard=1, login=login, **more)


@pytest.mark.parametrize(
    ("rule", "state", "expected"),
    [
        ("nothing is known", shard(LoginState.UNKNOWN), (None, None, None, None)),
        ("no file", shard(LoginState.ABSENT), (False, None, None, None)),
        ("a file, and nothing more", shard(), (True, None, None, None)),
        ("a token that is good", shard(access_expires_at=NOW + HOUR), (True, True, None, None)),
        ("a token that ended", shard(access_expires_at=NOW - HOUR), (True, False, None, None)),
        ("a renewal that worked", shard(last_refresh_at=NOW), (True, None, True, None)),
        ("a renewal nobody answered", shard(last_refresh_at=NOW, refresh_problem="?"), (True, None, None, None)),
        ("a turn that worked", shard(last_turn_at=NOW), (True, None, None, True)),
        (
            "dead, whatever worked before",
            shard(D, access_expires_at=NOW + HOUR, last_refresh_at=NOW, last_turn_at=NOW),
            (True, True, False, False),
        ),
        (
            "refused: renewed it can be, work it cannot",
            shard(LoginState.REFUSED, last_refresh_at=NOW, last_turn_at=NOW),
            (True, None, True, False),
        ),
    ],
)
def test_each_fact_is_reported_separately(rule: str, state: Shard, expected: tuple[bool | None, ...]) -> None:
    """One fact never replaces another; an unknown one is None."""
    health = health_of(state, now=NOW)
    assert tuple(grade.good for grade in health.grades) == expected, rule
    assert [grade.name for grade in health.grades] == list(GradeName)


@pytest.mark.parametrize("login", list(LoginState))
def test_every_state_has_a_next_step(login: LoginState) -> None:
    """Every state except the good one has a next step; only the good one accepts runs."""
    health = health_of(shard(login), now=NOW)
    assert (health.takes_runs, health.next_step == "") == (login is P, login is P)
    assert not health_of(shard(login, cooldown_until=NOW + HOUR), now=NOW).takes_runs


@pytest.mark.parametrize(
    ("rule", "state", "due"),
    [
        ("a token that lasts", shard(access_expires_at=NOW + HOUR), False),
        ("a token that ends soon", shard(access_expires_at=NOW + 20 * MINUTE), True),
        ("a token that ended", shard(access_expires_at=NOW - HOUR), True),
        ("something speaks against it", shard(access_expires_at=NOW + HOUR, check_wanted=True), True),
        ("an API key", shard(by_api_key=True, check_wanted=True), False),
        ("a dead login", shard(D, access_expires_at=NOW), False),
        ("a rest that a turn reported", shard(check_wanted=True, cooldown_until=NOW + HOUR), True),
        (
            "a rest, asked about a moment ago",
            shard(check_wanted=True, cooldown_until=NOW + HOUR, refresh_tried_at=NOW - MINUTE),
            False,
        ),
        (
            "a rest, asked about a while ago",
            shard(check_wanted=True, cooldown_until=NOW + HOUR, refresh_tried_at=NOW - 15 * MINUTE),
            True,
        ),
        ("a login that a turn called dead", shard(D, login_fault=UNAUTHORIZED, check_wanted=True), True),
        ("asked about a moment ago", shard(D, login_fault=UNAUTHORIZED, refresh_tried_at=NOW - MINUTE), False),
        ("asked about in the future", shard(D, login_fault=UNAUTHORIZED, refresh_tried_at=NOW + HOUR), True),
        ("asked about an hour ago", shard(D, login_fault=UNAUTHORIZED, refresh_tried_at=NOW - HOUR), True),
        (
            "asked about, and nobody answered",
            shard(D, login_fault=UNAUTHORIZED, check_wanted=True, refresh_problem="?", refresh_tried_at=NOW - MINUTE),
            False,
        ),
        ("tried a moment ago", shard(access_expires_at=NOW, refresh_problem="?", refresh_tried_at=NOW), False),
        (
            "tried before the clock was set back",
            shard(access_expires_at=NOW, refresh_problem="?", refresh_tried_at=NOW + HOUR),
            True,
        ),
        (
            "tried long ago",
            shard(access_expires_at=NOW, refresh_problem="?", refresh_tried_at=NOW - 6 * MINUTE),
            True,
        ),
    ],
)
def test_when_a_login_is_renewed(rule: str, state: Shard, due: bool) -> None:  # noqa: FBT001 - expected value
    """It is renewed before its token ends, or after evidence against it; not repeatedly."""
    assert renewal_is_due(state, NOW) is due, rule


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([], False),
        ([QuotaWindow(89.0, 300, NOW + HOUR)], False),
        ([QuotaWindow(91.0, 300, NOW + HOUR)], True),
        ([QuotaWindow(91.0, 300, NOW - HOUR)], False),
        ([QuotaWindow(5.0, 300, NOW + HOUR), QuotaWindow(97.0, 10_080, NOW + HOUR)], True),
    ],
)
def test_nearly_used_windows(windows: list[QuotaWindow], *, expected: bool) -> None:
    """Any window can be; one that was reset since is not."""
    assert nearly_used(shard(quota=windows), NOW) is expected


class CheckedShard:
    """A shard's volume on the fake engine, and the output of Codex's check."""

    def __init__(self, store: Store, data_dir: Path) -> None:
        self.engine = FakeEngine()
        self.checked = 0
        self.held: list[list[str]] = []
        self.resources = make_resources(
            store, data_dir, engine=self.engine, agent=Codex(), clock=lambda: NOW, redactor=Redactor()
        )
        self.engine.ensure_volume(NAME.volume, {})

    def put(self, content: bytes) -> None:
        self.engine.volume_data[NAME.volume].files["auth.json"] = FakeFile(content)

    def answers(self, report: dict[str, Any], *, writes: bytes | None = None) -> None:
        def answer(process: FakeExec) -> None:
            self.checked += 1
            self.held.append(sorted(self.engine.container_data))
            if writes is not None:
                self.put(writes)
            process.stdout.write(json.dumps(report).encode())

        self.engine.on_exec("app-server", answer)

    def check(self, **more: Any) -> Shard:
        return check_shard(self.resources, NAME.index, **more)


@pytest.fixture
def lab(tmp_path: Path) -> Any:
    store = Store.open(tmp_path)
    yield CheckedShard(store, tmp_path)
    store.close()


def auth(ends: datetime, refresh_token: str = "rt_0123456789abcdef") -> bytes:  # noqa: S107 - made up

    claims = base64.urlsafe_b64encode(json.dumps({"exp": int(ends.timestamp())}).encode()).rstrip(b"=").decode()
    identity = base64.urlsafe_b64encode(json.dumps({"email": "a@example.org"}).encode()).rstrip(b"=").decode()
    tokens = {"access_token": f"e30.{claims}.c2ln", "id_token": f"e30.{identity}.c2ln", "refresh_token": refresh_token}
    return json.dumps({"tokens": tokens, "last_refresh": "2026-03-01T11:00:00Z"}).encode()


ALIVE = {"account": {"id": 2, "result": {"account": {"type": "chatgpt"}}}, "refreshed": True, "refresh_error": ""}
REFUSED = {"account": {"id": 2, "result": {"account": None}}, "refreshed": False, "refresh_error": "revoked"}


def test_a_long_lived_token_is_only_read(lab: CheckedShard) -> None:
    """No process is started."""
    lab.put(auth(NOW + 5 * HOUR))
    assert lab.check().login is P
    assert lab.checked == 0


def test_a_renewed_login_is_read_again(lab: CheckedShard) -> None:
    """Its new expiry is known, and no container of the check is left."""
    lab.put(auth(NOW + MINUTE))
    lab.answers(ALIVE, writes=auth(NOW + 240 * HOUR, "rt_another0123456789"))
    state = lab.check()
    assert (state.login, state.access_expires_at, state.last_refresh_at) == (P, NOW + 240 * HOUR, NOW)
    assert lab.held == [[NAME.lock]]
    assert lab.engine.container_data == {}


def test_a_refused_renewal_is_a_dead_login(lab: CheckedShard) -> None:
    """The state has its code, its message and its time."""
    lab.put(auth(NOW + MINUTE))
    lab.answers(REFUSED)
    state = lab.check()
    assert (state.login, state.login_fault, state.login_since) == (D, LoginFault.REFRESH_REFUSED, NOW)
    assert "revoked" in state.login_reason


def test_a_check_without_output_is_unknown(lab: CheckedShard) -> None:
    """If the process was ended or the engine disappeared, the state is unknown."""
    lab.put(auth(NOW + MINUTE))
    lab.engine.on_exec("app-server", 137)
    state = lab.check()
    assert (state.login, state.refresh_problem) == (P, "no response")


def test_a_dead_login_is_checked_again_on_request(lab: CheckedShard) -> None:
    """An operator's check gives the current state, not the stored one."""
    lab.put(auth(NOW + MINUTE))
    lab.answers(REFUSED)
    lab.check()
    lab.check()
    assert lab.checked == 1
    lab.answers(ALIVE, writes=auth(NOW + 240 * HOUR, "rt_another0123456789"))
    assert lab.check(renew=True).login is P
    assert lab.checked == 2


def test_nothing_is_checked_beside_a_run(lab: CheckedShard) -> None:
    """A run has the lock: the error names it, and no check is made."""
    lab.put(auth(NOW + MINUTE))
    spec = login_spec(lab.resources, NAME, role="agent", name=NAME.lock, login_volume=NAME.volume)
    lab.engine.ensure_network(lab.resources.settings.job_network, {})
    lab.engine.start(spec)
    with pytest.raises(NameTaken):
        lab.check(renew=True)
    assert lab.checked == 0
