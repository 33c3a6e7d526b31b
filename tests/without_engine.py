"""Settings of an appliance that reaches neither an engine nor GitHub."""

from pathlib import Path

from moonmind_appliance.settings import Secret, Settings

TOKEN = "ghp_applianceToken0123456789abcdefghijkl"


def settings_without_engine(folder: Path) -> Settings:
    """With a data folder in this one."""
    return Settings(
        moonmind_data_dir=folder / "data",
        docker_host=f"unix://{folder}/no-engine.sock",
        github_token=Secret(TOKEN),
        github_api_url="http://127.0.0.1:9",
        min_free_disk=1,
        stop_grace=20,
    )
