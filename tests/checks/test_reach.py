"""What job containers reach, on the fake engine. On Docker: tests/cli/test_doctor.py."""

from pathlib import Path

import pytest

from moonmind_appliance.checks.finding import Level
from moonmind_appliance.checks.reach import reach
from moonmind_appliance.errors import ImageNotFound
from moonmind_appliance.models import LABEL_ROLE
from moonmind_appliance.settings import ProxyUrl, Settings
from tests.containers.fake import FakeEngine
from tests.containers.fake_exec import FakeExec


def checks(engine: FakeEngine, **settings: object) -> list[tuple[str, Level, str]]:
    return [(each.check, each.level, each.observed) for each in reach(engine, Settings(**settings))]  # type: ignore[arg-type]


def curl(code: int, stdout: bytes = b"200", stderr: bytes = b"") -> object:
    def answer(process: FakeExec) -> int:
        process.stdout.write(stdout)
        process.stderr.write(stderr)
        return code

    return answer


def nothing_is_left(engine: FakeEngine) -> bool:
    return not engine.container_data and not any("doctor" in name for name in engine.volume_data)


def test_every_address_of_github_and_of_the_agent_is_requested() -> None:
    """Any HTTP status below 500 passes. The container and its volume are removed."""
    engine = FakeEngine()
    engine.on_exec("curl", curl(0, b"403"))  # type: ignore[arg-type]
    found = checks(engine)
    assert [check for check, _, _ in found] == [
        "job network",
        "from containers: github.com",
        "from containers: auth.openai.com",
        "from containers: chatgpt.com",
    ]
    assert {(level, observed) for _, level, observed in found[1:]} == {(Level.OK, "reached")}
    assert nothing_is_left(engine)


@pytest.mark.parametrize(
    ("code", "stderr", "observed"),
    [
        (6, b"", "DNS cannot resolve the name."),
        (7, b"", "connection refused: nothing listens there, or a firewall blocks it."),
        (60, b"", "the TLS certificate is not trusted."),
        (99, b"curl: odd\n", "curl: odd."),
    ],
)
def test_a_failure_has_its_cause(code: int, stderr: bytes, observed: str) -> None:
    """Of curl's exit code, or in curl's own words."""
    engine = FakeEngine()
    engine.on_exec("curl", curl(code, b"000", stderr))  # type: ignore[arg-type]
    assert checks(engine)[1][1:] == (Level.WRONG, observed)


def test_only_the_agent_uses_the_proxy(tmp_path: Path) -> None:
    """Git has its own setting. The operator's authorities are given to curl."""
    (tmp_path / "ca.pem").write_bytes(b"PEM")
    engine = FakeEngine()
    engine.on_exec("curl", curl(0))  # type: ignore[arg-type]
    found = checks(engine, agent_https_proxy=ProxyUrl("http://proxy:3128"), extra_ca_certs=tmp_path / "ca.pem")
    requests = [spec for _, spec in engine.execs if spec.command[0] == "curl"]
    assert [spec.env.get("HTTPS_PROXY") for spec in requests] == [None, "http://proxy:3128", "http://proxy:3128"]
    assert all("--cacert" in spec.command for spec in requests)
    assert found[2][2] == "reached through AGENT_HTTPS_PROXY"


@pytest.mark.parametrize(
    ("code", "stderr", "observed"),
    [
        (0, b"", "reached through GITHUB_HTTPS_PROXY"),
        (
            56,
            b"curl: (56) CONNECT tunnel failed, response 407",
            "The proxy of GITHUB_HTTPS_PROXY requires a user and a",
        ),
        (
            56,
            b"curl: (56) Received HTTP code 403 from proxy after CONNECT",
            "refused the connection to GitHub (HTTP 403)",
        ),
        (5, b"curl: (5) Could not resolve proxy: proxy", "the proxy does not respond: DNS cannot resolve the proxy's"),
        (7, b"curl: (7) Failed to connect", "the proxy does not respond: connection refused"),
    ],
)
def test_git_is_checked_through_its_own_proxy(code: int, stderr: bytes, observed: str) -> None:
    """The finding names the setting; the password is in the request's environment only."""
    engine = FakeEngine()
    engine.on_exec("curl", curl(code, b"200" if code == 0 else b"000", stderr))  # type: ignore[arg-type]
    found = checks(engine, github_https_proxy=ProxyUrl("http://ann:s3cret@proxy:3128"))
    assert observed in found[1][2]
    (spec, *others) = [spec for _, spec in engine.execs if spec.command[0] == "curl"]
    assert spec.env["HTTPS_PROXY"] == "http://ann:s3cret@proxy:3128"
    assert all("HTTPS_PROXY" not in other.env for other in others)
    assert "s3cret" not in str(found) + str([other.command for other in (spec, *others)])


def test_leftovers_of_a_killed_check_are_removed() -> None:
    """Also a volume whose container has ended and is gone. One that still runs belongs to another process."""
    engine = FakeEngine()
    engine.ensure_volume("moonmind-doctor-00000000", {LABEL_ROLE: "doctor"})
    for step in reach(engine, Settings()):
        del step
        break
    engine.images.clear()
    with pytest.raises(ImageNotFound):
        list(reach(engine, Settings()))
    assert nothing_is_left(engine)
