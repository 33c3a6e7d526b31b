"""Which program a command sends into a container, and with which job; and running one on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.command import command
from moonmind_appliance.models import ExecSpec

# As in the container: an ordinary user, who is subject to permissions.
USER = 1000
SYSTEM_PYTHON = "/usr/bin/python3"
CHANGES_USER = os.geteuid() == 0 and Path(SYSTEM_PYTHON).exists()


def program_of(spec: ExecSpec) -> str:
    """The program's name; "" for any other command."""
    return spec.command[-2] if "-I" in spec.command else ""


def job_of(spec: ExecSpec) -> dict[str, Any]:
    return dict(json.loads(spec.command[-1]))


def run_program(
    program: str, job: Mapping[str, object], *, env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program as the container does; as its user, if these tests run as root."""
    _, *arguments = command(program, job)
    return subprocess.run(
        [SYSTEM_PYTHON if CHANGES_USER else sys.executable, *arguments],
        env=env,
        cwd=cwd,
        capture_output=True,
        user=USER if CHANGES_USER else None,
        group=USER if CHANGES_USER else None,
        extra_groups=[] if CHANGES_USER else None,
        check=False,
    )
