"""The names and labels of the appliance's objects in Docker, and the labels of its job image."""

import hashlib

LABEL_APPLIANCE = "moonmind.appliance"
LABEL_RUN = "moonmind.run"
LABEL_SHARD = "moonmind.shard"
LABEL_ROLE = "moonmind.role"
LABEL_REHEARSAL = "moonmind.rehearsal"
LABEL_BUILD = "moonmind.build"
LABEL_REPOSITORY = "moonmind.repository"


def version_label(tool: str) -> str:
    """The job image's label with the version of that tool; job_image/README.md lists them."""
    return f"moonmind.{tool}.version"


def agent_container(run_id: str) -> str:
    """The name of a run's agent container with LOGIN_BROKER. Without it, its name is the shard's lock."""
    return f"moonmind-agent-{run_id}"


def git_container(run_id: str) -> str:
    """The name of a run's git container, and of the volume that only that container mounts."""
    return f"moonmind-git-{run_id}"


def egress_container(run_id: str) -> str:
    """The name of a run's egress container, and of the volume through which it gets the agent's listening socket.

    With LOGIN_BROKER only the volume has it: the container's name is the shard's lock.
    """
    return f"moonmind-egress-{run_id}"


def workspace_volume(run_id: str) -> str:
    """The volume that a run's agent and git containers share."""
    return f"moonmind-run-{run_id}"


def cache_volume(appliance_id: str, server_url: str, repository: str, repository_id: int) -> str:
    """The volume with the cache of a repository; `repository_id` is GitHub's, which another one never gets."""
    identity = f"{appliance_id}\n{server_url}\n{repository.lower()}\n{repository_id}"
    return f"moonmind-cache-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
