"""Runs inside a container that has the shard's lock: asks Codex itself about its login, without a model turn.

Codex's app server uses JSON-RPC with one message per line. The result is one JSON line.

Seen on 0.169.0: `account/read` with `refreshToken` renews the login. The `account` of its response is null if OpenAI
refused the renewal (expired, reused, invalidated); the response is an error if OpenAI could not be reached.
`account/rateLimits/read` returns the usage windows. `codex debug models` renews too, but never reports why it failed.
"""

import contextlib
import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.ca_bundle import trust
from moonmind_appliance.in_container.codex_home import CodexHome
from moonmind_appliance.in_container.login_volume import clean, digest
from moonmind_appliance.in_container.shared import answer

CLIENT = {"name": "moonmind_appliance", "title": "MoonMind appliance", "version": "1"}


class Server:
    """Codex's app server as a child process."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - Codex, by fixed name
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        self.refresh_error = ""
        self.requests = 0
        threading.Thread(target=self.read_log, daemon=True).start()

    def read_log(self) -> None:
        """Keep its last log message about a refresh, for display."""
        if self.process.stderr is None:
            return
        with self.process.stderr as log:
            for line in log:
                text = line.decode(errors="replace").strip()
                if "refresh token:" in text:
                    self.refresh_error = text.partition("refresh token:")[2].strip()

    def end(self) -> None:
        """Kill it. A program that checks more than once must not keep its pipes."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        if self.process.stdin:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def request(self, method: str, **params: object) -> dict[str, Any]:
        """Send a request and wait for the response; empty if the server ends."""
        self.requests += 1
        self.send({"id": self.requests, "method": method, "params": params})
        for line in self.process.stdout or ():
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(message, dict) and message.get("id") == self.requests and "method" not in message:
                return message
        return {}


def check(command: list[str], seconds: float, codex_home: CodexHome) -> dict[str, Any]:
    """Codex's report on the login in that CODEX_HOME."""
    before = digest(codex_home.login)
    server = Server(command, codex_home.environment())
    timer = threading.Timer(seconds, server.process.kill)
    timer.start()
    report: dict[str, Any] = {}
    try:
        if server.request("initialize", clientInfo=CLIENT):
            server.send({"method": "initialized"})
            # Codex renews by itself in the last minutes; request a renewal only if it did not.
            report["account"] = server.request("account/read", refreshToken=False)
            if digest(codex_home.login) == before:
                report["account"] = server.request("account/read", refreshToken=True)
            report["limits"] = server.request("account/rateLimits/read")
    except OSError:
        report["problem"] = "Codex's app server exited early."
    finally:
        timer.cancel()
        server.end()
    report["refreshed"] = digest(codex_home.login) != before
    report["refresh_error"] = server.refresh_error
    return report


def main(job: dict[str, Any]) -> int:
    """Check the login by `command`, Codex's app server, for at most `seconds`, and print the result."""
    home, volume = Path(os.environ["HOME"]), Path(os.environ["CODEX_HOME"])
    trust(home)
    with CodexHome(home, volume) as codex_home:
        report = check(job["command"], job["seconds"], codex_home)
    answer(report)
    clean(volume)
    return 0
