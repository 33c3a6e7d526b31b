"""Runs inside a container that holds the shard: asks Codex itself about its login, without a model turn.

Standard library only, sent as `python3 -I -S -c`. Arguments: seconds, then the command of Codex's app server, which
speaks JSON-RPC, a message a line. Prints one JSON line.

Seen on 0.169.0: `account/read` with `refreshToken` renews the login; the `account` of its answer is null when OpenAI
refused the renewal (expired, reused, invalidated), and the answer is an error when nobody could be asked.
`account/rateLimits/read` tells the usage windows. `codex debug models` renews too, but never says why not.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
NAME = {"name": "moonmind_appliance", "title": "MoonMind appliance", "version": "1"}


class Server:
    """Codex's app server as a child process."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - Codex, by fixed name
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.words = ""
        self.asked = 0
        threading.Thread(target=self.read_words, daemon=True).start()

    def read_words(self) -> None:
        """Keep the last thing it logs about a refresh, for people."""
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
        """Send a request and wait for its answer; empty when the server ends."""
        self.asked += 1
        self.tell({"id": self.asked, "method": method, "params": params})
        for line in self.process.stdout or ():
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict) and message.get("id") == self.asked and "method" not in message:
                return message
        return {}


def digest(path: Path) -> str | None:
    """The file's SHA-256, None where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def trust(home: Path, extra_ca: Path) -> None:
    """Make the bundle that the environment names, where the operator has authorities of their own."""
    if extra_ca.is_file():
        (home / "ca.pem").write_bytes(SYSTEM_BUNDLE.read_bytes() + b"\n" + extra_ca.read_bytes())
        extra_ca.unlink()


def main(arguments: list[str]) -> int:
    """Check."""
    seconds, *command = arguments
    folder = Path(os.environ["CODEX_HOME"])
    trust(Path(os.environ["HOME"]), folder / "extra-ca.pem")
    before = digest(folder / "auth.json")
    server = Server(command)
    clock = threading.Timer(float(seconds), server.process.kill)
    clock.start()
    report: dict[str, Any] = {}
    try:
        if server.ask("initialize", clientInfo=NAME):
            server.tell({"method": "initialized"})
            # Codex renews by itself in the last minutes; only where it did not is it told to.
            report["account"] = server.ask("account/read", refreshToken=False)
            if digest(folder / "auth.json") == before:
                report["account"] = server.ask("account/read", refreshToken=True)
            report["limits"] = server.ask("account/rateLimits/read")
    except OSError:
        report["problem"] = "Codex's app server ended early."
    finally:
        clock.cancel()
        server.process.kill()
        server.process.wait()
    report["refreshed"] = digest(folder / "auth.json") != before
    report["words"] = server.words
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
