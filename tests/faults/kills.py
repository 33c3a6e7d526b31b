"""Kills a real appliance again and again while it works, and checks at the end that nothing was lost or left.

The environment is the rehearsal's: real Docker, git, Codex and Spec Kit, with stand-ins for OpenAI and GitHub. The
appliance is a process of its own. Start it with `tests/faults/run`.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx

from moonmind_appliance import settings
from moonmind_appliance.appliance import attach
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse
from moonmind_appliance.runs.pause import pause_shard, resume_shard
from tests.faults.collect import (
    artifact_rows,
    collect,
    containers_of,
    files_of,
    known_secrets,
    left_in_docker,
    open_to_read,
)
from tests.faults.figures import Life, claimed_after
from tests.faults.invariants import INVARIANTS, Facts, Violation, violations
from tests.faults.points import ARM_FILE_VARIABLE, POINTS
from tests.faults.schedule import REPOSITORIES, How, Kill, Plan, kills, plans, points_of
from tests.journeys.served import Served

API = "/api/spec-automation"
MAIN = "import tests.faults.killable"

# The appliance gives up on a run after five interruptions without progress. The harness waits before it comes to that.
_MOST_INTERRUPTIONS = 4
_PROGRESS_SECONDS = 90.0
_POINT_SECONDS = 60.0
# Retention comes after the checks of all logins.
_STARTUP_SECONDS = 20.0
_READY_SECONDS = 60.0
_SIGN_IN_SECONDS = 90.0
_END_SECONDS = 600.0
_LEFT_SECONDS = 90.0


@dataclass
class Report:
    """What happened. Times are in seconds."""

    seed: int
    shards: int
    kills: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    submitted: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    pull_requests: int = 0
    should_have_pull_requests: int = 0
    most_interruptions: int = 0
    interrupted: int = 0
    api_answers: list[float] = field(default_factory=list)
    runs_again: list[float] = field(default_factory=list)
    points: int = 0
    reached: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)


class Victim:
    """The appliance's process: started, killed, and started again."""

    def __init__(self, environment: RehearsalEnvironment, folder: Path) -> None:
        self.arm_file = folder / "serve.armed"
        self.login_arm_file = folder / "login.armed"
        self.log = folder / "serve.log"
        self.served = Served(environment, self.log, MAIN, {ARM_FILE_VARIABLE: str(self.arm_file)})
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
        return self.served.process.poll() is not None

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

    def arm(self, kill: Kill, file: Path) -> None:
        """The process kills itself at that call from now on."""
        file.with_suffix(".reached").unlink(missing_ok=True)
        new = file.with_suffix(".new")
        new.write_text(f"{kill.point}\t{kill.number}", encoding="utf-8")
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


