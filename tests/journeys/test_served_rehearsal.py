"""A served rehearsal: what it prints works as printed, and SIGTERM leaves nothing."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.journeys.conftest import API, Caller, docker

pytestmark = [pytest.mark.docker, pytest.mark.image, pytest.mark.timeout(600)]

PROGRAM = [sys.executable, "-m", "moonmind_appliance.cli"]


def shell_environment():
    """The environment of an operator's shell, with a setting that must not override the env file."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
    return keep | {"GITHUB_TOKEN": "ghp_of_the_operator"}


class Served:
    """`rehearse --serve --json` in a process of its own, with its temporary folder in `folder`."""

    def __init__(self, folder):
        self.folder = folder
        self.process = subprocess.Popen(
            [*PROGRAM, "rehearse", "--serve", "--json", "--think", "0", "--shards", "2"],
            env=shell_environment() | {"TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = []
        while not lines or lines[-1] != "}\n":
            lines.append(self.process.stdout.readline())
            assert lines[-1], "the rehearsal ended before it was ready"
        self.printed = json.loads("".join(lines))
        self.id = re.search(r"moonmind-rehearsal-([0-9a-f]{8})-", self.printed["data_dir"])[1]

    def shell(self, line):
        """Run a printed line in a shell; `moonmind-appliance` is the tests' own."""
        line = line.replace("moonmind-appliance", " ".join(PROGRAM), 1) if "--env-file" in line else line
        done = subprocess.run(
            ["sh", "-euc", line], env=shell_environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def command(self, name):
        """The printed command of that name."""
        (found,) = [line for line in self.printed["commands"] if f"moonmind-appliance {name} " in line]
        return found

    def leftovers(self):
        """The names of its objects on the engine, and its files."""
        listings = (("ps", "--all", "--format={{.Names}}"), ("volume", "ls", "--quiet"))
        names = [name for listing in listings for name in docker(*listing).split()]
        names += docker("network", "ls", "--format={{.Name}}").split()
        return [name for name in names if self.id in name] + [path.name for path in self.folder.iterdir()]

    def stop(self):
        """Terminate it; returns its exit code. Safe twice."""
        self.process.terminate()
        code = self.process.wait(100)
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("served"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def run(served):
    """The run that the printed curl command submits, at its end."""
    run_id = json.loads(served.shell(served.printed["curl"]))["run_id"]
    headers = {"Authorization": f"Bearer {served.printed['token']}"}
    with httpx.Client(base_url=served.printed["base_url"], headers=headers, timeout=30) as client:
        return Caller(client).wait(run_id)


def test_the_printed_curl_command_submits_a_run_that_succeeds(served, run):
    """Its pull request is on the printed address, for a browser on this machine."""
    assert run["status"] == "succeeded"
    listed = httpx.get(f"{served.printed['github_url']}/{served.printed['repository']}/pulls")
    assert "Due dates for the reading list" in listed.text
    assert "spec.md" in httpx.get(run["pull_request_url"]).text


def test_the_printed_commands_reach_the_appliance(served, run):
    """Also in a shell whose variables would override the env file, and with a sign-in."""
    assert "-u GITHUB_TOKEN" in served.command("tui")
    listed = served.shell(served.command("runs watch latest").replace("watch latest", "list"))
    assert run["run_id"][:8] in listed
    assert "is signed in as" in served.shell(served.command("login-shard 0"))
    assert "codex-1@rehearsal.example" in served.shell(served.command("shards"))


def test_the_tokens_have_their_roles(served):
    """The first submits and sees its own runs, the second is an operator's."""
    codes = [
        httpx.get(f"{served.printed['api_url']}/shards", headers={"Authorization": f"Bearer {token}"}).status_code
        for token in (served.printed["token"], served.printed["operator_token"])
    ]
    assert codes == [403, 200]


def test_the_postman_environment_is_filled_in(served):
    """It has the same variables as the delivered one, and only this user can read it."""
    path = Path(served.printed["postman_environment"])
    delivered = Path(__file__).parents[2] / "docs/postman/moonmind.postman_environment.json"
    values = {entry["key"]: entry["value"] for entry in json.loads(path.read_text(encoding="utf-8"))["values"]}
    assert list(values) == [entry["key"] for entry in json.loads(delivered.read_text(encoding="utf-8"))["values"]]
    assert (values["base_url"], values["repository"]) == (served.printed["base_url"], served.printed["repository"])
    assert path.stat().st_mode & 0o077 == 0
    bearer = {"Authorization": f"Bearer {values['moonmind_api_token']}"}
    assert httpx.get(f"{values['base_url']}{API}/runs", headers=bearer).status_code == 200


def test_sigterm_during_a_run_leaves_nothing(served):
    """No container, volume, network or folder; the exit code is 0."""
    served.shell(served.printed["curl"])
    assert served.leftovers()
    assert (served.stop(), served.leftovers()) == (0, [])
