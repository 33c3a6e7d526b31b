"""Which certificate authorities the appliance's own HTTP clients trust."""

import ssl
from pathlib import Path

import httpx


def trust_context(ca_file: Path | None) -> ssl.SSLContext:
    """Trusts the public authorities, the machine's own, and those of `ca_file` (PEM).

    Raises:
        OSError: the file cannot be read or contains no certificate.
    """
    context = httpx.create_ssl_context()
    context.load_default_certs()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context
