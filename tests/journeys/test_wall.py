"""The wall around an agent: from inside the agent container of a real run, nothing but the service is reached."""

import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse

from .conftest import docker

pytestmark = [pytest.mark.docker, pytest.mark.image]

IMAGE = "moonmind/spec-automation-job:latest"
SLUG = "journey/wall"
PASSWORD = "pr0xy-Passw0rd-4711"
OUTSIDE = "198.51.100.2"
SLOWEST = 4.0

# What Codex starts: each tool is answered at once. Then the turn waits until the test has looked around.
SCRIPT = r"""
{
  curl -s -o /dev/null -w 'curl %{http_connect} %{time_total}\n' --max-time 20 https://evil.example/
  curl -s -o /dev/null -w 'plain %{http_code} %{time_total}\n' --max-time 20 http://evil.example/
  timeout 20 git ls-remote https://evil.example/x.git 2>&1 | tail -1 | sed 's/^/git /'
  timeout 20 python3 -c 'import urllib.request; urllib.request.urlopen("https://evil.example/")' 2>&1 | tail -1
  curl -s -o /dev/null -w 'allowed %{http_connect}\n' --max-time 20 https://also.invalid/
  env | grep -i _proxy= | sort
} > /work/runs/tools 2>&1
touch /work/runs/held
n=0; while [ ! -e /work/runs/go ] && [ $n -lt 900 ]; do sleep 0.1; n=$((n+1)); done
"""

# Sent to `python3 -c` in a container: tries each target, and prints what happened and after how long.
PROBE = r"""
import json, socket, sys, time
def tcp(host, port):
    with socket.create_connection((host, port), 6) as c:
        c.settimeout(6)
        return c.recv(20).decode()
def udp(host, port, around_routes=False):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as c:
        c.settimeout(2)
        if around_routes:
            # Without a route, the kernel then takes every address for one on the link.
            name = next(n for _, n in socket.if_nameindex() if n != "lo")
            c.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
            c.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
        c.sendto(json.dumps([host, port, around_routes]).encode(), (host, port))
        return "sent"
def name(host, _port):
    return str(socket.getaddrinfo(host, 443))
def routes(_host, _port):
    found = [line for line in open("/proc/net/route").read().splitlines()[1:]]
    found += [line for line in open("/proc/net/ipv6_route").read().splitlines() if not line.endswith(" lo")]
    return "\n".join(found) or "none"
def interfaces(_host, _port):
    return " ".join(sorted(n for _, n in socket.if_nameindex()))
for kind, host, port, *more in json.loads(sys.argv[1]):
    began = time.monotonic()
    try:
        found = globals()[kind](host, port, *more)
    except Exception as error:
        found = "refused: " + (getattr(error, "strerror", "") or repr(error))
    print(json.dumps([[kind, host, port, *more], found, time.monotonic() - began]))
"""


