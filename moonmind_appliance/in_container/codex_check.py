"""Runs inside a container that has the shard's lock: asks Codex itself about its login, without a model turn.

Standard library only, sent together with `codex_home` as `python3 -I -S -c`. Arguments: seconds, then the command of
Codex's app server, which uses JSON-RPC with one message per line. Prints one JSON line.

Seen on 0.169.0: `account/read` with `refreshToken` renews the login. The `account` of its response is null if OpenAI
refused the renewal (expired, reused, invalidated); the response is an error if OpenAI could not be reached.
`account/rateLimits/read` returns the usage windows. `codex debug models` renews too, but never reports why it failed.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from moonmind_appliance.in_container.codex_home import CodexHome, clean, digest, trust

NAME = {"name": "moonmind_appliance", "title": "MoonMind appliance", "version": "1"}


class Server:
    """Codex's app server as a child process."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - Codex, by fixed name
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        self.words = ""
        self.asked = 0
        threading.Thread(target=self.read_words, daemon=True).start()

    def read_words(self) -> None:
        """Keep its last log message about a refresh, for display."""
        for line in self.process.stderr or ():
            text = line.decode(errors="replace").strip()
            if "refresh token:" in text:
                self.words = text.partition("refresh token:")[2].strip()

    def tell(self, message: dict[str, Any]) -> None:
        """Send one message."""
        if self.process.stdin:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        """Send a request and wait for the response; empty if the server ends."""
        self.asked += 1
        self.tell({"id": self.asked, "method": method, "params": params})
        for line in self.process.stdout or ():
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(message, dict) and message.get("id") == self.asked and "method" not in message:
                return message
        return {}


def check(command: list[str], seconds: float, codex_home: CodexHome) -> dict[str, Any]:
    """Codex's report on the login in that CODEX_HOME."""
    before = digest(codex_home.login)
    server = Server(command, codex_home.environment())
    clock = threading.Timer(seconds, server.process.kill)
    clock.start()
    report: dict[str, Any] = {}
    try:
        if server.ask("initialize", clientInfo=NAME):
            server.tell({"method": "initialized"})
            # Codex renews by itself in the last minutes; request a renewal only if it did not.
            report["account"] = server.ask("account/read", refreshToken=False)
            if digest(codex_home.login) == before:
                report["account"] = server.ask("account/read", refreshToken=True)
            report["limits"] = server.ask("account/rateLimits/read")
    except OSError:
        report["problem"] = "Codex's app server exited early."
    finally:
        clock.cancel()
        server.process.kill()
        server.process.wait()
    report["refreshed"] = digest(codex_home.login) != before
    report["words"] = server.words
    return report


def main(arguments: list[str]) -> int:
    """Check the login and print the result."""
    seconds, *command = arguments
    home, volume = Path(os.environ["HOME"]), Path(os.environ["CODEX_HOME"])
    trust(home, Path(os.environ.get("MOONMIND_EXTRA_CA", "/nonexistent")))
    with CodexHome(home, volume) as codex_home:
        report = check(command, float(seconds), codex_home)
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
    clean(volume)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
