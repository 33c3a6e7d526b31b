"""The stack of compose.yaml, from `up` to a finished run to `down --volumes`, with the commands of docs/compose.md."""

import json
import time

import httpx
import pytest

from moonmind_appliance.models import FINAL_RUN_STATUSES
from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse

from .stack import API, documented

pytestmark = [pytest.mark.compose, pytest.mark.docker, pytest.mark.image, pytest.mark.timeout(900)]

SLUG = "compose/reading-list"


@pytest.fixture(scope="module")
def up(stack):
    """The appliance only, as `docker compose up -d` starts it."""
    stack.mark("up")
    stack.shell(documented("up -d --wait\n"))
    stack.answers()
    stack.mark("API answers")
    return stack


@pytest.fixture(scope="module")
def services_without_profile(up):
    return set(up.containers())


@pytest.fixture(scope="module")
def local_answer(up):
    """The API's response to a token created with the documented command, before Keycloak runs."""
    script = documented("token create") + "\nprintf '%s' \"$MOONMIND_API_TOKEN\"\n"
    return httpx.get(f"{up.api_url}{API}/shards", headers={"Authorization": f"Bearer {up.shell(script)}"})


@pytest.fixture(scope="module")
def keycloak(up, services_without_profile, local_answer):
    """Keycloak with a user, and the appliance configured for it."""
    up.shell(documented("--profile keycloak up"))
    up.set(documented("AUTH_PROVIDER=keycloak"))
    up.compose("up", "-d", "api")
    up.wait_for_health("keycloak", 180)
    up.mark("Keycloak is healthy")
    up.add_user("maya", "correct horse")
    up.answers()
    return up


@pytest.fixture(scope="module")
def signed_in(up):
    """Shard 0 is signed in."""
    return up.compose("exec", "-T", "api", "moonmind-appliance", "login-shard", "0")


