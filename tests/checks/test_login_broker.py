"""The comparison with and without a login broker, on the fake engine. On Docker: tests/cli/test_doctor.py."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.agents.codex import Codex
from moonmind_appliance.checks.finding import Finding, Level
from moonmind_appliance.checks.login_broker import BROKER, MODELS, USAGE, login_broker
from moonmind_appliance.models import LABEL_RUN, LoginState, Shard
from moonmind_appliance.models.container_paths import AGENT_CA_FILE, BROKERED_LOGIN_FILE
from moonmind_appliance.shards.spec import login_spec
from tests.appliance_under_test import ApplianceUnderTest, open_appliance
from tests.containers.fake_exec import BROKER_AUTHORITY, BROKERED_LOGIN, FakeExec, is_broker, serve_broker
from tests.containers.fake_objects import FakeFile
from tests.execution.hostile import LOGIN, login_file
from tests.in_container.sent import job_of
from tests.shard_states import save_shard

WINDOW = {"usedPercent": 12, "windowDurationMins": 300, "resetsAt": 1_900_000_000}
LIST = {"count": 12, "digest": "a"}
SAME = {
    "usage": {"id": 2, "result": {"rateLimits": {"primary": WINDOW}}},
    "models": LIST,
    "contained": {"count": 11, "digest": "b"},
}
NOTHING = {"usage": {"error": {"message": "401"}}, "models": {"error": "no list"}, "contained": LIST}


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[ApplianceUnderTest]:
    """With Codex, and shard 1 signed in."""
    with open_appliance(tmp_path) as made:
        made.with_resources(agent=Codex())
        made.engine.volume_data[made.resources.shards[1].volume].files["auth.json"] = FakeFile(login_file(LOGIN))
        save_shard(made.store, Shard(shard=1, login=LoginState.PRESENT))
        yield made


def compared(appliance: ApplianceUnderTest, direct: Any, brokered: Any, *lines: Any) -> dict[str, Finding]:
    """The findings if Codex prints these answers, and the broker these lines."""

    def answers(process: FakeExec) -> None:
        login = job_of(process.spec)["login"]
        if login is not None:
            # The container has the broker's login, and not the shard's.
            assert login == BROKERED_LOGIN_FILE
            assert process.read_file(login) == BROKERED_LOGIN.encode()
            assert process.read_file(AGENT_CA_FILE) == BROKER_AUTHORITY.encode()
            assert process.container.spec.network is None
            assert appliance.resources.shards[1].volume not in {m.volume for m in process.container.spec.mounts}
        process.stdout.write(json.dumps(direct if login is None else brokered).encode())

    def serve(process: FakeExec) -> None:
        for line in lines:
            process.stdout.write(json.dumps(line).encode() + b"\n")
        serve_broker(process)

    appliance.engine.on_exec("codex_answers", answers)
    appliance.engine.on_exec(is_broker, serve)
    found = {each.check: each for each in login_broker(appliance.executor._resources)}
    assert appliance.containers() == []
    assert [name for name in appliance.engine.volume_data if "doctor" in name] == []
    return found


def test_equal_answers_advise_to_turn_it_on(appliance: ApplianceUnderTest) -> None:
    """No model turn was done. A little usage in between is no difference."""
    later = {"rateLimits": {"primary": WINDOW | {"usedPercent": 14, "resetsAt": 1_900_000_030}}}
    found = compared(appliance, SAME, SAME | {"usage": {"result": later}})
    assert {each.level for each in found.values()} == {Level.OK, Level.NOTE}
    assert found[BROKER].to_do == "Set LOGIN_BROKER=true and restart."
    assert "12 models" in found[MODELS].observed
    assert "Codex contains" not in found[MODELS].observed
    own = compared(appliance, SAME | {"contained": LIST}, SAME | {"contained": LIST})
    assert "Codex contains" in own[MODELS].observed


@pytest.mark.parametrize(
    ("brokered", "check", "words"),
    [
        (NOTHING, USAGE, "No answer through the broker: 401"),
        (NOTHING, MODELS, "No answer through the broker: no list"),
        (SAME | {"models": {"count": 3, "digest": "c"}}, MODELS, "brokered: 3"),
        ({"usage": {"result": {"rateLimits": {"primary": WINDOW | {"usedPercent": 90}}}}}, USAGE, "90 %"),
        ({"usage": {"result": {"rateLimits": {"primary": WINDOW | {"windowDurationMins": 5}}}}}, USAGE, "5 minutes"),
        ({"usage": {"result": {"rateLimits": {"primary": WINDOW | {"resetsAt": 1_900_009_999}}}}}, USAGE, "12 %"),
        ({"usage": {"result": {"rateLimits": {"primary": WINDOW | {"resetsAt": None}}}}}, USAGE, "12 %"),
    ],
)
def test_different_answers_advise_against_it(
    appliance: ApplianceUnderTest, brokered: dict[str, Any], check: str, words: str
) -> None:
    """The finding shows both."""
    found = compared(appliance, SAME, SAME | brokered)
    assert found[check].level is Level.WRONG
    assert words in found[check].observed
    assert (found[BROKER].level, found[BROKER].to_do.startswith("Keep LOGIN_BROKER=false")) == (Level.WRONG, True)


def test_without_a_direct_answer_nothing_can_be_compared(appliance: ApplianceUnderTest) -> None:
    """The login, or the connection, is the reason."""
    found = compared(appliance, NOTHING, SAME)
    assert {found[USAGE].to_do, found[MODELS].to_do} == {"Check the shard's login."}


def test_a_refusal_is_named_although_the_answers_are_equal(appliance: ApplianceUnderTest) -> None:
    """Codex contains a list of models, which it uses if it gets none."""
    line = {"broker": "answer", "path": "codex/models", "status": 403, "at": 1, "challenge": True}
    found = compared(appliance, SAME, SAME, line, line)
    assert found[BROKER].level is Level.WRONG
    assert "codex/models: HTTP 403 (a challenge)." in found[BROKER].observed


def test_a_broker_that_does_not_start_is_reported(appliance: ApplianceUnderTest) -> None:
    """With its reason."""
    appliance.engine.on_exec("codex_answers", lambda process: process.stdout.write(b"{}"))

    def fail(process: FakeExec) -> int:
        process.stdout.write(b'{"broker_problem": "openssl is missing"}\n')
        return 1

    appliance.engine.on_exec(is_broker, fail)
    (found,) = login_broker(appliance.executor._resources)
    assert (found.level, "openssl is missing" in found.observed) == (Level.WRONG, True)
    assert appliance.containers() == []


def test_a_shard_that_a_run_uses_is_not_disturbed(appliance: ApplianceUnderTest) -> None:
    """The finding names the run."""
    resources = appliance.executor._resources
    name = resources.shards[1]
    appliance.engine.ensure_network(resources.settings.job_network, {})
    spec = login_spec(resources, name, role="agent", name=name.lock, login_volume=name.volume)
    spec.labels[LABEL_RUN] = "theirs"
    appliance.engine.start(spec)
    (found,) = login_broker(resources)
    assert found.observed == "Shard 1 is in use by run theirs."
    assert appliance.containers() == [name.lock]


def test_it_needs_an_account_and_codex(appliance: ApplianceUnderTest) -> None:
    """An API key has no usage windows, and another agent no broker."""
    save_shard(appliance.store, Shard(shard=1, login=LoginState.PRESENT, by_api_key=True))
    (found,) = login_broker(appliance.executor._resources)
    assert "login-shard" in found.to_do
    appliance.after(agent_backend="spec-kit:claude")
    (found,) = login_broker(appliance.executor._resources)
    assert "claude" in found.observed
