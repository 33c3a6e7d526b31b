"""Several runs of one repository: the second clones from the cache, which only git containers mount."""

import json
import os
import subprocess
from contextlib import suppress
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


def commit_on_github(environment, files):
    """A commit on the base branch; returns its id."""
    environment.github.add_files(SLUG, files)
    return git(environment.github.git_folder(SLUG), "rev-parse", "main").strip()


@pytest.fixture(scope="module")
def two_runs(environment, caller, counter, tmp_path_factory):
    """A first run, and a second one after a commit on GitHub; each with its clone's metadata and bytes."""
    first = one_run(caller, counter)
    files = tmp_path_factory.mktemp("files")
    (files / "new.txt").write_text("new\n")
    new = commit_on_github(environment, files)
    return first, one_run(caller, counter), new


def test_the_second_run_takes_a_tenth_of_the_bytes(environment, two_runs):
    """Of all bytes that GitHub sends, over REST and Git; its commit is on the new commit of the base branch."""
    (_, first, first_bytes), (run, second, second_bytes), new = two_runs
    assert first["cache"] == {"used": False, "bytes": 0}
    assert first_bytes > 8 * MIB
    assert (second["cache"]["used"], second["base_commit"]) == (True, new)
    assert second["cache"]["bytes"] > 8 * MIB
    assert second_bytes <= first_bytes / 10
    folder = environment.github.git_folder(SLUG)
    assert git(folder, "rev-parse", f"{run['branch_name']}^").strip() == new
    assert "new.txt" in git(folder, "ls-tree", "--name-only", run["branch_name"])


def test_the_cache_has_only_packs(environment, two_runs, inside):
    """And their record; not the token. `.codex` is the image's empty folder at the mount point."""
    assert two_runs
    names = inside("find . -type f -o -type l -o -type p").split()
    assert {name.rpartition(".")[2] for name in names if "/pack-" in name} == {"pack", "idx"}
    others = sorted(name for name in names if "/pack-" not in name)
    assert others == ["./current/record.json", "./lock", "./writer.lock"]
    assert inside(f"grep -rc {environment.github_token} . | grep -v ':0$' | cat") == ""


def test_only_the_git_container_mounts_the_cache(caller, running, volumes, two_runs):
    """The agent's container never does."""
    assert two_runs
    (cache,) = volumes()
    label = f"label=moonmind.appliance={running.appliance.resources.appliance_id}"
    run_id = caller.submit(SLUG, TEXT)
    seen = {}
    while not seen.keys() >= {"agent", "git"}:
        assert caller.show(run_id)["status"] in ("queued", "in_progress")
        for name in docker("ps", "--format", "{{.Names}}", "--filter", label, "--filter", "label=moonmind.run").split():
            with suppress(subprocess.CalledProcessError):  # it ended in between
                (found,) = json.loads(docker("inspect", name))
                mounts = {mount["Name"]: mount["Destination"] for mount in found["Mounts"] if "Name" in mount}
                seen[found["Config"]["Labels"]["moonmind.role"]] = mounts
    caller.wait(run_id)
    assert seen["git"][cache] == "/work/codex-home"
    assert cache not in seen["agent"]


def test_a_run_succeeds_with_a_damaged_cache(environment, caller, counter, two_runs, inside):
    """It clones from GitHub, has the right commit, and repairs the cache for the next run."""
    _, _, new = two_runs
    inside("for pack in current/*.pack; do printf damaged | dd of=$pack bs=1 seek=20 conv=notrunc; done")
    run, metadata, fetched = one_run(caller, counter)
    assert (metadata["cache"]["used"], metadata["base_commit"]) == (False, new)
    assert fetched > 8 * MIB
    assert git(environment.github.git_folder(SLUG), "rev-parse", f"{run['branch_name']}^").strip() == new
    _, metadata, fetched = one_run(caller, counter)
    assert metadata["cache"]["used"] is True
    assert fetched < MIB


def test_a_lost_cache_is_made_again(environment, caller, counter, volumes, two_runs):
    """Its volume can be removed at any time without a run."""
    assert two_runs
    (cache,) = volumes()
    environment.engine.remove_volume(cache)
    _, metadata, _ = one_run(caller, counter)
    assert metadata["cache"]["used"] is False
    assert volumes() == [cache]
