"""A certificate authority of one run, made with the `openssl` command: its keys stay in the broker's container."""

import ssl
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_SECONDS = 30
_DAYS = "30"
# Not openssl's own configuration: the distribution's one adds extensions.
_CONFIGURATION = """[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
nameConstraints = critical, {permitted}
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {names}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class NoAuthority(Exception):
    """The authority could not be made; the text says why."""


class Authority(NamedTuple):
    """The authority that the agent must trust, as PEM, and the TLS context of a server for each host."""

    ca: str
    servers: dict[str, ssl.SSLContext]


def make_authority(hosts: Iterable[str], folder: Path) -> Authority:
    """Make an authority that is valid for these hosts only, and its one certificate.

    The keys are in a temporary folder below `folder` until they are loaded.

    Raises:
        NoAuthority: `openssl` failed.
    """
    names = list(hosts)
    with tempfile.TemporaryDirectory(prefix="broker-", dir=folder) as made_in:
        made = Path(made_in)
        (made / "configuration").write_text(
            _CONFIGURATION.format(
                permitted=", ".join(f"permitted;DNS.{n}:{host}" for n, host in enumerate(names)),
                names=", ".join(f"DNS:{host}" for host in names),
            )
        )
        _certificate(made, "ca", "/CN=Authority of this run")
        _certificate(made, "server", f"/CN={names[0]}", "-CA", "ca.pem", "-CAkey", "ca.key")
        return Authority((made / "ca.pem").read_text(), {host: _server(made, host) for host in names})


def _server(folder: Path, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    # Codex also offers HTTP/2 if it trusts an authority of its own.
    context.set_alpn_protocols(["http/1.1"])

    def check_name(_: object, name: str | None, __: object) -> int | None:
        return None if (name or "").lower() == host else int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)

    context.sni_callback = check_name
    return context


def _certificate(folder: Path, name: str, subject: str, *signed_by: str) -> None:
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-config", "configuration", "-extensions", name, "-subj", subject, "-days", _DAYS, *signed_by]
    command += ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
    try:
        done = subprocess.run(  # noqa: S603 - openssl, by fixed name
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAuthority(f"`openssl` could not be run: {type(error).__name__}.") from None
    if done.returncode:
        raise NoAuthority(f"`openssl` made no certificate: {done.stderr.decode(errors='replace').strip()[-300:]}")
