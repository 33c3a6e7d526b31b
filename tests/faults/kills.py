"""Kills a real appliance again and again while it works, and checks at the end that nothing was lost or left.

Start it with `tests/faults/run`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from moonmind_appliance import settings
from moonmind_appliance.attach import attach
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from moonmind_appliance.runs.pause import pause_shard, resume_shard
from tests.faults.figures import claimed_after
from tests.faults.harness import Harness
from tests.faults.options import Options
from tests.faults.points import ARM_FILE_VARIABLE, POINTS
from tests.faults.report import Report, times
from tests.faults.schedule import How, Kill, kills, points_of
from tests.wide_limits import WIDE_LIMITS

MAIN = "import tests.faults.killable"

# The appliance gives up on a run after five interruptions without progress. The harness waits before it comes to that.
_MOST_INTERRUPTIONS = 4
_PROGRESS_SECONDS = 90.0
_POINT_SECONDS = 60.0
# Retention comes after the checks of all logins.
_STARTUP_SECONDS = 20.0
_SIGN_IN_SECONDS = 90.0


@dataclass
class KillReport(Report):
    """What happened. Times are in seconds."""

    kills: dict[str, int] = field(default_factory=dict)
    most_interruptions: int = 0
    interrupted: int = 0
    api_answers: list[float] = field(default_factory=list)
    runs_again: list[float] = field(default_factory=list)

    def rows(self) -> list[tuple[str, str]]:
        """The kills and the times to recover, too."""
        hows = ", ".join(f"{n} {how}" for how, n in sorted(self.kills.items()))
        return [
            ("kills", f"{sum(self.kills.values())}: {hows}"),
            *super().rows(),
            ("executions cut off", f"{self.interrupted}; at most {self.most_interruptions} in a row without progress"),
            ("start until the API answers", times(self.api_answers)),
            ("start until a cut off run runs again", times(self.runs_again)),
        ]


class Kills(Harness[KillReport]):
    """A schedule of kills."""

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
        report = KillReport(seed=seed, shards=shards, points=len(POINTS))
        super().__init__(environment, folder, report, MAIN, say)
        self._schedule = kills(seed, count)

    def _faults(self) -> None:
        for number, kill in enumerate(self._schedule, 1):
            if not self.stopped.is_set():
                self._one(kill, f"{number}/{len(self._schedule)}")
        for again in range(2):
            for point in sorted(points_of(self._schedule) - self._reached):
                if not self.stopped.is_set():
                    self._one(Kill(How.POINT, point=point), f"missed point, attempt {again + 2}")

    def _one(self, kill: Kill, number: str) -> None:
        """One kill. Before and after it the process does not run."""
        victim, how = self._victim, kill.how.value
        is_startup = kill.how is How.POINT and POINTS[kill.point].startup
        if (is_startup or kill.how is How.START) and self._most_interruptions() >= _MOST_INTERRUPTIONS:
            # A process that dies during its start lets no run progress.
            self._one(Kill(How.INSTANT), f"before {number}")
        if is_startup:
            victim.arm(kill.point, kill.number, victim.arm_file)
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
                victim.arm(kill.point, kill.number, victim.arm_file)
                victim.wait_for_end(_POINT_SECONDS)
            else:
                victim.wait_for_end(kill.seconds)
        self._note(kill.point, victim.login_arm_file if kill.is_of_login else victim.arm_file)
        victim.kill()
        self._report.kills[how] = self._report.kills.get(how, 0) + 1
        self._say(f"{number}: {kill.point or f'{how}, {kill.seconds} s'}; it executed {len(victim.lives[-1].executed)}")

    def _sign_in(self, kill: Kill) -> None:
        """Start a sign-in of a shard that has a login, and let it kill itself."""
        victim, openai = self._victim, self._environment.openai
        shard = kill.number % self._shards
        victim.arm(kill.point, kill.number, victim.login_arm_file)
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
            if self._most_interruptions() < _MOST_INTERRUPTIONS:
                return
            time.sleep(0.1)

    def _most_interruptions(self) -> int:
        """How often a run that has not ended was interrupted in a row without progress, at most."""
        (row,) = self._victim.rows(
            "SELECT max(interruptions) AS most FROM runs WHERE status IN ('queued', 'in_progress')"
        )
        most = int(row["most"] or 0)
        self._report.most_interruptions = max(self._report.most_interruptions, most)
        return most

    def _measure(self) -> None:
        report, lives = self._report, self._victim.lives
        report.interrupted = sum(len(life.executed) for life in lives)
        report.runs_again = claimed_after(lives, self._times_of("run.claimed"))
        report.api_answers = [life.ready - life.started for life in lives if life.ready is not None]


def harness(options: Options) -> KillReport:
    """Run a schedule in an environment of its own, which is removed at the end."""
    overrides = WIDE_LIMITS | {"ARTIFACT_RETENTION": options.retention}
    base = settings.load({}).settings
    with RehearsalEnvironment(
        base,
        overrides=overrides,
        think_seconds=options.think,
        shards=options.shards,
        login_broker=options.login_broker,
    ) as environment:
        made = Kills(
            environment,
            options.folder,
            seed=options.seed,
            count=options.count,
            shards=options.shards,
            say=options.say,
        )
        options.on_start(made.stopped)
        return made.run()
