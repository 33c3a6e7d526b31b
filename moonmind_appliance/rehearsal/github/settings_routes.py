"""The stand-in's operations on a repository's settings, which need permissions that no run needs."""

from typing import Any

from litestar import get

from moonmind_appliance.rehearsal.github.injected import REPOSITORY, RequestedRepository


@get(
    f"{REPOSITORY}/actions/permissions",
    operation="/actions/permissions#get-github-actions-permissions-for-a-repository",
    needs=("administration:read",),
    sync_to_thread=True,
)
def get_actions_permissions(repository: RequestedRepository) -> dict[str, Any]:  # noqa: ARG001 - checks the access
    """Which actions may run."""
    return {"enabled": True, "allowed_actions": "all"}


@get(
    f"{REPOSITORY}/actions/secrets",
    operation="/actions/secrets#list-repository-secrets",
    needs=("secrets:read",),
    sync_to_thread=True,
)
def list_secrets(repository: RequestedRepository) -> dict[str, Any]:  # noqa: ARG001 - checks the access
    """The names of the secrets: there are none."""
    return {"total_count": 0, "secrets": []}


@get(
    f"{REPOSITORY}/hooks",
    operation="/repos/webhooks#list-repository-webhooks",
    needs=("repository_hooks:read",),
    sync_to_thread=True,
)
def list_webhooks(repository: RequestedRepository) -> list[dict[str, Any]]:  # noqa: ARG001 - checks the access
    """The webhooks: there are none."""
    return []
