"""The agent interface supports other agents: one that is not Codex does a complete run, with Spec Kit's own engine."""

import subprocess
import uuid

import httpx
import pytest

from moonmind_appliance import settings
from moonmind_appliance.models import LoginState
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment, RunningAppliance
from moonmind_appliance.rehearsal.openai import feature_files
from moonmind_appliance.runs.sign_in import SignIn

from .conftest import Caller, docker, files_below, git

pytestmark = [pytest.mark.docker, pytest.mark.image]

TEXT = '# Dark mode\n\n- Goal: "dark" colours, {{ inputs.integration }} and $HOME\n- Zeit für \U0001f319\ttab'
KEY = "key-of-the-stand-in-0123456789"
# What `claude -p PROMPT` would do, for three prompts.
AGENT = f"""#!/bin/sh
[ "$1" = "-p" ] && [ "$STAND_IN_KEY" = "{KEY}" ] || exit 7
printf '%s' "$2" > /tmp/prompt
echo "using $STAND_IN_KEY"
case "$2" in
/speckit-specify*)
    [ "$2" = "/speckit-specify $(cat /opt/stand-in/text)" ] || exit 8
    mkdir -p .specify && printf '%s' '{{"feature_directory": "FEATURE"}}' > .specify/feature.json
    mkdir -p FEATURE && cp -r /opt/stand-in/FEATURE/spec.md FEATURE/ ;;
/speckit-plan*) cp /opt/stand-in/FEATURE/plan.md FEATURE/ ;;
/speckit-tasks*) cp /opt/stand-in/FEATURE/tasks.md FEATURE/ ;;
*) exit 9 ;;
esac
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The job image with a stand-in for another agent's executable."""
    folder = tmp_path_factory.mktemp("image")
    files = feature_files(TEXT)
    feature = next(name.rpartition("/")[0] for name in files if name.endswith("/spec.md"))
    for name, content in files.items():
        path = folder / "stand-in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "stand-in/text").write_text(TEXT)
    (folder / "claude").write_text(AGENT.replace("FEATURE", feature))
    (folder / "claude").chmod(0o755)
    (folder / "Dockerfile").write_text(
        f"FROM {settings.load({}).settings.spec_automation_job_image}\n"
        "COPY claude /usr/local/bin/claude\nCOPY stand-in /opt/stand-in\nLABEL moonmind.claude.version=0.0.1\n"
    )
    tag = f"moonmind-test-other-agent:{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "build", "--quiet", "--tag", tag, str(folder)], check=True, capture_output=True)
    yield tag
    docker("image", "rm", "--force", tag)


@pytest.fixture(scope="module")
def finished(image):
    """A finished run, and its environment."""
    overrides = {"SPEC_AUTOMATION_JOB_IMAGE": image, "AGENT_BACKEND": "spec-kit:claude"}
    with (
        RehearsalEnvironment(settings.load({}).settings, overrides=overrides) as environment,
        RunningAppliance(environment.settings) as running,
    ):
        resources = running.appliance.resources
        (step,) = SignIn.from_file(resources, 0, f"STAND_IN_KEY={KEY}\n".encode())
        assert step.shard.login is LoginState.PRESENT
        environment.github.add_repository("journey/other-agent")
        token = resources.store.tokens.create("other", operator=True, expires_at=None)
        with httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            caller = Caller(client)
            run = caller.wait(caller.submit("journey/other-agent", TEXT))
            log = caller.artifact(run, "speckit_specify.stderr.log").decode()
        yield environment, run, log


def test_the_run_ends_with_a_pull_request_of_the_three_documents(finished):
    """The same phases, acceptance checks and publishing; the commit has nothing of the agent's set-up."""
    environment, run, _ = finished
    assert run["status"] == "succeeded", run["failure"]
    bare = environment.github.git_folder("journey/other-agent")
    names = git(bare, "diff", "--name-only", f"main..{run['branch_name']}").split()
    assert {name.rpartition("/")[2] for name in names} == {"spec.md", "plan.md", "tasks.md"}


def test_the_run_records_its_agent(finished):
    """Backend and versions are stored with the run."""
    _, run, _ = finished
    assert (run["agent"]["backend"], run["agent"]["version"]) == ("spec-kit:claude", "0.0.1")
    assert run["agent"]["prompt_pack_version"].startswith("spec-kit 1.")


def test_its_key_is_redacted(finished):
    """The agent printed it; no file of the data folder contains it."""
    environment, _, log = finished
    assert "using [redacted:" in log
    assert [path for path, data in files_below(environment.data_dir).items() if KEY.encode() in data] == []
