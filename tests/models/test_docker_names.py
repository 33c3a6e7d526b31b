"""The names in Docker that an operator and an older appliance rely on."""

import re

from moonmind_appliance.models import cache_volume, git_container, version_label, workspace_volume


def test_names_contain_the_runs_id() -> None:
    """An appliance of another version finds the same objects."""
    assert git_container("r1") == "moonmind-git-r1"
    assert workspace_volume("r1") == "moonmind-run-r1"
    assert version_label("spec-kit") == "moonmind.spec-kit.version"


def test_two_repositories_never_share_a_cache() -> None:
    """One name for each appliance, server, name in any case, and GitHub's number."""
    known = ("appliance", "https://github.com", "acme/shop", 1)
    name = cache_volume(*known)
    assert re.fullmatch(r"moonmind-cache-[0-9a-f]{16}", name)
    assert cache_volume("appliance", "https://github.com", "Acme/Shop", 1) == name
    others = [("other",), ("appliance", "https://ghe.example"), (*known[:2], "acme/shop2"), (*known[:3], 2)]
    names = {cache_volume(*(given + known[len(given) :])) for given in others}  # type: ignore[arg-type]
    assert len(names | {name}) == 5
