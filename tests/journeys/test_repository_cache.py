"""Several runs of one repository: the second clones from the cache, which only git containers mount."""

import os
from urllib.parse import urlsplit

import pytest

from moonmind_appliance import settings
from moonmind_appliance.models import LABEL_APPLIANCE, LABEL_ROLE
from moonmind_appliance.rehearsal.environment import RunningAppliance
from tests.github.byte_counter import ByteCounter

from .conftest import docker, git

pytestmark = [pytest.mark.docker, pytest.mark.image]

SLUG = "journey/cached"
TEXT = "# Dark mode\n\n- Goal: people can switch to dark colours"
MIB = 1024**2


@pytest.fixture(scope="module")
def counter(environment):
    address = urlsplit(environment.github.server_url).hostname
    with ByteCounter(address, environment.github.server_url) as made:
        yield made


@pytest.fixture(scope="module")
def running(environment, counter, tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for number in range(8):
        (source / f"data-{number}.bin").write_bytes(os.urandom(MIB))
    environment.github.add_repository(SLUG, source)
    api = counter.url + urlsplit(environment.github.api_url).path
    given = environment.variables() | {"GITHUB_SERVER_URL": counter.url, "GITHUB_API_URL": api}
    with RunningAppliance(settings.load(given).settings) as made:
        environment.sign_in(made, 0)
        yield made


@pytest.fixture(scope="module")
def volumes(environment, running):
    """The caches of this appliance."""
    label = {LABEL_APPLIANCE: running.appliance.resources.appliance_id, LABEL_ROLE: "cache"}
    return lambda: [volume.name for volume in environment.engine.volumes(label)]


@pytest.fixture(scope="module")
def inside(environment, volumes):
    """Run a shell command in the cache."""

    def run(script):
        (volume,) = volumes()
        image = environment.settings.spec_automation_job_image
        return docker(
            "run", "--rm", "-v", f"{volume}:/work/codex-home", "-w", "/work/codex-home", image, "sh", "-c", script
        )

    return run


def one_run(caller, counter, **more):
    """A run, its clone's metadata, and the bytes that GitHub sent."""
    before = counter.sent
    run = caller.wait(caller.submit(SLUG, TEXT, **more))
    assert run["status"] == "succeeded", run["result_summary"]
    (metadata,) = (phase["metadata"] for phase in run["phases"] if phase["phase"] == "git_clone")
    return run, metadata, counter.sent - before


def test_the_second_run_takes_a_tenth_of_the_bytes(environment, caller, counter, inside):
    """All bytes that GitHub sends, over REST and git, although the base branch has a new commit."""
    _, first, first_bytes = one_run(caller, counter)
    assert first["cache"] == {"used": False, "bytes": 0}
    assert first_bytes > 8 * MIB
    folder = environment.github.git_folder(SLUG)
    tree = git(folder, "rev-parse", "main^{tree}").strip()
    new = git(
        folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", tree, "-p", "main", "-m", "new"
    ).strip()
    git(folder, "update-ref", "refs/heads/main", new)
    run, second, second_bytes = one_run(caller, counter)
    assert second["cache"]["used"] is True
    assert second["base_commit"] == new
    print(first_bytes, second_bytes)
    assert second_bytes <= first_bytes / 10
    assert git(folder, "rev-parse", f"{run['branch_name']}^").strip() == new
    print(inside("ls -la . current; cat current/record.json"))
