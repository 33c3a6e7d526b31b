"""What a phase costs `serve` that prints 10 MB/s for a minute: processor time, memory, and the other requests.

Usage: python tests/bench/loud_phase.py [--rate 10] [--seconds 60] [--json]

A run of the real Codex CLI. In its first phase a process in the agent container writes lines in the format of Codex's
events to the turn's standard output (`loud` in `tests/journeys/attack.py`), with the turn's program stopped, so that
the phase lasts as long. `/health`, the status of an ended run and the list of runs are requested every 50 ms, by a
client each. Each figure is beside the same before the run, when the appliance had only these requests for as long.
Twice, each in a new process:

- `stored`: MAX_LOG_BYTES and MAX_RUN_LOG_BYTES are above what is printed, so that all of it is stored;
- `cut`: with the defaults, of which the log has 64 MiB, and the rest is read and discarded.

The processor time for each MB is that of the loud phase without that of the same time idle. MB are 10^6 bytes.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from moonmind_appliance.rehearsal.openai import ResponseKind, ScriptedResponse
from tests.bench.measure import forget_highest, highest_mib, processor_seconds, times
from tests.faults.process import usage_of
from tests.journeys.conftest import API, Caller, git
from tests.journeys.served import Served
from tests.journeys.side_by_side import HONEST_TEXT, ApiPoller, shell_script

MB = 10**6
SLUG = "bench/loud-phase"
EVERY = 0.05
SETTLE = 10.0
LIST = "/runs?limit=50"
LOG = "speckit_specify.stdout.jsonl"


class Sample(NamedTuple):
    """The wall clock, the processor seconds used so far, and the resident MiB."""

    at: float
    processor: float
    mib: float


class Samples(threading.Thread):
    """Looks at a process ten times a second, until the end of the block."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.taken = []

    def run(self):
        while not self._over.wait(0.1):
            self.taken.append(Sample(time.time(), processor_seconds(self._pid), usage_of(self._pid).rss_mib))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self.join()

    def processor_per_second(self, since, until):
        """Seconds of processor time for each second."""
        taken = [sample for sample in self.taken if since <= sample.at <= until]
        return (taken[-1].processor - taken[0].processor) / (taken[-1].at - taken[0].at)


def figures(asking, samples, status_path, since, until):
    """What the process used and how long its answers took in that time."""
    return {
        "processor_s_per_s": samples.processor_per_second(since, until),
        "requests_ms": {
            name: times(asking.seconds(path, since, until))._asdict()
            for name, path in {"/health": "/health", "status": status_path, "list": LIST}.items()
        },
    }


def measure(environment, served, options):
    """Idle for as long as the phase, then the run; all figures."""
    pid = served.process.pid
    with served.client() as client:
        caller = Caller(client)
        # The first run of a process is slower than the next ones, and its status is read while idle.
        first = caller.submit(SLUG, HONEST_TEXT)
        assert caller.wait(first)["status"] == "succeeded"
        time.sleep(SETTLE)
        status_path = f"/runs/{first}"
        polls = [((path,), EVERY) for path in ("/health", status_path, LIST)]
        with Samples(pid) as samples, ApiPoller(served, polls) as asking:
            time.sleep(1)
            before, idle_since = usage_of(pid).rss_mib, time.time()
            time.sleep(options.seconds)
            idle_until = time.time()
            forget_highest(pid)
            environment.openai.respond_with(ScriptedResponse(ResponseKind.HOSTILE, script=script(options)))
            run = caller.wait(caller.submit(SLUG, HONEST_TEXT), seconds=options.seconds * 5 + 300)
            environment.openai.respond_with(ScriptedResponse())
            highest = highest_mib(pid)
        time.sleep(SETTLE)
        after = usage_of(pid).rss_mib
        health = client.get(f"{API}/health").status_code
    # The lines that the attack adds can damage Codex's last one; then the turn counts as failed.
    if run["status"] != "succeeded":
        sys.exit(f"The run ended {run['status']}: {run['result_summary']}")
    loud = printed_of(environment, run)
    stored = next(entry["size_bytes"] for entry in run["artifacts"] if entry["name"] == LOG)
    idle = figures(asking, samples, status_path, idle_since, idle_until)
    during = figures(asking, samples, status_path, loud["began"], loud["ended"])
    seconds = loud["ended"] - loud["began"]
    extra = (during["processor_s_per_s"] - idle["processor_s_per_s"]) * seconds
    return {
        "run": run["status"],
        "printed_mb": loud["printed"] / MB,
        "seconds": seconds,
        "stored_mb": stored / MB,
        "processor_ms_per_mb": extra * 1000 / (loud["printed"] / MB),
        "memory_mib": {"before": before, "highest": highest, "after": after},
        "idle": idle,
        "loud": during,
        "not_200": len(asking.refused()) + (health != 200),
    }


def script(options):
    """The command of the hostile model."""
    variables = f"LOUD_BYTES={round(options.rate * MB)} LOUD_SECONDS={options.seconds}"
    return f"export {variables}\n{shell_script(('loud',))}"


def printed_of(environment, run):
    """What the agent measured, from the run's commit."""
    folder = environment.github.git_folder(SLUG)
    (path,) = (
        name
        for name in git(folder, "ls-tree", "-r", "--name-only", run["branch_name"]).split()
        if name.endswith("/loud.json")
    )
    return json.loads(git(folder, "show", f"{run['branch_name']}:{path}"))


def both(options):
    """The figures of both kinds."""
    room = str(round(options.rate * MB * options.seconds * 1.5) + 64 * 1024**2)
    kinds = {"stored": {"MAX_LOG_BYTES": room, "MAX_RUN_LOG_BYTES": room}, "cut": {}}
    found = {}
    with (
        RehearsalEnvironment(settings.load({}).settings, shards=1) as environment,
        tempfile.TemporaryDirectory() as folder,
    ):
        environment.github.add_repository(SLUG)
        for kind, extra in kinds.items():
            served = Served(environment, Path(folder) / f"{kind}.log", extra=extra)
            if not found:
                environment.sign_in_by(served.environment)
            served.start()
            try:
                found[kind] = measure(environment, served, options)
            finally:
                served.close()
    return found


def show(kind, found):
    """A table."""
    memory = found["memory_mib"]
    print(
        f"{kind}: printed {found['printed_mb']:.0f} MB in {found['seconds']:.1f} s "
        f"({found['printed_mb'] / found['seconds']:.1f} MB/s), stored {found['stored_mb']:.1f} MB; "
        f"the run {found['run']}; answers other than 200: {found['not_200']}"
    )
    print(f"  {'':24} {'idle':>9} {'loud':>9} {'ratio':>7}")
    idle, loud = found["idle"], found["loud"]
    line("processor, ms/s", idle["processor_s_per_s"] * 1000, loud["processor_s_per_s"] * 1000)
    print(f"  {'processor, ms/MB':24} {'':9} {found['processor_ms_per_mb']:9.2f}")
    line("memory, MiB, highest", memory["before"], memory["highest"])
    line(f"memory, MiB, {SETTLE:.0f} s after", memory["before"], memory["after"])
    for name in idle["requests_ms"]:
        for share in ("p50", "p99", "worst"):
            line(f"{name}, ms, {share}", idle["requests_ms"][name][share], loud["requests_ms"][name][share])


def line(name, before, during):
    print(f"  {name:24} {before:9.2f} {during:9.2f} {during / before:7.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=10.0, metavar="MB/S", help="what the phase prints (10)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (60)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = both(options)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for kind, of_kind in found.items():
        show(kind, of_kind)


if __name__ == "__main__":
    main()