class Greeter:
    """A service at one address, for TCP and UDP at the same port; UDP messages are kept."""

    def __init__(self, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.tcp = socket.create_server((address, 0), family=family, dualstack_ipv6=False)
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        self.udp.bind((address, self.port))
        self.messages = []
        threading.Thread(target=self._greet, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()

    def _greet(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            connection.sendall(b"reached")
            connection.close()

    def _listen(self):
        while True:
            try:
                self.messages.append(self.udp.recv(1000))
            except OSError:
                return

    def close(self):
        self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
        self.udp.close()


GREET = (
    "import socket\ns = socket.create_server(('0.0.0.0', 8000))\n"
    "while True:\n    c, _ = s.accept(); c.sendall(b'reached'); c.close()\n"
)


class WithLogin(RehearsalEnvironment):
    """OpenAI is reached through a proxy with a password, and one more host is allowed."""

    def variables(self):
        proxy = self.openai.proxy_url.replace("://", f"://moon:{PASSWORD}@")
        return super().variables() | {"AGENT_HTTPS_PROXY": proxy, "AGENT_EGRESS_ALLOW": "also.invalid"}


@pytest.fixture(scope="module")
def environment():
    with WithLogin(settings.load({}).settings, shards=2) as made:
        yield made


@pytest.fixture(scope="module")
def running(environment, running):
    """With both shards signed in."""
    environment.sign_in(running, 1)
    return running


@pytest.fixture(scope="module")
def host_service():
    """A service of the host on all of its addresses, of both families."""
    greeters = [Greeter("0.0.0.0")]  # noqa: S104 - the subject of the test
    if socket.has_ipv6 and Path("/proc/net/if_inet6").exists():
        greeters.append(Greeter("::"))
    yield greeters
    for each in greeters:
        each.close()


@pytest.fixture(scope="module")
def bridge_container():
    """A service in a container on the engine's default bridge; its address."""
    name = f"test-wall-{os.getpid()}"
    docker("run", "-d", "--rm", "--name", name, IMAGE, "python3", "-c", GREET)
    try:
        yield docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name).strip()
    finally:
        docker("rm", "-f", name)


@pytest.fixture(scope="module")
def outside():
    """A network behind the host, to which it routes: stands for the LAN and the internet. Its address, or None."""
    if os.geteuid() != 0:
        yield None
        return
    name, link = f"wall{os.getpid()}", f"wl{os.getpid()}"

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    ip("netns", "add", name)
    service = None
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", "198.51.100.1/30", "dev", link)
        ip("link", "set", link, "up")
        ip("-n", name, "addr", "add", f"{OUTSIDE}/30", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "route", "add", "default", "via", "198.51.100.1")
        service = subprocess.Popen(["ip", "netns", "exec", name, "python3", "-c", GREET])
        yield OUTSIDE
    finally:
        if service is not None:
            service.kill()
            service.wait()
        ip("netns", "del", name)


def probe(container, targets):
    """The outcome and the seconds of each target, by target."""
    printed = docker("exec", container, "python3", "-c", PROBE, json.dumps(targets))
    return {tuple(target): (found, seconds) for target, found, seconds in map(json.loads, printed.splitlines())}


def host_addresses():
    """Every address of this machine, IPv4 and IPv6, without those of the loopback interface."""
    listed = json.loads(subprocess.run(["ip", "-j", "addr"], capture_output=True, check=True).stdout)
    return sorted(
        {info["local"] for each in listed if each["ifname"] != "lo" for info in each["addr_info"] if "local" in info}
    )


class Held:
    """A run in the middle of a turn."""

    def __init__(self, run_id, shard, appliance):
        self.run_id = run_id
        self.agent = appliance.resources.shards[shard].lock
        self.egress, self.git = f"moonmind-egress-{run_id}", f"moonmind-git-{run_id}"
        limit = time.monotonic() + 60
        while not self.reads("held"):
            assert time.monotonic() < limit
            time.sleep(0.05)

    def reads(self, name):
        command = ["docker", "exec", self.agent, "cat", f"/work/runs/{name}"]
        done = subprocess.run(command, capture_output=True, check=False)
        return done.returncode == 0 and (done.stdout.decode() or "empty")

    def go_on(self):
        """Let the turn end. Safe to call again after the end of the run."""
        subprocess.run(["docker", "exec", self.agent, "touch", "/work/runs/go"], capture_output=True, check=False)


@pytest.fixture(scope="module")
def held(environment, running, caller):
    """Two runs on two shards, both in the middle of their first turn."""
    environment.github.add_repository(SLUG)
    environment.openai.respond_with(ScriptedResponse(ResponseKind.HOSTILE, script=SCRIPT))
    texts = ["# Dark mode\n\n- Goal: dark colours", "# Light mode\n\n- Goal: light colours"]
    runs = [caller.submit(SLUG, text, shard=number) for number, text in enumerate(texts)]
    made = [Held(run_id, number, running.appliance) for number, run_id in enumerate(runs)]
    yield made
    for each in made:
        each.go_on()


@pytest.fixture(scope="module")
def targets(held, environment, host_service, bridge_container, outside):
    """Everything that the agent must not reach."""
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    # The egress containers have the addresses of the git containers.
    others = [docker("inspect", "-f", address, each.git).strip() for each in held]
    assert all(others)
    found = [["tcp", bridge_container, 8000], ["name", "example.com", 0], ["name", held[1].git, 0]]
    found += [["tcp", outside, 8000]] if outside else []
    found += [["tcp", each, 3128] for each in others]
    proxy = environment.openai.proxy_url.rpartition(":")
    found.append(["tcp", proxy[0].removeprefix("http://"), int(proxy[2])])
    for host in host_addresses():
        if (":" in host) + 1 <= len(host_service):
            port = host_service[":" in host].port
            found += [["tcp", host, port], ["udp", host, port], ["udp", host, port, True]]
    return found


def test_the_agent_reaches_nothing_around_the_proxy(held, targets, host_service):
    """Connections to the host, other containers, another network and names are refused at once, and nothing arrives."""
    for each in host_service:
        each.messages.clear()
    found = probe(held[0].agent, targets)
    assert len(found) == len(targets)
    assert {target: found[target] for target in found if not found[target][0].startswith("refused")} == {}
    assert [(target, seconds) for target, (_, seconds) in found.items() if seconds > SLOWEST] == []
    time.sleep(0.3)
    assert [message for each in host_service for message in each.messages] == []


def test_the_agent_has_no_interface_and_no_route(held):
    """Without these, it cannot reach any other container."""
    found = probe(held[0].agent, [["interfaces", "", 0], ["routes", "", 0]])
    assert [outcome for outcome, _ in found.values()] == ["lo", "none"]
    assert docker("inspect", "-f", "{{.HostConfig.NetworkMode}}", held[0].agent).strip() == "none"


def test_the_same_targets_are_reached_without_the_wall(held, environment, targets, host_service, outside):
    """The control: from a container on JOB_NETWORK, the same probe reaches the services and resolves names."""
    for each in host_service:
        each.messages.clear()
    name = f"test-wall-control-{os.getpid()}"
    docker("run", "-d", "--rm", "--name", name, "--network", environment.network, IMAGE, "sleep", "120")
    try:
        found = probe(name, targets)
    finally:
        docker("rm", "-f", name)
    reached = {target for target, (outcome, _) in found.items() if not outcome.startswith("refused")}
    port = host_service[0].port
    # Other tests may have removed or created a network meanwhile.
    probed = {target[1] for target in targets if target[0] == "tcp"}
    ipv4 = {host for host in host_addresses() if ":" not in host and host in probed}
    assert environment.openai.proxy_url.removeprefix("http://").partition(":")[0] in ipv4
    assert {("tcp", host, port) for host in ipv4} <= reached
    assert {("udp", host, port) for host in ipv4} <= reached
    assert ("name", held[1].git, 0) in reached
    assert outside is None or ("tcp", outside, 8000) in reached
    assert ipv4 <= {json.loads(message)[0] for message in host_service[0].messages}


def test_what_codex_starts_is_refused_at_once(held):
    """curl, git and Python get 403 through the proxy variables; an allowed host passes the wall."""
    printed = held[0].reads("tools").splitlines()
    curl, plain = printed[0].split(), printed[1].split()
    assert (curl[:2], plain[:2]) == (["curl", "403"], ["plain", "403"])
    assert max(float(curl[2]), float(plain[2])) < 1
    assert "403" in printed[2]
    assert "403" in printed[3]
    # The stand-in's proxy knows only OpenAI's hosts.
    assert printed[4] == "allowed 502"
    variables = dict(line.split("=", 1) for line in printed[5:])
    assert set(variables) == {f"{n}_{p}" for n in ("HTTPS", "HTTP", "NO") for p in ("PROXY",)} | {
        "https_proxy",
        "http_proxy",
        "no_proxy",
    }
    assert {variables[name] for name in variables if not name.lower().startswith("no")} == {"http://127.0.0.1:3128"}


def test_the_password_of_the_proxy_is_only_with_the_egress_proxy(held):
    """It is not in the agent's environment, command lines or files, nor in what the engine shows of any container."""
    search = (
        "import os, pathlib\n"
        "found, read = [], 0\n"
        "for process in pathlib.Path('/proc').iterdir():\n"
        "    if not process.name.isdigit() or process.name == str(os.getpid()): continue\n"
        "    for name in ('environ', 'cmdline'):\n"
        "        try: data = (process / name).read_bytes()\n"
        "        except OSError: continue\n"
        "        read += len(data)\n"
        "        if PASSWORD in data: found.append(str(process / name))\n"
        "print(read > 500, found)\n"
    ).replace("PASSWORD", repr(PASSWORD.encode()))
    assert docker("exec", held[0].agent, "python3", "-c", search).strip() == "True []"
    # The control: the same search finds it where it must be; the program removed it from its own copy.
    assert "environ" in docker("exec", held[0].egress, "python3", "-c", search)
    for container in (held[0].agent, held[0].egress, held[0].git):
        assert PASSWORD not in docker("inspect", container)
    files = f"grep -rl {PASSWORD} /work /tmp 2>/dev/null || true"
    assert docker("exec", held[0].agent, "sh", "-c", files).strip() == ""


def test_the_egress_container_has_nothing_of_the_run(held):
    """It has no login, no workspace and no token, and listens on no port of its network."""
    mounts = json.loads(docker("inspect", "-f", "{{json .Mounts}}", held[0].egress))
    assert [mount["Name"] for mount in mounts] == [f"moonmind-egress-{held[0].run_id}"]
    listening = docker("exec", held[0].egress, "sh", "-c", "cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == \"0A\"'")
    # Docker's own resolver listens on 127.0.0.11.
    assert [line for line in listening.splitlines() if "0B00007F:" not in line] == []


def test_the_run_succeeds_and_reports_what_the_agent_tried(environment, held, caller):
    """The record is an artifact, summed up in the audit and in the pull request."""
    for each in held:
        each.go_on()
    runs = [caller.wait(each.run_id) for each in held]
    assert [(run["status"], run["failure"]) for run in runs] == [("succeeded", None)] * 2
    record = json.loads(caller.artifact(runs[0], "egress.json"))
    by_target = {(each["target"], each["outcome"]): each for each in record["targets"]}
    assert by_target["evil.example:443", "refused"]["connections"] >= 3
    assert by_target["GET http://evil.example/", "refused"]["reason"] == "only CONNECT is allowed"
    assert by_target["also.invalid:443", "failed"]["reason"] == "the proxy of AGENT_HTTPS_PROXY: HTTP 403"
    service = by_target["chatgpt.com:443", "allowed"]
    assert min(service["sent"], service["received"]) > 1000
    assert record["allowed_hosts"] == ["chatgpt.com", "auth.openai.com", "api.openai.com", "also.invalid"]
    audit = json.loads(caller.artifact(runs[0], "credential_audit.json"))
    assert audit["egress"]["wall"] is True
    assert "evil.example:443" in {each["target"] for each in audit["egress"]["refused"]}
    assert audit["containers"]["agent"]["network"] == "none"
    assert audit["containers"]["egress"]["secrets_given_to_single_commands"] == [
        "egress proxy: login of AGENT_HTTPS_PROXY"
    ]
    bodies = [pull.body for pull in environment.github.pull_requests(SLUG)]
    assert all("## What the agent tried to reach" in body and "evil.example:443" in body for body in bodies)
    assert PASSWORD not in json.dumps(runs) + "".join(bodies)


def test_nothing_of_the_wall_is_left(held):
    """Containers and volumes were removed with the runs."""
    for each in held:
        assert docker("ps", "-aq", "--filter", f"name={each.egress}").strip() == ""
        assert docker("volume", "ls", "-q", "--filter", f"name={each.egress}").strip() == ""
