"""The check of a login: what it starts, and what it records."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.errors import NameTaken
from moonmind_appliance.models import LoginFault, LoginState, Shard, ShardNames
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.shards.check import check_shard
from moonmind_appliance.shards.spec import login_spec
from moonmind_appliance.store import Store
from tests.appliance_under_test import make_resources
from tests.containers.fake import FakeEngine
from tests.containers.fake_exec import FakeExec
from tests.containers.fake_objects import FakeFile

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NAME = ShardNames(1, "codex_auth_")
P, D = LoginState.PRESENT, LoginState.DEAD
UNAUTHORIZED = LoginFault.UNAUTHORIZED


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
