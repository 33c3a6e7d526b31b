"""Runs the appliance as a separate process that tests can kill."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx

from moonmind_appliance.attach import attach
from moonmind_appliance.settings import load

MAIN = "from moonmind_appliance.cli import main; main()"


class Served:
    """`moonmind-appliance serve` on an environment's settings; can be started again after its end.

    `main` is the program instead of the command's own, and `extra` more variables for it.
    """

    def __init__(self, environment, log, main=MAIN, extra=None):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.environment = environment.variables() | {"MOONMIND_PORT": str(port)} | (extra or {})
        self.port = port
        self.main = main
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.process = None
        with attach(load(self.environment).settings) as resources:
            self.token = resources.store.tokens.create(f"served-{port}", operator=True, expires_at=None)

    def run(self, *arguments, **options):
        """Start the program with these arguments."""
        clean = {
            key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "PYTHONPATH", "DOCKER_HOST")
        }
        clean["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", self.main, *arguments],
                env=clean | self.environment,
                stdout=log,
                stderr=log,
                **options,
            )

    def start(self):
        self.process = self.run("serve")
        limit = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < limit, self.log.read_text()
            try:
                httpx.get(f"{self.url}/api/spec-automation/health", timeout=1).raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def terminate(self, seconds=60):
        """Send SIGTERM; returns the exit code and the seconds until the end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        return code, time.monotonic() - began

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def client(self):
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=30)
