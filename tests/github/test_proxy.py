"""Git and the REST API behind a company's proxy: a real CONNECT proxy with a login, real git, the real client."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from moonmind_appliance.checks import Finding
from moonmind_appliance.checks.github_access import GitHubChecks
from moonmind_appliance.checks.repository import repository_checks
from moonmind_appliance.errors import GitHubError
from moonmind_appliance.github import Connection, GitHub
from moonmind_appliance.github.proxy import Route, git_proxy_problem, route_of
from moonmind_appliance.models import FailureCode, WhoActs
from moonmind_appliance.phases.github_failures import rest_failure
from moonmind_appliance.redaction import Redactor
from moonmind_appliance.rehearsal.github import StandInGitHub
from moonmind_appliance.settings import ProxyUrl, Secret, Settings, secrets_of
from tests.github.company_proxy import API_URL, HOST, PASSWORD, SERVER_URL, USER, CompanyProxy
from tests.github.stand_in import SLUG, TOKEN


@pytest.fixture
def proxy(stand_in: StandInGitHub, tmp_path: Path) -> Iterator[CompanyProxy]:
    with CompanyProxy("127.0.0.1", stand_in.server_url, tmp_path) as made:
        (tmp_path / "ca.pem").write_bytes(made.ca_pem)
        yield made


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def ask(url: str, ca_file: Path) -> str:
    """The default branch of the repository, by REST through the proxy."""
    route = Route(ProxyUrl(url), from_environment=False)
    github = GitHub(Connection(api_url=API_URL, token=Secret(TOKEN), ca_file=ca_file, pauses=(), route=route))
    with closing(github):
        return github.repository(SLUG).default_branch


def list_remote(url: str, ca_file: Path) -> tuple[int, str, str]:
    """Git through the proxy, with the variables that the git container gets: exit code, output, standard error."""
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(ca_file.parent),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSL_CAINFO": str(ca_file),
        "LC_ALL": "C",
        **Route(ProxyUrl(url)).environment(),
    }
    credential = f"!printf 'username=x-access-token\\npassword={TOKEN}\\n'; true"
    done = subprocess.run(
        ["git", "-c", f"credential.https://{HOST}.helper={credential}", "ls-remote", f"{SERVER_URL}/{SLUG}.git"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_rest_and_git_go_through_the_proxy_with_its_login(proxy: CompanyProxy, tmp_path: Path) -> None:
    """Only the proxy can resolve the host's name, so no request bypasses it. The proxy never gets the token."""
    assert ask(proxy.url_with_login, tmp_path / "ca.pem") == "main"
    code, output, stderr = list_remote(proxy.url_with_login, tmp_path / "ca.pem")
    assert (code, "refs/heads/main" in output) == (0, True), stderr
    assert set(proxy.connects) == {f"{HOST}:443"}
    assert not any("\nauthorization:" in head for head in proxy.heads)


def logins(proxy: CompanyProxy) -> dict[str, str]:
    return {
        "no login": proxy.url,
        "wrong password": proxy.url.replace("://", f"://{USER}:wrong-password@"),
        "user only": proxy.url.replace("://", f"://{USER}@"),
    }


@pytest.mark.parametrize("how", ["no login", "wrong password", "user only"])
def test_a_proxy_that_rejects_the_login_is_named(proxy: CompanyProxy, tmp_path: Path, how: str) -> None:
    """With the same message for REST and git, without the password; GitHub is not blamed."""
    url = logins(proxy)[how]
    sentence = f"The proxy {proxy.url} requires a user and a password, or rejected them (HTTP 407)."
    with pytest.raises(GitHubError) as caught:
        ask(url, tmp_path / "ca.pem")
    assert caught.value.message == f"{sentence} GET /api/v3/repos/{SLUG} did not reach {SERVER_URL}."
    failed = rest_failure(caught.value, "to show x", hosts=())
    assert (failed.code, failed.who_acts) == (FailureCode.GITHUB_PROXY_FAILED, WhoActs.OPERATOR)
    code, _, stderr = list_remote(url, tmp_path / "ca.pem")
    assert (code, git_proxy_problem(stderr, Route(ProxyUrl(url)))) == (128, sentence), stderr
    assert "wrong-password" not in caught.value.message


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "refused the connection to GitHub (HTTP 403)."),
        (502, "could not connect to GitHub (HTTP 502)."),
        (504, "could not connect to GitHub (HTTP 504)."),
    ],
)
def test_a_proxy_that_refuses_github_is_named(stand_in: StandInGitHub, tmp_path: Path, status: int, words: str) -> None:
    """Its status is not GitHub's: 403 does not mean missing permissions."""
    with CompanyProxy("127.0.0.1", stand_in.server_url, tmp_path, refuse=status) as proxy:
        with pytest.raises(GitHubError) as caught:
            ask(proxy.url, tmp_path / "server.pem")
        _, _, stderr = list_remote(proxy.url, tmp_path / "server.pem")
    assert (caught.value.proxy, caught.value.status) == (True, None)
    assert caught.value.message.startswith(f"The proxy {proxy.url} {words}")
    assert git_proxy_problem(stderr, Route(ProxyUrl(proxy.url))) == f"The proxy {proxy.url} {words}", stderr


