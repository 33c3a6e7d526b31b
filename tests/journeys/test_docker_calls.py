"""The calls of Docker's API that real runs make, those that are documented, and the rules of the socket proxy."""

import re
from pathlib import Path

import pytest
import yaml

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.prepare import RehearsalOptions
from moonmind_appliance.rehearsal.rehearse import rehearse
from tests.containers.forwarder import Forwarder

ROOT = Path(__file__).parents[2]
REQUEST = re.compile(rb"^([A-Z]+) (/[^ ?]*)[^ ]* HTTP/1\.1\r$", re.MULTILINE)
# Used where a run is cancelled or fails at a bad time, a name is in use, and by `prune`; the contract tests make them.
RARE = {
    ("GET", "/containers/NAME/json"),
    ("POST", "/containers/NAME/kill"),
    ("POST", "/containers/NAME/wait"),
    ("DELETE", "/images/NAME"),
}


class Calls:
    """Collects the method and the path of each request of a connection's bytes."""

    def __init__(self):
        self.paths = set()

    def sent(self, data):
        """Each request starts a new piece, because the appliance waits for the previous answer."""
        self.paths |= {(method.decode(), path.decode()) for method, path in REQUEST.findall(data)}


def general(path):
    """The path without its version, and with NAME for what differs from call to call."""
    path = re.sub(r"^/v1\.[0-9]+", "", path)
    return re.sub(r"^/(containers|exec|images|networks|volumes)/(?!create$|json$)(.+?)(/[a-z]+)?$", r"/\1/NAME\3", path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The calls of two complete rehearsals: a normal one, and one in which the agent fails."""
    calls = Calls()
    socket = tmp_path_factory.mktemp("calls") / "docker.sock"
    with Forwarder(socket, sent=calls.sent):
        base = settings.load({"DOCKER_HOST": f"unix://{socket}"}).settings
        for scenario in ("normal", "agent-fails"):
            report = rehearse(base, RehearsalOptions(scenario=scenario, think_seconds=0), lambda _: None)
            assert report.as_expected, report.problem
    return calls.paths


@pytest.fixture(scope="module")
def documented():
    """The calls in the table of docs/compose.md."""
    page = (ROOT / "docs/compose.md").read_text(encoding="utf-8")
    section = page.partition("## Only the calls that are used\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([A-Z]+) (/[^ `]*)` \|", section, re.MULTILINE))


@pytest.fixture(scope="module")
def rules():
    """The proxy's rules: method and pattern. Go and Python read these patterns in the same way."""
    text = (ROOT / "docs" / "compose.socket-proxy.yaml").read_text(encoding="utf-8").replace("!override", "")
    command = yaml.safe_load(text)["services"]["socket-proxy"]["command"]
    return [rule.groups() for word in command if (rule := re.fullmatch(r"-allow([A-Z]+)=(.*)", word))]


def allowed(rules, method, path):
    return any(method == verb and re.fullmatch(pattern, path) for verb, pattern in rules)


@pytest.mark.docker
@pytest.mark.image
@pytest.mark.timeout(600)
def test_runs_make_the_documented_calls(made, documented):
    """They make all of them except the rare ones, and no other."""
    found = {(method, general(path)) for method, path in made}
    assert found - documented == set()
    assert documented - found <= RARE


@pytest.mark.docker
@pytest.mark.image
@pytest.mark.timeout(600)
def test_the_proxy_allows_every_call_of_real_runs(made, rules):
    """The rules match the real names and versions."""
    assert [call for call in sorted(made) if not allowed(rules, *call)] == []


def test_the_proxy_allows_the_documented_calls_and_each_rule_is_for_one(documented, rules):
    """A rule without a call would allow more than is needed."""
    shown = [(method, f"/v1.41{path}" if path != "/_ping" else path) for method, path in documented]
    shown = [(method, path.replace("NAME", "0123abcd")) for method, path in shown]
    assert [call for call in shown if not allowed(rules, *call)] == []
    assert [rule for rule in rules if not any(allowed([rule], *call) for call in shown)] == []
    assert len(rules) == len(documented)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1.41/build"),
        ("POST", "/v1.41/images/create"),
        ("POST", "/v1.41/images/load"),
        ("GET", "/v1.41/images/moonmind/base:bookworm/get"),
        ("POST", "/v1.41/commit"),
        ("GET", "/v1.41/containers/a/export"),
        ("GET", "/v1.41/containers/a/logs"),
        ("POST", "/v1.41/containers/a/attach"),
        ("POST", "/v1.41/containers/a/update"),
        ("POST", "/v1.41/containers/a/rename"),
        ("POST", "/v1.41/containers/prune"),
        ("POST", "/v1.41/volumes/prune"),
        ("GET", "/v1.41/events"),
        ("POST", "/v1.41/networks/a/connect"),
        ("POST", "/v1.41/plugins/pull"),
        ("GET", "/v1.41/secrets"),
        ("POST", "/v1.41/swarm/init"),
        ("POST", "/session"),
        ("HEAD", "/_ping"),
        ("POST", "/v1.41/containers/../build"),
        ("GET", "/v1.41/containers/../secrets"),
        ("DELETE", "/v1.41/containers/a/../../plugins/b"),
    ],
)
def test_the_proxy_refuses_other_calls(rules, method, path):
    """Examples are calls that build, pull or export images, join a swarm, or install a plugin."""
    assert not allowed(rules, method, path)
