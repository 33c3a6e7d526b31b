"""`purge` removes the objects of one appliance from the engine, and nothing of another."""

import pytest

from moonmind_appliance.errors import EngineUnreachable
from moonmind_appliance.models import (
    LABEL_APPLIANCE,
    LABEL_REPOSITORY,
    LABEL_ROLE,
    LABEL_RUN,
    ContainerSpec,
    Limits,
    Mount,
)
from moonmind_appliance.runs.purge import appliances_on, belongings, purge
from tests.containers.fake import JOB_IMAGE, FakeEngine

NETWORK = "moonmind-jobs"


def container(engine: FakeEngine, name: str, appliance_id: str, volume: str) -> None:
    engine.start(
        ContainerSpec(
            name=name,
            image=JOB_IMAGE,
            command=["sleep", "infinity"],
            labels={LABEL_APPLIANCE: appliance_id},
            limits=Limits(1, 1, 1),
            mounts=[Mount(volume, "/work")],
        )
    )


@pytest.fixture
def engine() -> FakeEngine:
    """Two appliances, each with a run in progress, a login, a cache, a staging volume; another program's volume."""
    made = FakeEngine()
    made.ensure_network(NETWORK, {LABEL_APPLIANCE: "a"})
    for name in ("a", "b"):
        label = {LABEL_APPLIANCE: name}
        made.ensure_volume(f"run-{name}", {**label, LABEL_RUN: "1", LABEL_ROLE: "workspace"})
        made.ensure_volume(f"login-{name}", {**label, LABEL_ROLE: "login"})
        made.ensure_volume(f"cache-{name}", {**label, LABEL_REPOSITORY: "acme/shop", LABEL_ROLE: "cache"})
        made.ensure_volume(f"staging-{name}", {**label, LABEL_ROLE: "staging"})
        container(made, f"agent-{name}", name, f"run-{name}")
    made.ensure_volume("codex_auth_0", {})
    made.ensure_volume("codex_auth_0-backup", {})
    return made


def test_each_object_has_its_kind(engine: FakeEngine) -> None:
    """Containers, workspaces, logins and other volumes are listed apart; login volumes also by name."""
    found = belongings(engine, "a", login_prefix="codex_auth_")
    assert (found.containers, found.running) == (["agent-a"], ["agent-a"])
    assert (found.workspaces, found.caches, found.others) == (["run-a"], ["cache-a"], ["staging-a"])
    assert found.logins == ["codex_auth_0", "login-a"]


def test_the_appliances_on_an_engine_are_listed(engine: FakeEngine) -> None:
    """Every id that a container or volume carries is listed, without any database."""
    assert [found.appliance_id for found in appliances_on(engine)] == ["a", "b"]


def test_purge_removes_one_appliance_and_keeps_its_logins(engine: FakeEngine) -> None:
    """The other appliance, the logins and volumes of other programs are left."""
    done = purge(engine, belongings(engine, "a"), network=NETWORK)
    assert (done.removed, done.failed) == (["agent-a", "run-a", "cache-a", "staging-a", NETWORK], {})
    assert set(engine.volume_data) == {
        "run-b",
        "login-a",
        "login-b",
        "cache-b",
        "staging-b",
        "codex_auth_0",
        "codex_auth_0-backup",
    }
    assert set(engine.container_data) == {"agent-b"}


def test_purge_removes_logins_when_asked(engine: FakeEngine) -> None:
    """With `logins` the login volumes go, too."""
    done = purge(engine, belongings(engine, "a", login_prefix="codex_auth_"), logins=True)
    assert {"codex_auth_0", "login-a"} <= set(done.removed)
    assert "codex_auth_0-backup" in engine.volume_data


def test_purge_twice_finds_nothing(engine: FakeEngine) -> None:
    """The second call removes nothing, and is no error."""
    purge(engine, belongings(engine, "a"))
    assert belongings(engine, "a").names(logins=False) == []
    assert purge(engine, belongings(engine, "a")).removed == []


def test_a_volume_in_use_does_not_stop_the_removal_of_others(engine: FakeEngine) -> None:
    """A volume that another container uses is reported; everything else, except the network, is removed."""
    container(engine, "backup", "other", "run-a")
    done = purge(engine, belongings(engine, "a"), network=NETWORK)
    assert list(done.failed) == ["run-a"]
    assert done.removed == ["agent-a", "cache-a", "staging-a"]
    assert NETWORK in engine.networks


def test_an_engine_that_does_not_respond_is_an_error(engine: FakeEngine) -> None:
    """Without an engine nothing can be listed, so nothing is reported as removed."""
    engine.fail(EngineUnreachable("no engine"), method="containers")
    with pytest.raises(EngineUnreachable):
        belongings(engine, "a")
