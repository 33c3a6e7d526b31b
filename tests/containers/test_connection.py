"""The forms of DOCKER_HOST, and a real connection by each of them."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from moonmind_appliance.containers.connection import EngineAddress
from moonmind_appliance.containers.docker import DockerEngine
from moonmind_appliance.errors import EngineUnreachable

from .conftest import EngineUnderTest, Program
from .forwarder import Forwarder

CERTIFICATES = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}


@pytest.mark.parametrize(
    ("docker_host", "environment", "expected"),
    [
        (None, {}, ("unix", "", None, "", "/var/run/docker.sock", None)),
        ("", CERTIFICATES, ("unix", "", None, "", "/var/run/docker.sock", None)),
        ("unix:///run/user/1000/docker.sock", {}, ("unix", "", None, "", "/run/user/1000/docker.sock", None)),
        ("unix://", {}, ("unix", "", None, "", "/var/run/docker.sock", None)),
        ("tcp://10.0.0.1", {}, ("tcp", "10.0.0.1", 2375, "", "", None)),
        ("tcp://engine.example:2400/", {}, ("tcp", "engine.example", 2400, "", "", None)),
        ("http://engine.example:2400", {}, ("tcp", "engine.example", 2400, "", "", None)),
        ("tcp://[::1]:2375", {}, ("tcp", "::1", 2375, "", "", None)),
        ("tcp://engine.example", CERTIFICATES, ("tcp", "engine.example", 2376, "", "", Path("/certs"))),
        ("https://engine.example", CERTIFICATES, ("tcp", "engine.example", 2376, "", "", Path("/certs"))),
        ("ssh://engine.example", {}, ("ssh", "engine.example", None, "", "", None)),
        ("ssh://root@engine.example:2222", CERTIFICATES, ("ssh", "engine.example", 2222, "root", "", None)),
    ],
)
def test_an_address_is_read_as_dockers_tools_read_it(
    docker_host: str | None, environment: dict[str, str], expected: tuple[object, ...]
) -> None:
    """Scheme, host, port, user, path, folder of certificates."""
    found = EngineAddress.parse(docker_host, environment)
    assert (found.scheme, found.host, found.port, found.user, found.path, found.certificates) == expected


@pytest.mark.parametrize(
    "docker_host",
    ["/var/run/docker.sock", "npipe:////./pipe/docker", "tcp://", "ssh://-oProxyCommand=x", "tcp://a:b", "fd://"],
)
def test_another_form_is_refused(docker_host: str) -> None:
    """The error repeats the value and lists the valid forms."""
    with pytest.raises(EngineUnreachable) as refused:
        DockerEngine(docker_host)
    assert docker_host in refused.value.message
    assert "unix://" in refused.value.hint


HELLO = Program("echo hello; cat; head -c 300000 /dev/zero", 0)


def _check(engine: DockerEngine) -> None:
    """Check that calls, an exec's stream and a file work."""
    sut = EngineUnderTest(engine)
    try:
        box = sut.box()
        ran = sut.run(box, HELLO)
        sut.engine.put_file(box, "/work/runs/a", b"a")
        assert (ran.outcome.ok, ran.stdout) == (True, b"hello\n" + bytes(300000))
        assert sut.engine.read_file(box, "/work/runs/a", limit=1) == b"a"
    finally:
        sut.clean_up()
        engine.close()


@pytest.mark.docker
@pytest.mark.image
def test_tcp_reaches_the_engine() -> None:
    """Without TLS."""
    with Forwarder(None) as wire:
        _check(DockerEngine(f"tcp://127.0.0.1:{wire.port}", environment={}))


@pytest.mark.docker
@pytest.mark.image
def test_tls_reaches_the_engine(certificates: Path, server: ssl.SSLContext) -> None:
    """With the certificates of DOCKER_CERT_PATH, on both sides."""
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
    with Forwarder(None, tls=server) as wire:
        _check(DockerEngine(f"tcp://127.0.0.1:{wire.port}", environment=environment))


def test_missing_certificates_are_named(tmp_path: Path) -> None:
    """A folder without them is an error that says where to look."""
    with Forwarder(None) as wire:
        engine = DockerEngine(f"https://127.0.0.1:{wire.port}", environment={"DOCKER_CERT_PATH": str(tmp_path)})
        with pytest.raises(EngineUnreachable, match="DOCKER_CERT_PATH"):
            engine.info()


@pytest.mark.docker
def test_an_engine_with_another_certificate_is_refused(certificates: Path, server: ssl.SSLContext) -> None:
    """Its certificate is checked for the host's name."""
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
    with Forwarder(None, tls=server) as wire:
        engine = DockerEngine(f"tcp://localhost:{wire.port}", environment=environment)
        with pytest.raises(EngineUnreachable, match="DOCKER_CERT_PATH"):
            engine.info()


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ssh` that records its arguments and runs the command locally."""
    said = tmp_path / "said"
    program = tmp_path / "ssh"
    program.write_text(
        f'#!/bin/sh\necho "$*" >>{said}\nwhile [ "$1" != -- ]; do shift; done\nshift 2\nunset DOCKER_HOST\nexec "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return said


@pytest.mark.docker
@pytest.mark.image
def test_ssh_reaches_the_engine(ssh: Path) -> None:
    """The connection uses the machine's own ssh, without a prompt, and Docker's client on the other host."""
    _check(DockerEngine("ssh://root@engine.example:2222", environment={}))
    asked = set(ssh.read_text().splitlines())
    assert {line.partition("ConnectTimeout=")[2].partition(" ")[2] for line in asked} == {
        "-l root -p 2222 -- engine.example docker system dial-stdio"
    }
    assert all("BatchMode=yes" in line for line in asked)


def test_a_failed_ssh_has_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is the command that shows the cause."""
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(EngineUnreachable, match=r"ssh engine\.example docker version"):
        DockerEngine("ssh://engine.example", environment={}).info()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with ca.pem, cert.pem and key.pem, issued for 127.0.0.1 and valid for both sides."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine test")])
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path / "certificates"
    folder.mkdir()
    public = made.public_bytes(serialization.Encoding.PEM)
    for file in ("ca.pem", "cert.pem"):
        (folder / file).write_bytes(public)
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder


@pytest.fixture
def server(certificates: Path) -> Iterator[ssl.SSLContext]:
    """The engine's side: it asks callers for a certificate, too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context
