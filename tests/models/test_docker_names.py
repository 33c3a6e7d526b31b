"""The names in Docker that an operator and an older appliance rely on."""

from moonmind_appliance.models import git_container, version_label, workspace_volume


def test_names_contain_the_runs_id() -> None:
    """An appliance of another version finds the same objects."""
    assert git_container("r1") == "moonmind-git-r1"
    assert workspace_volume("r1") == "moonmind-run-r1"
    assert version_label("spec-kit") == "moonmind.spec-kit.version"
