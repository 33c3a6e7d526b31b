"""A whole run where GitHub is reached only through a company's proxy with a login, in REST and in git."""

from urllib.parse import quote, urlsplit

import pytest

from moonmind_appliance import settings
from moonmind_appliance.checks.reach import reach
from moonmind_appliance.rehearsal.environment import RunningAppliance
from tests.github.company_proxy import API_URL, HOST, PASSWORD, SERVER_URL, CompanyProxy

from .conftest import files_below

pytestmark = [pytest.mark.docker, pytest.mark.image]

SLUG = "mona_octo/shop"
TEXT = "# Dark mode\n\n- Goal: people can switch to dark colours"
FORMS = (PASSWORD.encode(), quote(PASSWORD, safe="").encode())


@pytest.fixture(scope="module")
def proxy(environment, tmp_path_factory):
    address = urlsplit(environment.openai.proxy_url).hostname
    with CompanyProxy(address, environment.github.server_url, tmp_path_factory.mktemp("proxy"), refuse=403) as made:
        yield made


@pytest.fixture(scope="module")
def proxied(environment, proxy):
    """The settings of an appliance behind the proxy: only the proxy knows the name of GitHub's host."""
    authorities = proxy.folder / "ca.pem"
    authorities.write_bytes(environment.openai.ca_pem + proxy.ca_pem)
    given = environment.variables() | {
        "GITHUB_API_URL": API_URL,
        "GITHUB_SERVER_URL": SERVER_URL,
        "GITHUB_HTTPS_PROXY": proxy.url_with_login,
        "GITHUB_NO_PROXY": "localhost,.corp.example",
        "EXTRA_CA_CERTS": str(authorities),
        "SPEC_WORKFLOW_GITHUB_REPOSITORY": SLUG,
    }
    return settings.load(given).settings


@pytest.fixture(scope="module")
def running(environment, proxied):
    environment.github.add_repository(SLUG)
    with RunningAppliance(proxied) as made:
        environment.sign_in(made, 0)
        yield made


def test_a_proxy_that_refuses_github_is_named_before_any_model_turn(environment, caller, proxy):
    """The run fails in its first phase; the operator acts; the message names the proxy, not GitHub's permissions."""
    ended = caller.wait(caller.submit(SLUG, TEXT))
    failure = ended["failure"]
    assert (ended["status"], failure["code"], failure["who_acts"]) == ("failed", "github_proxy_failed", "operator")
    assert f"The proxy {proxy.url} refused the connection to GitHub (HTTP 403)." in failure["message"]
    assert environment.openai.turns == []
    assert environment.github.requests == []


def test_a_run_ends_with_a_draft_pull_request_through_the_proxy(environment, running, caller, proxy):
    """Clone, push and REST went through it; its password is in no file, and in no answer of the API."""
    proxy.refuse = None
    ended = caller.wait(caller.submit(SLUG, TEXT))
    assert (ended["status"], ended["failure"]) == ("succeeded", None)
    assert len(environment.github.pull_requests(SLUG)) == 1
    assert set(proxy.connects) == {f"{HOST}:443"}
    stored = files_below(environment.data_dir)
    assert [str(path) for path, content in stored.items() if any(form in content for form in FORMS)] == []
    shown = caller.artifact(ended, "environment_info.json")
    assert f'"GITHUB_HTTPS_PROXY": "{proxy.url.replace("://", "://***@")}"'.encode() in shown


def test_containers_are_checked_through_the_proxy(environment, proxied, proxy):
    """`doctor` reports that they reach GitHub through it, and names it if it refuses."""
    check = f"from containers: {HOST}"
    proxy.refuse = None
    found = {finding.check: finding for finding in reach(environment.engine, proxied)}
    assert (found[check].level, found[check].observed) == ("ok", "reached through GITHUB_HTTPS_PROXY")
    proxy.refuse = 407
    found = {finding.check: finding for finding in reach(environment.engine, proxied)}
    assert found[check].level == "wrong"
    assert found[check].observed.startswith("The proxy of GITHUB_HTTPS_PROXY requires a user and a password")
