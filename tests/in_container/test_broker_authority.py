"""The authority of a run is trusted for two hosts only, and its keys are in no file."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from moonmind_appliance.in_container.broker_authority import Authority, NoAuthority, make_authority

HOSTS = ("chatgpt.com", "auth.openai.com")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(HOSTS, tmp_path_factory.mktemp("authority"))


def shake_hands(server: ssl.SSLContext, ca: str, name: str) -> str:
    """The TLS version that a client which trusts the authority gets, or why there is none."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ssl.create_default_context(cadata=ca).wrap_socket(ours, server_hostname=name) as secure:
            return str(secure.version())
    except ssl.SSLError as error:
        return error.reason or "ended"
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize("host", HOSTS)
def test_its_server_is_trusted_for_each_host(authority: Authority, host: str) -> None:
    """The client checks the name, the chain and the purposes."""
    assert shake_hands(authority.servers[host], authority.ca, host) == "TLSv1.3"


def test_a_server_accepts_no_other_name(authority: Authority) -> None:
    """Not even that of the other host."""
    assert shake_hands(authority.servers[HOSTS[0]], authority.ca, HOSTS[1]) == "TLSV1_UNRECOGNIZED_NAME"


def test_another_run_has_another_authority(authority: Authority, tmp_path: Path) -> None:
    """A client of one run does not trust the broker of another."""
    other = make_authority(HOSTS, tmp_path)
    assert shake_hands(other.servers[HOSTS[0]], authority.ca, HOSTS[0]) == "CERTIFICATE_VERIFY_FAILED"


def test_nothing_stays_in_the_folder(tmp_path: Path) -> None:
    """The keys were in files only until they were loaded."""
    made = make_authority(HOSTS, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "PRIVATE" not in made.ca


def test_hosts_that_openssl_refuses_are_an_error(tmp_path: Path) -> None:
    """The text contains openssl's own."""
    with pytest.raises(NoAuthority, match="`openssl` made no certificate: "):
        make_authority(["\n[broken"], tmp_path)
