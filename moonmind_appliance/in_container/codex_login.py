"""Runs inside a sign-in's container, whose CODEX_HOME is a staging volume: one of Codex's ways to sign in."""

import os
import subprocess
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.ca_bundle import BUNDLE_NAME, write_bundle
from moonmind_appliance.in_container.shared import exit_code


def main(job: dict[str, Any]) -> int:
    """Run `command`, Codex's own; returns its exit code.

    `extra_ca`: the file with the operator's certificate authorities, if there are any. `api_key_file`: the file that
    contains the API key, or None. Both files are removed.
    """
    extra_ca, api_key_file = Path(job["extra_ca"]), job["api_key_file"]
    write_bundle(extra_ca, Path(os.environ["HOME"]) / BUNDLE_NAME)
    extra_ca.unlink(missing_ok=True)
    api_key = Path(api_key_file).read_bytes() if api_key_file else b""
    try:
        return exit_code(subprocess.run(job["command"], input=api_key, check=False).returncode)  # noqa: S603 - Codex
    finally:
        if api_key_file:
            Path(api_key_file).unlink(missing_ok=True)
