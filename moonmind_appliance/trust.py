"""Which certificate authorities the appliance's own HTTP clients trust, and those that containers get."""

import ssl
from pathlib import Path

import httpx

from moonmind_appliance.errors import FileUnusable, SettingProblem, SettingsError


def trust_context(ca_file: Path | None) -> ssl.SSLContext:
    """Trusts the public authorities, the machine's own, and those of `ca_file` (PEM).

    Raises:
        SettingsError: the file, which EXTRA_CA_CERTS names, cannot be read or contains no certificate.
    """
    context = httpx.create_ssl_context()
    context.load_default_certs()
    if ca_file is None:
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one too
        problem = SettingProblem(
            "EXTRA_CA_CERTS",
            f"names {ca_file}, which contains no usable certificate ({error}).",
            "Set it to a PEM file.",
        )
        raise SettingsError([problem]) from None
    return context


def extra_authorities(ca_file: Path) -> bytes:
    """The content of the file that EXTRA_CA_CERTS names. It may have been removed since the start.

    Raises:
        FileUnusable: it cannot be read now.
    """
    try:
        return ca_file.read_bytes()
    except OSError as error:
        raise FileUnusable(
            f"The file {ca_file} of EXTRA_CA_CERTS cannot be read: {error.strerror}.",
            hint="Put the file back, or change the setting and restart.",
            temporary=True,
        ) from error