class Callers(threading.Thread):
    """Submits runs so that some are always open, cancels some, and checks the artifacts of each that ended.

    A submission without a response is sent again with its Idempotency-Key, as the docs say.
    """

    def __init__(self, victim: Victim, environment: RehearsalEnvironment, seed: int, open_runs: int) -> None:
        super().__init__(name="callers", daemon=True)
        self._victim, self._environment = victim, environment
        self._plans, self._open_runs, self._seed = plans(seed), open_runs, seed
        self._next: Plan | None = None
        self.cancels: list[tuple[float, str]] = []
        self._checked: set[str] = set()
        self._client = victim.served.client()
        self._client.timeout = httpx.Timeout(20)
        self.accepted: dict[str, Collection[str]] = {}
        self.dry_runs: set[str] = set()
        self.violations: list[Violation] = []
        self.submitting = True
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.1):
            try:
                self._cancel_due()
                self._check_ended()
                if self.submitting or self._next is not None:
                    self._submit()
            except Exception as error:  # noqa: BLE001 - a defect of the harness must fail it, not end its thread
                self.violations.append(Violation("the harness works", "callers", repr(error)))
        self._client.close()

    @property
    def busy(self) -> bool:
        """Whether a request has no answer yet."""
        return bool(self.cancels) or self._next is not None

    def limit_next_turn(self) -> None:
        """The account of the next turn reaches its usage limit, which resets after some seconds."""
        self._environment.openai.respond_with(ScriptedResponse(ResponseKind.USAGE_LIMIT, resets_in=3), times=1)

    def cancel_newest(self) -> None:
        """Cancel the run that was accepted last, soon."""
        if self.accepted:
            run_id = list(self.accepted)[-1]
            self.accepted[run_id] = {"succeeded", "cancelled"}
            self.cancels.append((time.monotonic() + 0.5, run_id))

    def _submit(self) -> None:
        (row,) = self._victim.rows("SELECT count(*) AS n FROM runs WHERE status IN ('queued', 'in_progress')")
        if row["n"] >= self._open_runs and self._next is None:
            return
        if self._next is None:
            self._next = next(self._plans)
            if self._next.limited:
                self.limit_next_turn()
        plan = self._next
        body = {"repository": plan.repository, "specify_text": plan.text, "dry_run": plan.dry_run}
        answer = self._post(f"{API}/runs", json=body, headers={"Idempotency-Key": f"{self._seed}-{plan.number}"})
        if answer is None or answer.status_code == 503:
            return
        if answer.status_code != 202:
            self.violations.append(Violation("submissions are accepted", str(plan.number), answer.text))
        else:
            run_id = answer.json()["run_id"]
            self.accepted[run_id] = {"succeeded"} if plan.cancel_after is None else {"succeeded", "cancelled"}
            if plan.dry_run:
                self.dry_runs.add(run_id)
            if plan.cancel_after is not None:
                self.cancels.append((time.monotonic() + plan.cancel_after, run_id))
        self._next = None

    def _cancel_due(self) -> None:
        for due, run_id in list(self.cancels):
            if time.monotonic() < due:
                continue
            answer = self._post(f"{API}/runs/{run_id}/cancel")
            if answer is None or answer.status_code == 503:
                continue
            self.cancels.remove((due, run_id))
            if answer.status_code not in (202, 409):
                self.violations.append(Violation("cancels are accepted", run_id, answer.text))

    def _post(self, path: str, **request: object) -> httpx.Response | None:
        """The answer; None if there is none, because the process was killed or does not run."""
        try:
            return self._client.post(path, **request)
        except httpx.HTTPError:
            return None

    def _check_ended(self) -> None:
        """Now, because retention may remove the files before the end."""
        for row in self._victim.rows("SELECT run_id FROM runs WHERE status NOT IN ('queued', 'in_progress')"):
            if row["run_id"] not in self._checked:
                self._checked.add(row["run_id"])
                self._check_artifacts(row["run_id"])

    def _check_artifacts(self, run_id: str) -> None:
        with open_to_read(self._victim.data_dir) as connection:
            facts = Facts(artifacts=artifact_rows(connection, run_id))
        facts.files, _ = files_of(self._victim.data_dir, run_id)
        for name in ("artifact rows are true", "artifact files have rows"):
            found = [Violation(name, subject, what) for subject, what in INVARIANTS[name](facts)]
            if found and not self._victim.rows(
                "SELECT 1 FROM events WHERE run_id = ? AND kind = 'artifacts.removed'", run_id
            ):
                self.violations += found


