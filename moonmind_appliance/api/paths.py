"""The URLs that responses contain."""

from moonmind_appliance.api_address import BASE_PATH

SCHEMA_PATH = f"{BASE_PATH}/schema"


def run_path(run_id: str) -> str:
    """URL of the run."""
    return f"{BASE_PATH}/runs/{run_id}"


def content_path(run_id: str, artifact_id: str) -> str:
    """URL of an artifact's bytes."""
    return f"{run_path(run_id)}/artifacts/{artifact_id}/content"
