"""Every value that the login broker of a run prints, replaced by an invalid one, and what its agent's container claims.

The broker parses what OpenAI and the agent send, so its output is checked like an agent's.
"""

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.agents.egress import Egress
from moonmind_appliance.models import FailureCode, LoginState, RunStatus
from moonmind_appliance.rehearsal.github import StandInGitHub
from tests.api.served import Served, serve
from tests.appliance_under_test import ApplianceUnderTest, ends, open_appliance
from tests.containers.fake_exec import BROKER_AUTHORITY, BROKERED_LOGIN, FakeExec, is_broker
from tests.execution.hostile import CHECKED, GOOD, LIMITED, REFUSED, SECONDS, VALUES, Hostile, paths, replaced, text

READY = {"ready": True, "broker": {"ca": BROKER_AUTHORITY, "login": BROKERED_LOGIN}}
HEADERS = {
    "x-codex-primary-used-percent": "100",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": str(SECONDS),
    "x-codex-rate-limit-reached-type": "workspace_owner_credits_depleted",
}
BODY = json.dumps({"error": {"type": "usage_limit_reached", "resets_at": SECONDS, "resets_in_seconds": 60}})
WINDOW = {"used_percent": 12, "limit_window_seconds": 18_000, "reset_at": SECONDS}
LINES: list[dict[str, Any]] = [
    {"broker": "answer", "path": "codex/responses", "status": 429, "at": 1.5, "headers": HEADERS, "body": BODY},
    {"broker": "answer", "path": "codex/responses", "status": 403, "at": 1, "challenge": True},
    {"broker": "quota", "at": 1, "headers": HEADERS},
    {"broker": "usage", "at": 1, "body": json.dumps({"rate_limit": {"primary_window": WINDOW}})},
    {"broker": "renewed", "at": 1, "report": CHECKED},
    READY,
]


class HostileBroker(Hostile):
    """With LOGIN_BROKER. `lines` are printed when the first turn begins."""

    def __init__(self, appliance: ApplianceUnderTest, served: Served) -> None:
        super().__init__(appliance, served, Codex(egress=Egress(wall=True, broker=True)))
        self.lines: list[Any] = []
        self._printed: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._asked: queue.SimpleQueue[None] = queue.SimpleQueue()
        appliance.engine.on_exec(is_broker, self._serve)

    def _serve(self, process: FakeExec) -> None:
        process.stdout.write(text(READY) + b"\n")
        while True:
            while not self._asked.empty():
                self._asked.get()
                for line in self.lines:
                    process.stdout.write(text(line) + b"\n")
                self._printed.put(None)
            process.sleep(0.005)

    def turn(self, process: FakeExec) -> int:
        self._asked.put(None)
        self._printed.get(timeout=10)
        return super().turn(process)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, github: StandInGitHub) -> Iterator[HostileBroker]:
    folder: Path = tmp_path_factory.mktemp("hostile") / "data"
    with open_appliance(folder, github, login_broker=True) as appliance, serve(folder, codex_shards=2) as served:
        yield HostileBroker(appliance, served)


@pytest.mark.parametrize("number", range(len(LINES)))
def test_the_values_of_the_brokers_lines(hostile: HostileBroker, number: int) -> None:
    """Each field of each kind of line, beside a turn that failed."""
    for path in paths(LINES[number]):
        hostile.sign_in()
        hostile.said = [LIMITED]
        hostile.lines = [replaced(LINES[number], path, value) for value in VALUES.values()]
        hostile.attack(f"{LINES[number].get('broker')} {path}")


def test_whole_lines_that_are_not_lines_of_the_broker(hostile: HostileBroker) -> None:
    """Other types, and bodies that are not JSON."""
    bodies = [
        "",
        "{",
        "[" * 10_000,
        "\x00",
        json.dumps({"error": []}),
        json.dumps({"rate_limit": {"primary_window": 3}}),
    ]
    hostile.sign_in()
    hostile.said = [LIMITED]
    hostile.lines = [*VALUES.values(), *({**LINES[0], "body": each} for each in bodies)]
    hostile.lines += [{**LINES[3], "body": each} for each in bodies]
    hostile.attack("other lines")


@pytest.mark.parametrize("claimed", [LIMITED, REFUSED], ids=["a limit", "a refused account"])
def test_what_the_agents_container_claims_has_no_effect(hostile: HostileBroker, claimed: dict[str, Any]) -> None:
    """The real reader of Codex's output sees a limit that OpenAI never reported: the shard keeps taking runs."""
    appliance = hostile.appliance
    hostile.sign_in()
    hostile.lines, hostile.said = [], [claimed]
    run = appliance.submit(shard=0, dry_run=True)
    appliance.work(0)
    assert ends(appliance.stored(run)) == (RunStatus.FAILED, FailureCode.AGENT_FAILED.value)
    known = appliance.store.shards.get(0)
    assert (known.login, known.cooldown_until, known.quota, known.check_wanted) == (LoginState.PRESENT, None, [], False)
    hostile.said = [GOOD]
    run = appliance.submit(shard=0, dry_run=True)
    appliance.work(0)
    assert ends(appliance.stored(run)) == (RunStatus.SUCCEEDED, None)