class Harness:
    """One schedule, from the first sign-in to the report."""

    def __init__(
        self,
        environment: RehearsalEnvironment,
        folder: Path,
        *,
        seed: int,
        count: int,
        shards: int,
        say: Callable[[str], None],
    ) -> None:
        self._environment, self._shards, self._say = environment, shards, say
        self._schedule = kills(seed, count)
        self._victim = Victim(environment, folder)
        self._callers = Callers(self._victim, environment, seed, open_runs=shards + 2)
        self._report = Report(seed=seed, shards=shards, points=len(POINTS))
        self._reached: set[str] = set()
        self._tried: set[str] = set()
        self.stopped = threading.Event()

    def run(self) -> Report:
        """Run the schedule, or until `stopped` is set, then wait for the end of every run, and check."""
        began = time.monotonic()
        for repository in REPOSITORIES:
            self._environment.github.add_repository(repository)
        for shard in range(self._shards):
            self._environment.sign_in_by(self._victim.served.environment, shard)
        self._callers.start()
        try:
            for number, kill in enumerate(self._schedule, 1):
                if not self.stopped.is_set():
                    self._one(kill, f"{number}/{len(self._schedule)}")
            for again in range(2):
                for point in sorted(points_of(self._schedule) - self._reached):
                    if not self.stopped.is_set():
                        self._one(Kill(How.POINT, point=point), f"missed point, attempt {again + 2}")
            self._finish()
            self._report.seconds = time.monotonic() - began
            self._check()
        finally:
            self._callers.over.set()
            self._callers.join(30)
            self._victim.served.close()
        return self._report

    def _one(self, kill: Kill, number: str) -> None:
        """One kill. Before and after it the process does not run."""
        victim, how = self._victim, kill.how.value
        is_startup = kill.how is How.POINT and POINTS[kill.point].startup
        if is_startup:
            victim.arm(kill, victim.arm_file)
        victim.spawn()
        if kill.how is How.START:
            victim.wait_for_end(kill.seconds)
        elif is_startup:
            if victim.wait_until_ready():
                victim.wait_for_end(_STARTUP_SECONDS)
        elif victim.wait_until_ready():
            self._wait_for_progress()
            if kill.is_of_login:
                self._sign_in(kill)
            elif kill.how is How.POINT:
                self._provoke(POINTS[kill.point].needs)
                victim.arm(kill, victim.arm_file)
                victim.wait_for_end(_POINT_SECONDS)
            else:
                victim.wait_for_end(kill.seconds)
        self._note(kill, victim.login_arm_file if kill.is_of_login else victim.arm_file)
        victim.kill()
        self._report.kills[how] = self._report.kills.get(how, 0) + 1
        self._say(f"{number}: {kill.point or f'{how}, {kill.seconds} s'}; it executed {len(victim.lives[-1].executed)}")

    def _provoke(self, needs: str) -> None:
        """Cause what the point needs to be reached soon."""
        if needs == "limit":
            self._callers.limit_next_turn()
        elif needs == "cancel":
            self._callers.cancel_newest()

    def _note(self, kill: Kill, file: Path) -> None:
        reached = file.with_suffix(".reached")
        if kill.how is How.POINT:
            self._tried.add(kill.point)
            if reached.exists():
                self._reached.add(kill.point)
        reached.unlink(missing_ok=True)

    def _sign_in(self, kill: Kill) -> None:
        """Start a sign-in of a shard that has a login, and let it kill itself."""
        victim, openai = self._victim, self._environment.openai
        shard = kill.number % self._shards
        victim.arm(kill, victim.login_arm_file)
        # As an operator would: on a busy shard a sign-in waits until the shard executes no run.
        with attach(settings.load(victim.served.environment).settings) as resources:
            pause_shard(resources, shard)
        with openai.manual_approval():
            before = set(openai.pending_codes)
            victim.served.environment[ARM_FILE_VARIABLE] = str(victim.login_arm_file)
            process = victim.served.run("login-shard", str(shard))
            victim.served.environment[ARM_FILE_VARIABLE] = str(victim.arm_file)
            limit = time.monotonic() + _SIGN_IN_SECONDS
            while process.poll() is None and time.monotonic() < limit:
                for code in set(openai.pending_codes) - before:
                    openai.approve(code, openai.accounts[shard])
                time.sleep(0.05)
        with attach(settings.load(victim.served.environment).settings) as resources:
            resume_shard(resources, shard)
        process.kill()
        process.wait()
        victim.login_arm_file.unlink(missing_ok=True)

    def _wait_for_progress(self) -> None:
        """Until no run is so often interrupted that the next kill would make the appliance give up on it, rightly."""
        limit = time.monotonic() + _PROGRESS_SECONDS
        while time.monotonic() < limit and not self._victim.has_ended():
            (row,) = self._victim.rows(
                "SELECT max(interruptions) AS most FROM runs WHERE status IN ('queued', 'in_progress')"
            )
            self._report.most_interruptions = max(self._report.most_interruptions, row["most"] or 0)
            if (row["most"] or 0) < _MOST_INTERRUPTIONS:
                return
            time.sleep(0.1)

    def _finish(self) -> None:
        """Let every run end, then the containers of killed sign-ins and checks, which end by themselves.

        A last start and stop without a kill removes what has ended.
        """
        victim, environment = self._victim, self._environment
        self._callers.submitting = False
        victim.spawn()
        self._must_be_ready()
        _wait(_END_SECONDS, self._runs_have_ended)
        _wait(_LEFT_SECONDS, lambda: not any(each.running for each in containers_of(environment.engine, environment)))
        victim.stop()
        victim.spawn()
        self._must_be_ready()
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        due = "SELECT count(*) AS n FROM artifacts WHERE expires_at <= ?"
        _wait(_LEFT_SECONDS, lambda: victim.rows(due, now)[0]["n"] == 0)
        _wait(_LEFT_SECONDS, self._nothing_is_left)
        victim.stop()

    def _runs_have_ended(self) -> bool:
        """Whether no run is open, and no caller waits for an answer."""
        open_runs = "SELECT count(*) AS n FROM runs WHERE status IN ('queued', 'in_progress')"
        return not self._callers.busy and self._victim.rows(open_runs)[0]["n"] == 0

    def _nothing_is_left(self) -> bool:
        """Whether retention has ended and no container exists."""
        rows = self._victim.rows("SELECT DISTINCT run_id FROM events WHERE kind = 'artifacts.removed'")
        removed = {row["run_id"] for row in rows}
        files, _ = files_of(self._victim.data_dir)
        kept = {row["run_id"] for row in self._victim.rows("SELECT run_id FROM runs")} - removed
        with_files = {path.split("/")[1] for path in files}
        return not (with_files & removed) and not left_in_docker(self._environment, kept, self._shards)

    def _must_be_ready(self) -> None:
        if not self._victim.wait_until_ready():
            raise RuntimeError(f"The appliance did not start after the last kill: {self._victim.last_lines()}")

    def _check(self) -> None:
        report, victim, callers = self._report, self._victim, self._callers
        facts = collect(
            self._environment,
            dict(callers.accepted),
            repositories=REPOSITORIES,
            secrets=known_secrets(self._environment, {"the API token": victim.served.token}),
            searched=[victim.log],
            shards=self._shards,
        )
        report.submitted = len(callers.accepted)
        for run in facts.runs:
            report.statuses[run.status] = report.statuses.get(run.status, 0) + 1
        report.pull_requests = len(facts.pulls)
        report.should_have_pull_requests = sum(
            1 for run in facts.runs if run.status == "succeeded" and run.run_id not in callers.dry_runs
        )
        claims = [
            (row["run_id"], datetime.fromisoformat(row["at"]).astimezone(UTC).timestamp())
            for row in victim.rows("SELECT run_id, at FROM events WHERE kind = 'run.claimed' ORDER BY event_id")
        ]
        report.interrupted = sum(len(life.executed) for life in victim.lives)
        report.runs_again = claimed_after(victim.lives, claims)
        report.api_answers = [life.ready - life.started for life in victim.lives if life.ready is not None]
        report.reached = sorted(self._reached)
        report.missed = sorted(self._tried - self._reached)
        report.checked = {
            "runs": len(facts.runs),
            "artifact rows": len(facts.artifacts),
            "events": len(facts.events),
            "removed by retention": len(facts.removed),
        }
        report.violations = [
            *violations(facts),
            *callers.violations,
            *(Violation("only the harness ends the process", "serve", what) for what in victim.ended_by_itself),
        ]


def _wait(seconds: float, until: Callable[[], bool]) -> None:
    limit = time.monotonic() + seconds
    while not until() and time.monotonic() < limit:
        time.sleep(0.1)


def harness(
    folder: Path,
    *,
    seed: int,
    count: int,
    shards: int,
    think: float,
    retention: str,
    say: Callable[[str], None] = lambda _line: None,
    on_start: Callable[[threading.Event], None] = lambda _stopped: None,
) -> Report:
    """Run a schedule in an environment of its own, which is removed at the end; the log stays in `folder`.

    `on_start` gets an event that ends the kills early.
    """
    overrides = {"ARTIFACT_RETENTION": retention}
    base = settings.load({}).settings
    with RehearsalEnvironment(base, overrides=overrides, think_seconds=think, shards=shards) as environment:
        made = Harness(environment, folder, seed=seed, count=count, shards=shards, say=say)
        on_start(made.stopped)
        return made.run()


def json_of(report: Report) -> str:
    """The report as JSON."""
    return json.dumps({**report.__dict__, "violations": [v._asdict() for v in report.violations]}, indent=1)
