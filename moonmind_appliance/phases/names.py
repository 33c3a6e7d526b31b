"""The names of a run's containers, volumes, folders and labels."""

import msgspec

from moonmind_appliance.models import (
    LABEL_APPLIANCE,
    LABEL_REPOSITORY,
    LABEL_ROLE,
    LABEL_RUN,
    LABEL_SHARD,
    ShardNames,
    agent_container,
    egress_container,
    git_container,
    workspace_volume,
)
from moonmind_appliance.models.container_paths import WORKSPACES

AGENT, GIT, EGRESS = "agent", "git", "egress"
"""The roles of the run's containers, in their labels."""


class Names(msgspec.Struct, frozen=True):
    """The names of a run's containers, volumes and folders. They depend only on the run, the shard and LOGIN_BROKER.

    `broker`: LOGIN_BROKER, so the egress container has the login.
    """

    run_id: str
    appliance_id: str
    shard: ShardNames
    broker: bool = False

    @property
    def agent(self) -> str:
        """The agent container: its name is the shard's lock if it has the login."""
        return agent_container(self.run_id) if self.broker else self.shard.lock

    @property
    def login(self) -> str:
        """The container that has the login: its name is the shard's lock."""
        return self.shard.lock

    @property
    def git(self) -> str:
        """The git container."""
        return git_container(self.run_id)

    @property
    def egress(self) -> str:
        """The egress container: its name is the shard's lock if it has the login."""
        return self.shard.lock if self.broker else egress_container(self.run_id)

    @property
    def egress_volume(self) -> str:
        """The volume that the egress container shares with the agent container."""
        return egress_container(self.run_id)

    @property
    def workspace_volume(self) -> str:
        """The volume that the agent container and the git container share."""
        return workspace_volume(self.run_id)

    @property
    def git_volume(self) -> str:
        """The git container's own volume."""
        return git_container(self.run_id)

    @property
    def workspace(self) -> str:
        """The run's folder inside the containers."""
        return f"{WORKSPACES}/{self.run_id}"

    @property
    def repository(self) -> str:
        """The worktree inside the containers."""
        return f"{self.workspace}/repo"

    def labels(self, role: str) -> dict[str, str]:
        """Labels of every container and volume of this run; its repository's cache has others."""
        return {
            LABEL_APPLIANCE: self.appliance_id,
            LABEL_RUN: self.run_id,
            LABEL_SHARD: str(self.shard.index),
            LABEL_ROLE: role,
        }

    def cache_labels(self, repository: str) -> dict[str, str]:
        """Labels of the volume with the cache of a repository. No run's: it is kept when a run's volumes go."""
        return {LABEL_APPLIANCE: self.appliance_id, LABEL_ROLE: "cache", LABEL_REPOSITORY: repository.lower()}
