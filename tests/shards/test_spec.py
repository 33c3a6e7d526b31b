"""Containers for login operations."""

from pathlib import Path

import pytest

from moonmind_appliance.models import Mount
from moonmind_appliance.models.container_paths import LOGIN_FOLDER
from moonmind_appliance.shards.spec import (
    SHORT_WORK_SECONDS,
    ensure_login_network,
    ensure_login_volume,
    login_spec,
    put_extra_ca,
)
from tests.appliance_under_test import ApplianceUnderTest, open_appliance


def test_a_login_container_ends_by_itself(appliance: ApplianceUnderTest) -> None:
    """Also if the appliance crashes. It has the login, and neither the workspace nor a token of GitHub."""
    resources = appliance.resources
    spec = login_spec(resources, resources.shards[1], role="check", name="box", login_volume="volume")
    assert spec.command == ["sleep", str(SHORT_WORK_SECONDS)]
    assert spec.mounts == [Mount("volume", LOGIN_FOLDER)]
    assert spec.env == resources.agent.environment()
    assert spec.labels == {
        "moonmind.appliance": resources.appliance_id,
        "moonmind.shard": "1",
        "moonmind.role": "check",
    }


def test_volume_and_network_are_created_once(appliance: ApplianceUnderTest) -> None:
    """A second call keeps the login."""
    shard = appliance.resources.shards[0]
    before = dict(appliance.engine.volume_data[shard.volume].files)
    for _ in range(2):
        ensure_login_volume(appliance.resources, shard)
        ensure_login_network(appliance.resources)
    assert appliance.engine.volume_data[shard.volume].files == before
    assert appliance.resources.settings.job_network in appliance.engine.networks


@pytest.mark.parametrize("configured", [False, True])
def test_the_operators_authorities_get_a_random_name(tmp_path: Path, *, configured: bool) -> None:
    """An agent could make a known name impossible to write. Without a file nothing is written."""
    (tmp_path / "ca.pem").write_bytes(b"PEM")
    with open_appliance(tmp_path / "data", extra_ca_certs=tmp_path / "ca.pem" if configured else None) as appliance:
        shard = appliance.resources.shards[0]
        ensure_login_network(appliance.resources)
        spec = login_spec(appliance.resources, shard, role="check", name=shard.lock, login_volume=shard.volume)
        appliance.engine.start(spec)
        variables = [put_extra_ca(appliance.resources, shard.lock) for _ in range(2)]
        paths = [path for found in variables for path in found.values()]
        assert len(set(paths)) == (2 if configured else 0)
        assert [appliance.engine.read_file(shard.lock, path, limit=10) for path in paths] == [b"PEM"] * len(paths)
