"""The appliance's process, which a harness starts, kills or stops, and starts again."""

import sqlite3
import time
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from tests.faults.collect import open_to_read
from tests.faults.figures import Life
from tests.faults.points import ARM_FILE_VARIABLE
from tests.journeys.served import Served

API = "/api/spec-automation"
_READY_SECONDS = 60.0


class Victim:
    """The appliance's process: started, killed, and started again."""

    def __init__(self, environment: RehearsalEnvironment, folder: Path, main: str) -> None:
        self.arm_file = folder / "serve.armed"
        self.login_arm_file = folder / "login.armed"
        self.log = folder / "serve.log"
        self.served = Served(environment, self.log, main, {ARM_FILE_VARIABLE: str(self.arm_file)})
        self.data_dir = environment.data_dir
        self.lives: list[Life] = []
        self.ended_by_itself: list[str] = []

    def spawn(self) -> None:
        """Start the process, without waiting for it."""
        self.lives.append(Life(started=time.time()))
        self.served.process = self.served.run("serve")

    def wait_until_ready(self) -> bool:
        """Wait until the API answers; False if the process ended before."""
        limit = time.monotonic() + _READY_SECONDS
        while not self.has_ended():
            if time.monotonic() > limit:
                raise TimeoutError(f"The appliance did not start; see {self.log}.")
            if self._answers():
                self.lives[-1].ready = time.time()
                return True
            time.sleep(0.01)
        return False

    def has_ended(self) -> bool:
        """Whether no process runs."""
        return self.served.process is None or self.served.process.poll() is not None

    def wait_for_end(self, seconds: float) -> bool:
        """Wait until the process ended by itself; False if it still runs."""
        limit = time.monotonic() + seconds
        while not self.has_ended() and time.monotonic() < limit:
            time.sleep(0.02)
        return self.has_ended()

    def kill(self) -> None:
        """SIGKILL, if it has not ended; records which runs it executed."""
        code = self.served.process.poll()
        if code is not None and code != -9:
            self.ended_by_itself.append(f"exit code {code}; the log ends: {self.last_lines()}")
        self.served.kill()
        self.arm_file.unlink(missing_ok=True)
        life = self.lives[-1]
        life.ended = time.time()
        life.executed = {row["run_id"] for row in self.rows("SELECT run_id FROM runs WHERE status = 'in_progress'")}

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        code, _seconds = self.served.terminate(120)
        self.lives[-1].ended = time.time()
        if code != 0:
            self.ended_by_itself.append(f"exit code {code} after SIGTERM; the log ends: {self.last_lines()}")

    def arm(self, point: str, number: int, file: Path) -> None:
        """The process causes the fault at that call of the point from now on."""
        file.with_suffix(".reached").unlink(missing_ok=True)
        new = file.with_suffix(".new")
        new.write_text(f"{point}\t{number}", encoding="utf-8")
        new.rename(file)

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """Rows of the database, whether or not the process runs."""
        while True:
            try:
                with open_to_read(self.data_dir) as connection:
                    return connection.execute(query, values).fetchall()
            except sqlite3.OperationalError:
                # Another process recovers the write-ahead log in this moment.
                time.sleep(0.02)

    def _answers(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.served.port, timeout=2)
        with closing(connection), suppress(OSError, HTTPException):
            connection.request("GET", f"{API}/health")
            return connection.getresponse().status == 200
        return False

    def last_lines(self) -> str:
        return " | ".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
