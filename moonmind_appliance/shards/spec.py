"""Containers for login operations: like the agent's, and under the same lock if they mount the shard's volume."""

import secrets

from moonmind_appliance.in_container.ca_bundle import EXTRA_CA_VARIABLE
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_ROLE, LABEL_SHARD, ContainerSpec, Limits, Mount, ShardNames
from moonmind_appliance.models.container_paths import AGENT_HOME, LOGIN_FOLDER
from moonmind_appliance.resources import Resources
from moonmind_appliance.trust import extra_authorities

# Seconds that a person has for a sign-in; Codex's device codes expire after this time.
LOGIN_SECONDS = 15 * 60
# Longest time that a login operation keeps a shard's lock.
SHORT_WORK_SECONDS = 60


SIGN_IN, STAGING = "login", "staging"
"""The roles of a sign-in's container, and of the volume in which it makes a login."""


def login_labels(shard: ShardNames, appliance_id: str, role: str) -> dict[str, str]:
    """Labels of containers and volumes for login operations."""
    return {LABEL_APPLIANCE: appliance_id, LABEL_SHARD: str(shard.index), LABEL_ROLE: role}


def ensure_login_volume(resources: Resources, shard: ShardNames) -> None:
    """Create the shard's volume and the containers' network if they do not exist. Idempotent."""
    ensure_login_network(resources)
    resources.engine.ensure_volume(shard.volume, login_labels(shard, resources.appliance_id, "login"))


def ensure_login_network(resources: Resources) -> None:
    """Create the containers' network if it does not exist. Idempotent."""
    resources.engine.ensure_network(resources.settings.job_network, {LABEL_APPLIANCE: resources.appliance_id})


def login_spec(
    resources: Resources,
    shard: ShardNames,
    *,
    role: str,
    name: str,
    login_volume: str,
    command: list[str] | None = None,
) -> ContainerSpec:
    """A container with `login_volume` as the agent's login folder; it ends by itself even if the appliance crashes."""
    settings = resources.settings
    return ContainerSpec(
        name=name,
        image=settings.spec_automation_job_image,
        command=command or ["sleep", str(SHORT_WORK_SECONDS)],
        labels=login_labels(shard, resources.appliance_id, role),
        limits=Limits(settings.container_memory, settings.container_cpus, settings.container_pids),
        network=settings.job_network,
        env=resources.agent.environment(),
        mounts=[Mount(login_volume, LOGIN_FOLDER)],
        tmpfs={
            "/tmp": "rw,exec,nosuid,nodev,size=256m,mode=1777",  # noqa: S108 - a path inside the container
            AGENT_HOME: "rw,exec,nosuid,nodev,size=64m,mode=0700,uid=1000,gid=1000",
        },
    )


def put_extra_ca(resources: Resources, container: str) -> dict[str, str]:
    """Put the operator's certificate authorities into the login volume; returns the variable with its path.

    The name is random: an agent could block a known name, for instance with a folder.
    """
    ca_file = resources.settings.extra_ca_certs
    if ca_file is None:
        return {}
    path = f"{LOGIN_FOLDER}/extra-ca-{secrets.token_hex(8)}.pem"
    resources.engine.put_file(container, path, extra_authorities(ca_file))
    return {EXTRA_CA_VARIABLE: path}