@pytest.fixture(scope="module")
def caller(keycloak):
    """A caller with a token from Keycloak."""
    headers = {"Authorization": f"Bearer {keycloak.token('maya', 'correct horse')}"}
    with httpx.Client(base_url=keycloak.api_url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def run(stack, signed_in, caller):
    """A run, from its submission to its end."""
    stack.mark("signed in, token in hand")
    stack.github.add_repository(SLUG)
    answer = caller.post(
        f"{API}/runs", json={"repository": SLUG, "specify_text": "# Dark mode\n\n- Goal: dark colours"}
    )
    assert answer.status_code == 202, answer.text
    ends = time.monotonic() + 120
    while (seen := caller.get(answer.headers["Location"]).raise_for_status().json())[
        "status"
    ] not in FINAL_RUN_STATUSES:
        assert time.monotonic() < ends, json.dumps(seen, indent=1) + stack.compose("logs", "api")
        time.sleep(0.1)
    stack.mark("run is finished")
    stack.remember_appliance()
    print(f"\nseconds from up: {stack.times()}")
    return seen


def test_up_without_the_profile_starts_only_the_appliance(services_without_profile):
    """`docker compose up -d` needs no Keycloak: it starts the API, after a service created the login volumes."""
    assert services_without_profile == {"api", "job-image"}


def test_the_service_that_creates_the_volumes_has_ended(up):
    """It ended with exit code 0."""
    state = up.containers()["job-image"]["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)


def test_the_health_check_finds_the_api_healthy(up):
    """`docker compose ps` reports healthy."""
    up.wait_for_health("api", 60)


def test_the_api_is_published_on_the_loopback_address_only(up):
    """Both ports are bound to it unless the operator changes that."""
    bindings = up.containers()["api"]["HostConfig"]["PortBindings"]["5000/tcp"]
    assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}


def test_the_appliance_has_no_privilege_but_the_socket(up):
    """No capability but those to remove workspaces, no new privileges, a read-only root, and few mounts."""
    state = up.containers()["api"]
    host = state["HostConfig"]
    assert (host["Privileged"], host["CapDrop"], host["ReadonlyRootfs"]) == (False, ["ALL"], True)
    assert {name.removeprefix("CAP_") for name in host["CapAdd"]} == {"DAC_OVERRIDE", "FOWNER"}
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert (host["Memory"], host["PidsLimit"]) == (2 << 30, 1024)
    assert {mount["Destination"]: mount["RW"] for mount in state["Mounts"]} == {
        "/work": True,
        "/work/workspaces": True,
        "/var/run/docker.sock": True,
        "/run/moonmind/extra-ca.pem": False,
    }


def test_the_api_requires_a_token(up):
    """With and without Keycloak."""
    assert httpx.get(f"{up.api_url}{API}/runs").status_code == 401


def test_without_keycloak_the_appliance_creates_tokens(local_answer):
    """The documented alternative, without users."""
    assert local_answer.status_code == 200


def test_tokens_name_the_address_that_callers_use(keycloak):
    """Keycloak's issuer is the published address, also for the appliance, which uses an internal one."""
    answer = httpx.get(f"{keycloak.keycloak_url}/realms/moonmind/.well-known/openid-configuration").raise_for_status()
    assert answer.json()["issuer"] == f"{keycloak.keycloak_url}/realms/moonmind"


def test_a_documented_token_is_accepted(caller):
    """A user created in Keycloak gets a token with the documented command, and the appliance accepts it."""
    assert caller.get(f"{API}/runs").status_code == 200


def test_everything_is_ready(keycloak, signed_in):
    """With a GitHub token, one login and Keycloak, nothing is missing."""
    answer = httpx.get(f"{keycloak.api_url}{API}/ready", timeout=30)
    assert answer.status_code == 200, answer.text


def test_a_run_succeeds(stack, run):
    """Submitted with Keycloak's token, it ends with a draft pull request, and belongs to the caller."""
    assert run["status"] == "succeeded", run["failure"]
    assert run["created_by"]["username"] == "maya"
    (pull,) = stack.github.pull_requests(SLUG)
    assert (pull.draft, pull.html_url, pull.head) == (True, run["pull_request_url"], run["branch_name"])


def test_artifacts_are_stored_at_the_documented_path(stack, run):
    """Under /work/runs/<run_id>/artifacts in the container."""
    listed = stack.compose("exec", "-T", "api", "ls", f"/work/runs/{run['run_id']}/artifacts").split()
    assert {entry["name"] for entry in run["artifacts"]} <= set(listed)


def test_artifacts_are_downloaded_through_the_api(caller, run):
    """From the URL in the artifact's details."""
    first = run["artifacts"][0]
    detail = caller.get(f"{API}/runs/{run['run_id']}/artifacts/{first['artifact_id']}").raise_for_status().json()
    assert len(caller.get(detail["download_url"]).raise_for_status().content) == first["size_bytes"]


def test_the_github_token_is_in_no_log(stack, run):
    """Nothing that the stack logged contains it."""
    assert stack.settings["GITHUB_TOKEN"] not in stack.compose("logs")


def test_the_log_shows_each_phase_of_the_run(stack, run):
    """`docker compose logs api` has a line for the start and for the end of each phase, with its duration."""
    log = stack.compose("logs", "--no-log-prefix", "api")
    for phase in run["phases"]:
        assert f"Run {run['run_id'][:8]}: {phase['phase']} succeeded after" in log


def test_a_new_container_uses_the_old_data(stack, run, caller):
    """`down` and `up` keep runs, artifacts and logins; the old container stopped in time."""
    stack.compose("stop", "api")
    assert stack.containers()["api"]["State"]["ExitCode"] == 0
    stack.compose("up", "-d", "--force-recreate", "api")
    stack.answers()
    assert caller.get(f"{API}/runs/{run['run_id']}").json() == run
    shards = json.loads(stack.compose("exec", "-T", "api", "moonmind-appliance", "shards", "--json"))
    assert [shard["login"] for shard in shards["items"]][:1] == ["present"]


def test_nothing_warns_of_the_products_own_image(stack, run):
    """A fresh stack gets no warning about its data folder or address, and shows the published address of the docs."""
    log = stack.compose("logs", "--no-log-prefix", "api")
    assert "without TLS" not in log
    assert f"API docs on {stack.api_url.replace('localhost', '127.0.0.1')}" in log
    checks = json.loads(stack.compose("exec", "-T", "api", "sh", "-c", "moonmind-appliance doctor --json || true"))
    (folder,) = [finding for finding in checks if finding["check"] == "data folder"]
    assert folder["grade"] == "ok", folder


def test_an_ended_run_keeps_its_workspace_until_its_time(stack, run):
    """A folder of the declared volume, closed to other users of the container; no volume of its own."""
    workspace = f"moonmind-run-{run['run_id']}"
    assert workspace in stack.compose("exec", "-T", "api", "ls", "/work/workspaces").split()
    assert workspace not in stack.docker("volume", "ls", "--quiet").split()
    listing = ("sh", "-c", "ls /work/workspaces || echo closed")
    assert stack.compose("exec", "-T", "--user", "1000:1000", "api", *listing) == "closed\n"


def test_a_container_of_a_run_sees_its_own_workspace_alone(stack, run, caller):
    """Two runs have two folders, and neither can be reached from the other's containers."""
    stack.openai.respond_with(ScriptedResponse(ResponseKind.SILENT))
    location = caller.post(f"{API}/runs", json={"repository": SLUG, "specify_text": "# Night"}).headers["Location"]
    ends = time.monotonic() + 60
    while caller.get(location).json()["phases"][3]["status"] != "running":
        assert time.monotonic() < ends
        time.sleep(0.1)
    (appliance_id,) = stack.appliance_ids
    agent = next(name for name in stack.leftovers(f"moonmind.appliance={appliance_id}") if name.endswith("-in-use"))
    other, own = f"moonmind-run-{run['run_id']}", f"moonmind-run-{location.rpartition('/')[2]}"
    (state,) = json.loads(stack.docker("inspect", agent))
    workspaces = [mount for mount in state["Mounts"] if mount["Destination"] == "/work/runs"]
    assert [mount["Source"].rpartition("/")[2] for mount in workspaces] == [own]
    assert other not in stack.docker("exec", agent, "sh", "-c", "ls -a /work/runs /work/runs/.. /work")


def test_down_with_volumes_leaves_nothing(stack, run, caller):
    """Containers, networks, logins and the workspaces of all runs are gone, also those of a run in progress."""
    (appliance_id,) = stack.appliance_ids
    label = f"moonmind.appliance={appliance_id}"
    assert any(name.endswith("-in-use") for name in stack.leftovers(label))
    stack.compose("down", "--volumes")
    assert stack.leftovers(f"com.docker.compose.project={stack.project}") == []
    assert stack.leftovers(label) == []
    volumes = stack.docker("volume", "ls", "--quiet").split()
    assert [name for name in volumes if stack.id in name or run["run_id"] in name] == []