@pytest.mark.parametrize("name", ["127.0.0.1", "no-such-proxy.invalid"])
def test_a_proxy_that_does_not_respond_is_named(tmp_path: Path, name: str) -> None:
    """Nothing listens at the address, or DNS cannot resolve it."""
    (tmp_path / "ca.pem").touch()
    url = f"http://{name}:{unused_port()}"
    route = Route(ProxyUrl(url), from_environment=False)
    github = GitHub(Connection(api_url=API_URL, token=Secret(TOKEN), pauses=(), route=route))
    with closing(github), pytest.raises(GitHubError) as caught:
        github.repository(SLUG)
    assert caught.value.message.startswith(f"The proxy {url} does not respond (")
    _, _, stderr = list_remote(url, tmp_path / "ca.pem")
    assert git_proxy_problem(stderr, route).startswith(f"The proxy {url} "), stderr


def test_an_untrusted_certificate_is_not_blamed_on_the_proxy(proxy: CompanyProxy) -> None:
    """The proxy had connected; the message names the certificate."""
    route = Route(ProxyUrl(proxy.url_with_login), from_environment=False)
    github = GitHub(Connection(api_url=API_URL, token=Secret(TOKEN), pauses=(), route=route))
    with closing(github), pytest.raises(GitHubError) as caught:
        github.repository(SLUG)
    assert not caught.value.proxy
    assert "certificate" in caught.value.message.lower()


@pytest.mark.parametrize(
    "stderr",
    [
        "remote: fatal: CONNECT tunnel failed, response 407\nfatal: unable to access 'https://h/x': error: 403\n",
        "fatal: unable to access 'https://h/x': Failed to connect to h port 443 after 3 ms: Couldn't connect\n",
        "fatal: could not read Username for 'https://h': terminal prompts disabled\n",
        "fatal: Authentication failed for 'https://h/x'\n",
    ],
)
def test_a_refusal_by_github_is_not_blamed_on_the_proxy(stderr: str) -> None:
    """Its lines start with `remote:`, and its host is another."""
    assert git_proxy_problem(stderr, Route(ProxyUrl("http://proxy:3128"))) == ""
    assert git_proxy_problem("fatal: CONNECT tunnel failed, response 407", Route()) == ""


def test_the_route_depends_on_the_scheme_and_the_exclusions() -> None:
    """Without a setting, the process's own variables apply to REST; with one, they never do."""
    url = ProxyUrl("http://proxy:3128")
    assert route_of("https://github.com", Settings()) == Route()
    assert route_of("http://ghes.corp", Settings(github_https_proxy=url)) == Route()
    through = Settings(github_https_proxy=url, github_no_proxy="ghes.corp")
    assert route_of("https://github.com", through) == Route(url, from_environment=False)
    assert route_of("https://ghes.corp/api/v3", through) == Route(from_environment=False)
    assert Route().environment() == Route(from_environment=False).environment() == {}


def test_user_and_password_are_redacted_in_every_form() -> None:
    """Decoded, encoded, and as the header that the proxy gets; the address is not a secret."""
    settings = Settings(github_https_proxy=ProxyUrl("http://moon:p%40ss-w0rd@proxy:3128"))
    redactor = Redactor(secrets_of(settings))
    for text in ("p@ss-w0rd", "p%40ss-w0rd", "http://moon:p%40ss-w0rd@proxy:3128", "bW9vbjpwQHNzLXcwcmQ="):
        assert "ss-w0rd" not in redactor.redact_text(text)
        assert "bW9vbjpwQHNzLXcw" not in redactor.redact_text(text)
    assert redactor.redact_text("http://proxy:3128 does not respond") == "http://proxy:3128 does not respond"


def behind(proxy: str, ca_file: Path) -> Settings:
    return Settings(
        github_api_url=API_URL,
        github_token=Secret(TOKEN),
        github_https_proxy=ProxyUrl(proxy),
        extra_ca_certs=ca_file,
        spec_workflow_github_repository=(SLUG,),
    )


def doctor(proxy: str, ca_file: Path) -> Finding:
    return next(iter(GitHubChecks(behind(proxy, ca_file))()))


def test_doctor_names_the_proxy(proxy: CompanyProxy, tmp_path: Path) -> None:
    """The check uses the proxy; if the proxy fails, the finding says which setting to check."""
    assert doctor(proxy.url_with_login, tmp_path / "ca.pem").level == "ok"
    for url, words in (
        (proxy.url, "(HTTP 407)"),
        (f"http://127.0.0.1:{unused_port()}", "does not respond"),
    ):
        finding = doctor(url, tmp_path / "ca.pem")
        assert finding.level == "wrong"
        assert finding.observed.startswith(f"The proxy {url} ")
        assert words in finding.observed
        assert finding.to_do.startswith("Check GITHUB_HTTPS_PROXY")
    assert PASSWORD not in doctor(proxy.url, tmp_path / "ca.pem").observed


def test_doctor_uses_the_proxy_for_one_repository(proxy: CompanyProxy, tmp_path: Path) -> None:
    """For the access to it and for its files; if the proxy fails, the finding says which setting to check."""
    ca_file = tmp_path / "ca.pem"
    found = list(repository_checks(behind(proxy.url_with_login, ca_file), SLUG))
    assert [finding.level for finding in found] == ["ok", "ok"], found
    (refused,) = repository_checks(behind(proxy.url, ca_file), SLUG)
    assert refused.level == "wrong"
    assert "(HTTP 407)" in refused.observed
    assert refused.to_do.startswith("Check GITHUB_HTTPS_PROXY")
