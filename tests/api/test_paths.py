"""The URLs that responses contain."""

from moonmind_appliance.api.paths import SCHEMA_PATH, content_path, run_path


def test_addresses_are_those_of_the_contract() -> None:
    """docs/api.md names them."""
    assert SCHEMA_PATH == "/api/spec-automation/schema"
    assert run_path("r") == "/api/spec-automation/runs/r"
    assert content_path("r", "a") == "/api/spec-automation/runs/r/artifacts/a/content"
