"""A rehearsal environment for each module: real engine, Codex, Spec Kit and git; stand-ins for OpenAI and GitHub."""

import json
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from moonmind_appliance import settings
from moonmind_appliance.models import FINAL_RUN_STATUSES
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment, RunningAppliance

API = "/api/spec-automation"


@pytest.fixture(scope="module")
def environment():
    with RehearsalEnvironment(settings.load({}).settings, shards=2) as made:
        yield made


@pytest.fixture(scope="module")
def running(environment):
    with RunningAppliance(environment.settings) as made:
        environment.sign_in(made, 0)
        yield made


@pytest.fixture(scope="module")
def caller(running):
    token = running.appliance.resources.store.tokens.create("journey", operator=True, expires_at=None)
    with httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        yield Caller(client)


class Caller:
    """Sends the requests that a user would send with curl."""

    def __init__(self, client):
        self.client = client

    def submit(self, repository, text, **more):
        answer = self.client.post(f"{API}/runs", json={"repository": repository, "specify_text": text, **more})
        assert answer.status_code == 202, answer.text
        return answer.json()["run_id"]

    def show(self, run_id):
        return self.client.get(f"{API}/runs/{run_id}").raise_for_status().json()

    def wait(self, run_id, until=lambda run: run["status"] in FINAL_RUN_STATUSES, seconds=100):
        limit = time.monotonic() + seconds
        while not until(run := self.show(run_id)):
            assert time.monotonic() < limit, json.dumps(run, indent=1)
            time.sleep(0.05)
        return run

    def artifact(self, run, name):
        found = next(entry for entry in run["artifacts"] if entry["name"] == name)
        path = f"{API}/runs/{run['run_id']}/artifacts/{found['artifact_id']}/content"
        return self.client.get(path).raise_for_status().content


def git(folder, *arguments, feed=None):
    """Run git on a repository on disk."""
    done = subprocess.run(["git", "-C", str(folder), *arguments], input=feed, capture_output=True, check=True)
    return done.stdout.decode(errors="surrogateescape")


def docker(*arguments):
    """Run the docker command."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def files_below(folder):
    """Every regular file's content, by path."""
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink()}
