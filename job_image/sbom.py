"""Prints an SBOM in CycloneDX JSON: the Debian, Python and npm packages of an image or an environment.

It needs only Python, so a build can run it in the image that it describes. The same packages give the same bytes.
"""
# ruff: noqa: INP001 - a script that the images carry alone, part of no package

import argparse
import email
import json
import platform
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]

_DPKG = ["dpkg-query", "--show", "--showformat=${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\n"]
_NPM_CPUS = {"x86_64": "x64", "aarch64": "arm64"}


def component(name: str, version: str, purl: str, **more: object) -> Component:
    """A package; `purl` is its package URL without the version."""
    path, _, qualifiers = purl.partition("?")
    reference = f"{path}@{quote(version, safe='')}" + (f"?{qualifiers}" if qualifiers else "")
    return {"type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference, **more}


def debian_packages(listing: str, distribution: str) -> list[Component]:
    """From `dpkg-query`'s listing; packages that are removed but not purged are left out."""
    rows = [line.split("\t") for line in listing.splitlines()]
    return [
        component(name, version, f"pkg:deb/{distribution}/{quote(name, safe='')}?arch={architecture}")
        for status, name, version, architecture in rows
        if status == "installed"
    ]


def python_packages(folder: Path) -> list[Component]:
    """The distributions that are installed in a `site-packages` folder."""
    found = []
    for file in folder.glob("*.dist-info/METADATA"):
        fields = email.message_from_bytes(file.read_bytes())
        name = re.sub(r"[-_.]+", "-", str(fields["Name"])).lower()
        found.append(component(name, str(fields["Version"]), f"pkg:pypi/{name}"))
    return found


def npm_packages(lock: dict[str, Any], machine: str) -> list[Component]:
    """The packages of an npm lock file that are for this machine."""
    found = []
    cpu = _NPM_CPUS.get(machine, machine)
    for path, package in lock["packages"].items():
        if path and cpu in package.get("cpu", [cpu]):
            name = package.get("name", path.rpartition("node_modules/")[2])
            found.append(component(name, package["version"], f"pkg:npm/{quote(name, safe='/')}"))
    return found


def document(name: str, version: str, components: list[Component], kind: str) -> dict[str, Any]:
    """The whole document. Its serial number depends on the content only."""
    ordered = sorted({each["bom-ref"]: each for each in components}.values(), key=lambda each: str(each["bom-ref"]))
    content = json.dumps([name, version, ordered])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {"component": {"type": kind, "bom-ref": name, "name": name, "version": version}},
        "components": ordered,
    }


def _distribution() -> str:
    release = platform.freedesktop_os_release()
    return release.get("ID", "debian")


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="what the document describes")
    parser.add_argument("version")
    parser.add_argument("--debian", action="store_true", help="the packages that dpkg has installed")
    parser.add_argument("--python", type=Path, action="append", default=[], metavar="SITE_PACKAGES")
    parser.add_argument("--npm", type=Path, action="append", default=[], metavar="PACKAGE_LOCK")
    options = parser.parse_args()
    found: list[Component] = []
    if options.debian:
        done = subprocess.run(_DPKG, capture_output=True, text=True, check=True)  # noqa: S603 - a fixed command
        found += debian_packages(done.stdout, _distribution())
    for folder in options.python:
        found += python_packages(folder)
    for lock in options.npm:
        found += npm_packages(json.loads(lock.read_text(encoding="utf-8")), platform.machine())
    kind = "container" if options.debian else "application"
    sys.stdout.write(json.dumps(document(options.name, options.version, found, kind), indent=1) + "\n")


if __name__ == "__main__":
    main()
