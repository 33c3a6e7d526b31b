"""The stack of compose.yaml under names, ports and volumes of its own; stand-ins for OpenAI and GitHub beside it."""

import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import textwrap
import time
from pathlib import Path

import httpx

from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.rehearsal.openai import StandInOpenAI

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "compose.md"
API = "/api/spec-automation"
GITHUB_TOKEN = "ghp_" + secrets.token_hex(18)


def documented(words):
    """The one block of commands in docs/compose.md that contains this text."""
    blocks = re.findall(r"^( *)```bash\n(.*?)^\1```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = [textwrap.dedent(block) for _, block in blocks if words in block]
    return found


class Stack:
    """`docker compose …` for this stack. `close` removes everything, and is safe twice."""

    def __init__(self, folder, docker_config, images):
        self.id = secrets.token_hex(4)
        self.project = f"moonmind-test-{self.id}"
        self.network = f"moonmind-test-{self.id}-jobs"
        self.folder = folder
        self.api_url = f"http://localhost:{(api_port := free_port())}"
        self.keycloak_url = f"http://localhost:{(keycloak_port := free_port())}"
        self.admin_password = secrets.token_urlsafe(16)
        self.client_secret = secrets.token_urlsafe(16)
        self.marks = []
        self.settings = {
            **images,
            "API_PORT": str(api_port),
            "KEYCLOAK_PORT": str(keycloak_port),
            "KEYCLOAK_URL": self.keycloak_url,
            "MOONMIND_DATA_VOLUME": f"moonmind_test_{self.id}_data",
            "MOONMIND_WORKSPACES_VOLUME": f"moonmind_test_{self.id}_workspaces",
            "MOONMIND_REHEARSAL_VOLUME": f"moonmind_test_{self.id}_rehearsal",
            "KEYCLOAK_DB_VOLUME": f"moonmind_test_{self.id}_keycloak_db",
            "CODEX_VOLUME_PREFIX": f"moonmind_test_{self.id}_codex_auth_",
            "JOB_NETWORK": self.network,
            "MIN_FREE_DISK": "64m",
            "API_CLIENT_SECRET": self.client_secret,
            "KC_ADMIN_PW": self.admin_password,
        }
        self.environment = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST") if name in os.environ}
        self.environment |= {
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_FILE": f"{ROOT / 'compose.yaml'}:{folder / 'override.yaml'}",
            "COMPOSE_ENV_FILES": str(folder / ".env"),
        }
        if docker_config:
            self.environment["DOCKER_CONFIG"] = docker_config
        self.appliance_ids = set()
        self._stack = contextlib.ExitStack()

    def prepare(self):
        """Create the job network, on whose gateway the stand-ins listen, and .env."""
        self._stack.callback(self._remove_all)
        self.docker("network", "create", "--label", f"moonmind.tests={self.id}", self.network)
        gateway = json.loads(self.docker("network", "inspect", self.network))[0]["IPAM"]["Config"][0]["Gateway"]
        self.openai = self._stack.enter_context(StandInOpenAI(gateway))
        self.github = self._stack.enter_context(StandInGitHub((gateway, 0), self.folder / "github"))
        self.github.add_token(GITHUB_TOKEN)
        (self.folder / "ca.pem").write_bytes(self.openai.ca_pem)
        self.settings |= {
            "GITHUB_TOKEN": GITHUB_TOKEN,
            "GITHUB_API_URL": self.github.api_url,
            "GITHUB_SERVER_URL": self.github.server_url,
            "AGENT_HTTPS_PROXY": self.openai.proxy_url,
            "EXTRA_CA_CERTS": str(self.folder / "ca.pem"),
        }
        # Only the quick compiler, as the process is short-lived.
        quick = {"services": {"keycloak": {"environment": {"JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1"}}}}
        (self.folder / "override.yaml").write_text(json.dumps(quick), encoding="utf-8")
        self.set("".join(f"{name}={value}\n" for name, value in self.settings.items()))

    def set(self, lines):
        """Add lines to .env."""
        with (self.folder / ".env").open("a", encoding="utf-8") as file:
            file.write(lines.replace("http://localhost:8085", self.keycloak_url))

    def close(self):
        self._stack.close()

    def shell(self, script, *, seconds=120, **more):
        """Run commands as a user would type them; returns their output."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def docker(self, *words, seconds=60):
        return self.shell(shlex.join(("docker", *words)), seconds=seconds)

    def compose(self, *words, seconds=120):
        return self.docker("compose", *words, seconds=seconds)

    def mark(self, what):
        """Store the time of a step."""
        self.marks.append((what, time.monotonic()))

    def times(self):
        """Seconds since the first mark, by mark."""
        return {what: round(when - self.marks[0][1], 1) for what, when in self.marks}

    def containers(self):
        """Inspections of the stack's containers, by service."""
        ids = self.docker(
            "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.project}"
        ).split()
        found = json.loads(self.docker("inspect", *ids)) if ids else []
        return {state["Config"]["Labels"]["com.docker.compose.service"]: state for state in found}

    def wait_for_health(self, service, seconds):
        ends = time.monotonic() + seconds
        while (state := self.containers()[service]["State"]).get("Health", {}).get("Status") != "healthy":
            assert state["Status"] == "running", self.compose("logs", service)
            assert time.monotonic() < ends, self.compose("logs", service)
            time.sleep(0.5)

    def answers(self, seconds=60):
        """Wait until the API responds."""
        ends = time.monotonic() + seconds
        while True:
            try:
                return httpx.get(f"{self.api_url}{API}/health", timeout=2).raise_for_status()
            except httpx.HTTPError:
                assert time.monotonic() < ends, self.compose("logs", "api")
                time.sleep(0.1)

    def add_user(self, username, password):
        """Create a user as an administrator does in the console."""
        with httpx.Client(base_url=self.keycloak_url, timeout=30) as client:
            form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin"}
            form["password"] = self.admin_password
            answer = client.post("/realms/master/protocol/openid-connect/token", data=form).raise_for_status()
            client.post(
                "/admin/realms/moonmind/users",
                headers={"Authorization": f"Bearer {answer.json()['access_token']}"},
                json={
                    "username": username,
                    "enabled": True,
                    "credentials": [{"type": "password", "value": password, "temporary": False}],
                },
            ).raise_for_status()

    def token(self, username, password):
        """A token from the documented commands, with the port and the user inserted."""
        script = documented("grant_type=password").replace("http://localhost:8085", self.keycloak_url)
        script = script.replace("<keycloak-username>", username).replace("<keycloak-password>", password)
        script += "\nprintf '%s' \"$MOONMIND_API_TOKEN\"\n"
        return self.shell(script, OIDC_CLIENT_SECRET=self.client_secret)

    def leftovers(self, label):
        """Containers, volumes and networks with that label."""
        kinds = (("ps", "--all", "--format={{.Names}}"), ("volume", "ls", "--quiet"), ("network", "ls", "--quiet"))
        return [line for kind in kinds for line in self.docker(*kind, "--filter", f"label={label}").split()]

    def remember_appliance(self):
        """Note the id of the stack's appliance, which labels everything that it creates."""
        listed = json.loads(self.compose("exec", "-T", "api", "moonmind-appliance", "purge", "--list", "--json"))
        self.appliance_ids.add(listed["this"])

    def _remove_all(self):
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.compose("--profile=*", "down", "--volumes", "--remove-orphans", "--timeout", "20")
        self.clean_up()
        with contextlib.suppress(AssertionError):
            self.docker("network", "rm", self.network)

    def clean_up(self):
        """Remove what the appliance left, also after a test that failed halfway."""
        for appliance_id in self.appliance_ids:
            label = f"label=moonmind.appliance={appliance_id}"
            containers = self.docker("ps", "--all", "--quiet", "--filter", label).split()
            if containers:
                self.docker("rm", "--force", *containers)
            volumes = self.docker("volume", "ls", "--quiet", "--filter", label).split()
            if volumes:
                self.docker("volume", "rm", *volumes)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def build_images():
    """Build the stack's images with compose's own variables, if they are missing or old."""
    tools = ROOT / "job_image"
    keycloak = subprocess.run(
        ["bash", ROOT / "tests/setup/keycloak.sh"], stdout=subprocess.PIPE, text=True, check=True, timeout=300
    ).stdout.splitlines()[-1]
    (distribution,) = Path(keycloak).parent.glob(f"keycloak-quarkus-dist-{keycloak.rsplit('-', 1)[1]}.zip")
    images = {
        "MOONMIND_IMAGE": "moonmind/appliance:tests",
        "KEYCLOAK_IMAGE": "moonmind/keycloak:tests",
        "KEYCLOAK_DB_IMAGE": "moonmind/keycloak-db:tests",
    }
    api = [tools / "appliance/build.sh", "--tag", images["MOONMIND_IMAGE"]]
    identity = [tools / "keycloak/build.sh", "--distribution", distribution, "--tag", images["KEYCLOAK_IMAGE"]]
    identity += ["--db-tag", images["KEYCLOAK_DB_IMAGE"]]
    for script in (api, identity):
        done = subprocess.run(["bash", *script], capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return images


def docker_config():
    """The configuration with which Docker's client finds Compose v2; None if it finds it without."""
    assert shutil.which("docker")
    done = subprocess.run(
        ["bash", ROOT / "tests/setup/compose.sh"], stdout=subprocess.PIPE, text=True, check=True, timeout=600
    )
    return done.stdout.splitlines()[-1] or None
