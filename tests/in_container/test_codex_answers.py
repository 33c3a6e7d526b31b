"""What OpenAI answers through Codex, without a model turn. With the real Codex: tests/cli/test_doctor.py."""

import json
import os
from pathlib import Path
from typing import Any

from tests.in_container.sent import run_program

CODEX = """#!/usr/bin/env python3
import json, os, sys
login = json.load(open(os.environ["CODEX_HOME"] + "/auth.json"))["name"]
if sys.argv[1] == "models":
    if login == "broken":
        sys.exit("no network")
    print(json.dumps({"models": [{"name": login}, "--bundled" in sys.argv]}))
    sys.exit()
for line in sys.stdin:
    request = json.loads(line)
    if request["method"] == "initialize":
        print(json.dumps({"id": request["id"], "result": {}}), flush=True)
    elif "id" in request:
        print(json.dumps({"id": request["id"], "result": {"of": login, "method": request["method"]}}), flush=True)
"""


def answers(home: Path, volume: Path, login: Path | None = None) -> dict[str, Any]:
    program = home / "codex"
    program.write_text(CODEX)
    for parent in volume.parents:
        if "pytest" in str(parent):
            parent.chmod(0o755)
    for path in (home, program, *((volume, volume / "auth.json") if volume.exists() else ())):
        path.chmod(0o777)
        os.chown(path, *((1000, 1000) if os.geteuid() == 0 else (-1, -1)))
    job = {"server": [str(program), "server"], "models": [str(program), "models"], "seconds": 10}
    env = {"HOME": str(home), "CODEX_HOME": str(volume), "PATH": os.environ["PATH"]}
    done = run_program("codex_answers", job | {"login": login and str(login)}, env=env)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_both_answers_are_reported(home: Path, volume: Path) -> None:
    """The list that Codex contains is reported for comparison."""
    (volume / "auth.json").write_text('{"name": "shard"}')
    found = answers(home, volume)
    assert found["usage"]["result"] == {"of": "shard", "method": "account/rateLimits/read"}
    assert found["models"]["count"] == 2
    assert found["models"]["digest"] != found["contained"]["digest"]


def test_a_brokers_login_is_used_where_there_is_no_volume(home: Path) -> None:
    """As in the agent's container."""
    login = home / "login.json"
    login.write_text('{"name": "broker"}')
    login.chmod(0o644)
    found = answers(home, home / ".codex", login)
    assert found["usage"]["result"]["of"] == "broker"


def test_an_error_of_codex_is_reported(home: Path, volume: Path) -> None:
    """Its last words say why."""
    (volume / "auth.json").write_text('{"name": "broken"}')
    assert answers(home, volume)["models"] == {"error": "no network"}
