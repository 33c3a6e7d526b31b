"""Codex is asked about its login, and every answer of its app server is bounded."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from moonmind_appliance.in_container.command import command

# Renews the login where `argv[1]` says so: on the first read, on the requested one, or never.
STAND_IN = """
import json, os, pathlib, sys
when = sys.argv[1]
login = pathlib.Path(os.environ["CODEX_HOME"], "auth.json")
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    wanted = message["params"].get("refreshToken")
    if message["method"] == "account/read" and (when, wanted) in {("read", False), ("request", True)}:
        login.write_text('{"renewed": true}')
    print("no JSON")
    print(json.dumps({"id": message["id"], "method": "a notification"}))
    print(json.dumps({"id": message["id"], "result": {"method": message["method"], "refresh": wanted}}), flush=True)
"""


def report_of(home: Path, volume: Path, when: str, program: str = STAND_IN, seconds: float = 30.0) -> dict[str, Any]:
    job = {"command": [sys.executable, "-c", program, when], "seconds": seconds}
    done = subprocess.run(
        [sys.executable, *command("codex_check", job)[1:]],
        env={"HOME": str(home), "CODEX_HOME": str(volume), "PATH": os.environ["PATH"]},
        capture_output=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("when", "refresh", "refreshed"), [("read", False, True), ("request", True, True), ("never", True, False)]
)
def test_a_renewal_is_requested_only_if_codex_did_not_renew(
    home: Path, volume: Path, when: str, *, refresh: bool, refreshed: bool
) -> None:
    """Two renewals in a row would use up the new refresh token."""
    report = report_of(home, volume, when)
    assert report["account"]["result"]["refresh"] is refresh
    assert report["limits"]["result"]["method"] == "account/rateLimits/read"
    assert report["refreshed"] is refreshed


def test_a_renewed_login_is_in_the_volume(home: Path, volume: Path) -> None:
    """The old one is no longer valid."""
    report_of(home, volume, "read")
    assert json.loads((volume / "auth.json").read_bytes()) == {"renewed": True}


@pytest.mark.parametrize("program", ["", "import time; time.sleep(60)"])
def test_a_server_that_ends_or_hangs_gives_no_account(home: Path, volume: Path, program: str) -> None:
    """It is killed after its time."""
    report = report_of(home, volume, "never", program, seconds=0.2)
    assert not report.get("account")
    assert report["refreshed"] is False
