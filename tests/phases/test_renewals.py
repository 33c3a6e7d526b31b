"""A run's containers are removed when its login broker does not renew the login."""

import threading

import pytest

from moonmind_appliance.errors import EngineError
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_RUN, ContainerState
from moonmind_appliance.phases.cleanup import remove_containers
from moonmind_appliance.phases.names import AGENT, EGRESS, GIT
from moonmind_appliance.phases.renewals import has_login_broker, wait_for_renewals
from moonmind_appliance.phases.start_job_container import agent_spec, git_spec
from moonmind_appliance.phases.wall import egress_spec
from tests.containers.fake import FakeEngine
from tests.containers.fake_exec import FakeExec
from tests.phases.contexts import RUN_ID, make_context


def started(*, login_broker: bool) -> FakeEngine:
    """The containers of a run."""
    ctx = make_context(settings={"login_broker": login_broker})
    engine = ctx.engine
    assert isinstance(engine, FakeEngine)
    engine.ensure_network(ctx.settings.job_network, {})
    for spec in (git_spec(ctx), egress_spec(ctx), agent_spec(ctx)):
        engine.start(spec)
    return engine


@pytest.mark.parametrize("roles", [(), (GIT,), (AGENT, EGRESS)])
def test_only_the_agents_container_is_removed_during_a_renewal(roles: tuple[str, ...]) -> None:
    """The git container's network is that of the broker."""
    engine = started(login_broker=True)
    renewing, renewed = threading.Event(), threading.Event()

    def wait(process: FakeExec) -> None:
        assert process.container.spec.name == "codex_auth_0-in-use"
        renewing.set()
        assert renewed.wait(20)

    engine.on_exec("renewal_wait", wait)
    thread = threading.Thread(target=remove_containers, args=(engine, "tests", RUN_ID, *roles))
    thread.start()
    assert renewing.wait(20)
    during = {each.spec.name for each in engine.container_data.values()}
    renewed.set()
    thread.join(20)
    assert {f"moonmind-git-{RUN_ID}", "codex_auth_0-in-use"} <= during
    left = {each.labels["moonmind.role"] for each in engine.containers({LABEL_APPLIANCE: "tests", LABEL_RUN: RUN_ID})}
    assert left == ({AGENT, GIT, EGRESS} - set(roles) if roles else set())


def test_without_a_broker_nothing_is_awaited() -> None:
    """An egress container without the login has another name."""
    engine = started(login_broker=False)
    engine.on_exec("renewal_wait", lambda _: pytest.fail("waits"))
    remove_containers(engine, "tests", RUN_ID)
    assert engine.container_data == {}


def test_a_container_that_does_not_answer_is_removed_anyway() -> None:
    """The removal must not depend on it."""
    engine = started(login_broker=True)
    engine.fail(EngineError("no answer"), method="execute")
    assert remove_containers(engine, "tests", RUN_ID).problems == []
    assert engine.container_data == {}


def test_which_container_has_a_broker() -> None:
    """The egress container whose name is the shard's lock, while it runs."""
    labels = {"moonmind.role": EGRESS, LABEL_RUN: "r"}
    assert has_login_broker(ContainerState("codex_auth_0-in-use", "1", True, labels))  # noqa: FBT003 - of a struct
    assert not has_login_broker(ContainerState("moonmind-egress-r", "1", True, labels))  # noqa: FBT003 - of a struct
    other = labels | {"moonmind.role": AGENT}
    assert not has_login_broker(ContainerState("codex_auth_0-in-use", "1", True, other))  # noqa: FBT003 - of a struct
    engine = FakeEngine()
    wait_for_renewals(engine, [ContainerState("codex_auth_0-in-use", "1", False, labels)])  # noqa: FBT003 - of a struct
    assert engine.calls == []
