"""The check of the wall around agents, on the fake engine. On Docker: tests/cli/test_doctor.py."""

from typing import Any

import pytest

from moonmind_appliance.checks.finding import Finding, Level
from moonmind_appliance.checks.wall import wall
from moonmind_appliance.settings import Settings
from tests.containers.fake import FakeEngine
from tests.containers.fake_exec import FakeExec


def checked(asked: tuple[int, bytes], direct: int, **settings: Any) -> tuple[Finding, FakeEngine]:
    """The finding if curl ends like that through the proxy, and without it."""
    engine = FakeEngine()
    known = Settings(**settings)
    engine.ensure_network(known.job_network, {})

    def curl(process: FakeExec) -> int:
        if "--noproxy" in process.spec.command:
            return direct
        assert process.spec.env["HTTPS_PROXY"] == "http://127.0.0.1:3128"
        process.stdout.write(asked[1])
        return asked[0]

    engine.on_exec("curl -sS", curl)
    return wall(engine, known), engine


@pytest.mark.parametrize("direct", [6, 7])
def test_a_wall_that_refuses_everything_else_is_shown_with_its_hosts(direct: int) -> None:
    """The proxy answers 403, and there is no name resolution or no route. Containers and volume are removed."""
    found, engine = checked((56, b"403"), direct, agent_egress_allow=("packages.example.com",))
    hosts = "chatgpt.com, auth.openai.com, api.openai.com, packages.example.com"
    assert (found.level, found.observed) == (Level.OK, f"on: the agent can reach {hosts}, and no other host.")
    assert (engine.container_data, engine.volume_data) == ({}, {})


@pytest.mark.parametrize(
    ("asked", "direct", "observed"),
    [
        ((0, b"200"), 0, "without the proxy"),
        ((56, b"403"), 0, "without the proxy"),
        ((56, b"403"), 28, "without the proxy"),
        ((7, b"000"), 6, "does not answer"),
        ((0, b"200"), 6, "does not answer"),
    ],
)
def test_a_wall_with_a_gap_prevents_runs(asked: tuple[int, bytes], direct: int, observed: str) -> None:
    """The proxy's refusal and the missing direct connection are checked separately."""
    found, engine = checked(asked, direct)
    assert found.level is Level.WRONG
    assert observed in found.observed
    assert engine.container_data == {}


def test_an_agent_with_unknown_hosts_needs_the_operators_list() -> None:
    """Without it every run would fail."""
    found, _ = checked((56, b"403"), 6, agent_backend="spec-kit:claude")
    assert (found.level, "AGENT_EGRESS_ALLOW" in found.to_do) == (Level.WRONG, True)
    found, _ = checked((56, b"403"), 6, agent_backend="spec-kit:claude", agent_egress_allow=("api.anthropic.com",))
    assert found.level is Level.OK


def test_a_wall_that_is_off_is_noted() -> None:
    """The operator turned it off. No container is started."""
    found, engine = checked((0, b""), 0, agent_wall=False)
    assert found.level is Level.NOTE
    assert not [call for call in engine.calls if call[0] == "start"]


def test_a_proxy_that_does_not_start_is_reported() -> None:
    """The proxy's program ended."""
    engine = FakeEngine()
    engine.ensure_network("moonmind-jobs", {})
    engine.on_exec("egress_proxy", 1)
    found = wall(engine, Settings())
    assert (found.level, found.observed) == (Level.WRONG, "The egress proxy did not start.")
    assert engine.container_data == {}
