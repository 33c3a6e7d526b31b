"""The names of a run's containers, volumes and folders."""

from moonmind_appliance.models import ShardNames
from moonmind_appliance.phases.names import Names

NAMES = Names("r1", "appliance-1", ShardNames(2, "codex_auth_"))


def test_names_depend_only_on_run_and_shard() -> None:
    """Another process finds the same objects; the agent container's name is the lock of the shard."""
    assert (NAMES.agent, NAMES.git) == ("codex_auth_2-in-use", "moonmind-git-r1")
    assert (NAMES.workspace_volume, NAMES.git_volume) == ("moonmind-run-r1", "moonmind-git-r1")
    assert (NAMES.workspace, NAMES.repository) == ("/work/runs/r1", "/work/runs/r1/repo")


def test_with_a_login_broker_the_egress_container_has_the_lock() -> None:
    """The lock is the name of the only container that may mount the login; the volume's name stays the same."""
    broker = Names("r1", "appliance-1", ShardNames(2, "codex_auth_"), broker=True)
    assert (broker.egress, broker.agent) == ("codex_auth_2-in-use", "moonmind-agent-r1")
    assert (NAMES.egress, NAMES.agent) == ("moonmind-egress-r1", "codex_auth_2-in-use")
    assert broker.login == NAMES.login == "codex_auth_2-in-use"
    assert broker.egress_volume == NAMES.egress_volume == "moonmind-egress-r1"


def test_labels_name_appliance_run_shard_and_role() -> None:
    """Recovery and sweeps find the objects by these."""
    assert NAMES.labels("git") == {
        "moonmind.appliance": "appliance-1",
        "moonmind.run": "r1",
        "moonmind.shard": "2",
        "moonmind.role": "git",
    }


def test_a_caches_labels_name_no_run() -> None:
    """It stays when the volumes of a run are removed."""
    assert NAMES.cache_labels("Acme/Shop") == {
        "moonmind.appliance": "appliance-1",
        "moonmind.role": "cache",
        "moonmind.repository": "acme/shop",
    }
