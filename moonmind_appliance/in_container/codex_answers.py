"""Asks OpenAI through Codex for the account's usage windows and for the models, without a model turn.

Runs in a container that has the shard's lock, and in one that has only the login of a login broker: `doctor --broker`
compares what both print, one JSON line each. Seen on 0.169.0: `codex debug models` prints the list that Codex contains
if it gets none.
"""

import hashlib
import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.ca_bundle import trust
from moonmind_appliance.in_container.codex_check import CLIENT, Server
from moonmind_appliance.in_container.codex_home import CodexHome
from moonmind_appliance.in_container.login_volume import place_login
from moonmind_appliance.in_container.shared import answer

_LONGEST_ERROR = 300


def usage(command: list[str], seconds: float, environment: dict[str, str]) -> dict[str, Any]:
    """The response of Codex's app server to `account/rateLimits/read`; empty if it ends early."""
    server = Server(command, environment)
    timer = threading.Timer(seconds, server.process.kill)
    timer.start()
    try:
        if not server.request("initialize", clientInfo=CLIENT):
            return {}
        server.send({"method": "initialized"})
        return server.request("account/rateLimits/read")
    except OSError:
        return {}
    finally:
        timer.cancel()
        server.process.kill()
        server.process.wait()


def models(command: list[str], seconds: float, environment: dict[str, str]) -> dict[str, Any]:
    """The number of models and a digest of all that is known about them; `error` if Codex printed none."""
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=seconds, check=False)  # noqa: S603
        listed = json.loads(done.stdout)["models"]
    except subprocess.TimeoutExpired:
        return {"error": "no answer in time"}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"error": done.stderr.decode(errors="replace").strip()[-_LONGEST_ERROR:] or "no list"}
    content = json.dumps(listed, sort_keys=True).encode()
    return {"count": len(listed), "digest": hashlib.sha256(content).hexdigest()}


def main(job: dict[str, Any]) -> int:
    """Print both answers.

    The job contains `server` (Codex's app server), `models` (the command that lists the models), `seconds` (for each)
    and `login` (the file of a login broker's login; None if the login is in CODEX_HOME).
    """
    home, volume = Path(os.environ["HOME"]), Path(os.environ["CODEX_HOME"])
    if job["login"]:
        place_login(volume, Path(job["login"]))
    trust(home)
    with CodexHome(home, volume) as codex_home:
        environment = codex_home.environment()
        answers = {
            "usage": usage(job["server"], job["seconds"], environment),
            "models": models(job["models"], job["seconds"], environment),
            "contained": models([*job["models"], "--bundled"], job["seconds"], environment),
        }
    answer(answers)
    return 0
