"""One file with the container's certificate authorities and the operator's, for programs that accept one file."""

import os
from pathlib import Path
from typing import Any

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
BUNDLE_NAME = "ca.pem"
"""The name of the file in the HOME of the container's user."""
EXTRA_CA_VARIABLE = "MOONMIND_EXTRA_CA"
"""The variable that names the operator's file in the container."""


def write_bundle(extra_ca: Path, bundle: Path) -> None:
    """Write the bundle, if there is a file of the operator's. May be called again."""
    if extra_ca.is_file():
        bundle.write_bytes(SYSTEM_BUNDLE.read_bytes() + b"\n" + extra_ca.read_bytes())


def trust(home: Path) -> None:
    """Write the bundle into HOME, if the environment names a file of the operator's."""
    if extra_ca := os.environ.get(EXTRA_CA_VARIABLE):
        write_bundle(Path(extra_ca), home / BUNDLE_NAME)


def main(job: dict[str, Any]) -> int:
    """Write `bundle` from the image's authorities and those in `extra_ca`."""
    write_bundle(Path(job["extra_ca"]), Path(job["bundle"]))
    return 0
