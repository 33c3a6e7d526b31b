"""What more shards bring, and what they cost the appliance itself.

Usage: python tests/bench/shards.py [throughput] [costs] [--runs 9] [--rounds 1] [--think 1.5] [--shards 1 3 20] …

- `throughput`: as many complete runs on one shard, one after the other, and on three shards at once, in alternating
  rounds. Real engine, Codex and git, stand-ins for OpenAI and GitHub. Once without think time, when the machine's
  processors are the limit, and once with `--think` seconds before each of the stand-in model's answers, of which a run
  has about ten. Prints runs a minute (from the first POST to the last run's end), how busy all processors of the
  machine were, and the processor time of `serve` for each run. On a machine with few processors the containers of
  three shards compete for them.
- `costs`: the appliance with 1, 3 and 20 shards, each signed in and paused, without any run: time of the start until
  `/health` answers (median), memory, threads, open files and processor time after that; answers to one client on one
  connection; then what SQLite does for one operation with 200 queued runs (as `statements.py`). The last column is
  the ratio of the most shards to the fewest.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from moonmind_appliance import settings
from moonmind_appliance.models import FINAL_RUN_STATUSES
from moonmind_appliance.rehearsal.environment import SLUG, RehearsalEnvironment
from moonmind_appliance.store import Store
from tests.appliance_under_test import make_resources
from tests.bench import statements
from tests.bench.measure import (
    SUBMISSION,
    ask_json,
    head_of,
    load,
    machine_busy_seconds,
    pause,
    processor_seconds,
    quiet,
    times,
    wait_for_answer,
)
from tests.journeys.conftest import API, Caller
from tests.journeys.served import Served
from tests.journeys.side_by_side import HONEST_TEXT, resources_of
from tests.wide_limits import WIDE_LIMITS

WHAT = ("throughput", "costs")
AT_ONCE = 3
QUEUED = 200
SETTLE = 5.0
LONGEST_RUN = 300.0


def throughput(options, think):
    """For each number of shards, the figures of its rounds; and the seconds of think time of a run."""
    found = {1: [], AT_ONCE: []}
    with (
        RehearsalEnvironment(
            settings.load({}).settings, shards=AT_ONCE, think_seconds=think, overrides=WIDE_LIMITS
        ) as environment,
        tempfile.TemporaryDirectory() as folder,
    ):
        environment.github.add_repository(SLUG)
        served = Served(environment, Path(folder) / "serve.log")
        for shard in range(AT_ONCE):
            environment.sign_in_by(served.environment, shard)
        served.start()
        try:
            with served.client() as client:
                caller = Caller(client)
                # The first run of a process is slower than the next ones.
                runs_on(caller, served, shards=AT_ONCE, count=AT_ONCE)
                for _ in range(options.rounds):
                    for shards, rounds in found.items():
                        rounds.append(runs_on(caller, served, shards=shards, count=options.runs))
        finally:
            served.close()
        answers = sum(turn.requests for turn in environment.openai.turns)
    runs = AT_ONCE + 2 * options.rounds * options.runs
    return {
        "think_seconds_of_a_run": think * answers / runs,
        "shards": {
            shards: {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}
            for shards, rounds in found.items()
        },
    }


def runs_on(caller, served, *, shards, count):
    """Submit that many runs, evenly to the first shards, and wait for all."""
    pid = served.process.pid
    busy, processor, began = machine_busy_seconds(), processor_seconds(pid), time.time()
    ids = [caller.submit(SLUG, HONEST_TEXT, shard=number % shards) for number in range(count)]
    runs = [finished(caller, run_id, count) for run_id in ids]
    ended = max(datetime.fromisoformat(run["completed_at"]).timestamp() for run in runs)
    watched = time.time() - began
    if failed := next((run for run in runs if run["status"] != "succeeded"), None):
        sys.exit(f"A run ended {failed['status']}: {failed['result_summary']}")
    return {
        "runs_per_minute": count * 60 / (ended - began),
        "machine_busy": (machine_busy_seconds() - busy) / watched / (os.cpu_count() or 1),
        "serve_processor_s_per_run": (processor_seconds(pid) - processor) / count,
    }


def finished(caller, run_id, count):
    """The ended run. Asked seldom: each question costs the appliance time."""
    limit = time.monotonic() + LONGEST_RUN * count
    while (run := caller.show(run_id))["status"] not in FINAL_RUN_STATUSES:
        if time.monotonic() > limit:
            sys.exit(f"The run {run_id} did not end.")
        time.sleep(0.25)
    return run


def costs(options):
    """For each number of shards, the figures by name."""
    return {shards: {**costs_of(shards, options), **statements_of(shards)} for shards in options.shards}


def costs_of(shards, options):
    """The figures of a served appliance without runs."""
    with (
        RehearsalEnvironment(settings.load({}).settings, shards=shards, overrides=WIDE_LIMITS) as environment,
        tempfile.TemporaryDirectory() as folder,
    ):
        served = Served(environment, Path(folder) / "serve.log")
        for shard in range(shards):
            environment.sign_in_by(served.environment, shard)
        with resources_of(served) as resources:
            pause(resources.store, shards)
        starts = []
        for _ in range(options.starts):
            starts.append(start(served))
            served.terminate()
        start(served)
        try:
            return {
                "start until /health, s": statistics.median(starts),
                **asyncio.run(figures_of(served, options)),
            }
        finally:
            served.close()


def start(served):
    """Start the process; the seconds until it answered."""
    served.process = served.run("serve")
    return wait_for_answer(served.process, served.port, f"{API}/health")


async def figures_of(served, options):
    """Memory and processor time while nothing happens, then the answers."""
    await asyncio.sleep(SETTLE)
    found = await quiet(served.process.pid, options.seconds)
    figures = {
        "memory, MiB": found.usage.rss_mib,
        "threads": found.usage.threads,
        "open files": found.usage.open_files,
        "processor while idle, ms/s": found.processor_ms,
    }
    submit = head_of("POST", f"{API}/runs", served.token, SUBMISSION)
    run_id = (await ask_json(served.port, submit))["run_id"]
    requests = {
        "/shards": head_of("GET", f"{API}/shards", served.token),
        "/metrics": head_of("GET", f"{API}/metrics", served.token),
        "status read": head_of("GET", f"{API}/runs/{run_id}", served.token),
        "submission": submit,
    }
    for name, request in requests.items():
        took = times(await load(served.port, [request], each=options.requests))
        figures |= {f"{name}, ms, p50": took.p50, f"{name}, ms, p99": took.p99}
    return figures


def statements_of(shards):
    """The statements of each operation with many queued runs."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder))
        resources = make_resources(store, Path(folder), {"codex_shards": shards})
        measured = statements.measure(resources, statements.fill(store, QUEUED))
        found = {f"statements: {name}": cost.statements for name, cost in measured}
        store.close()
    return found


def show_throughput(found):
    """A table."""
    print(f"throughput with {found['think_seconds_of_a_run']:.1f} s of think time in each run")
    print(f"  {'shards':>6} {'runs/min':>9} {'ratio':>6} {'machine busy':>13} {'serve, s/run':>13}")
    one = found["shards"][1]
    for shards, figures in found["shards"].items():
        ratio = figures["runs_per_minute"] / one["runs_per_minute"]
        print(
            f"  {shards:6} {figures['runs_per_minute']:9.2f} {ratio:6.2f} {figures['machine_busy']:13.0%} "
            f"{figures['serve_processor_s_per_run']:13.2f}",
            flush=True,
        )


def show_costs(found):
    """A table."""
    fewest, most = min(found), max(found)
    print(f"{'costs without a run':40}" + "".join(f"{f'{shards} shards':>12}" for shards in found) + f"{'ratio':>8}")
    for name in found[fewest]:
        values = [found[shards][name] for shards in found]
        ratio = found[most][name] / found[fewest][name] if found[fewest][name] else float("nan")
        print(f"  {name:38}" + "".join(f"{value:12.2f}" for value in values) + f"{ratio:8.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(WHAT)} (both)")
    parser.add_argument("--runs", type=int, default=9, help="of each round of throughput (9)")
    parser.add_argument("--rounds", type=int, default=1, help="of throughput (1)")
    parser.add_argument("--think", type=float, default=1.5, help="seconds before each answer of the model (1.5)")
    parser.add_argument("--shards", nargs="+", type=int, default=[1, 3, 20], help="of costs (1 3 20)")
    parser.add_argument("--starts", type=int, default=5, help="of costs, for each number of shards (5)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of idling, in costs (30)")
    parser.add_argument("--requests", type=int, default=500, help="of each kind, in costs (500)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if unknown := sorted(set(options.what) - set(WHAT)):
        parser.error(f"unknown: {', '.join(unknown)}")
    wanted = options.what or WHAT
    found = {}
    if "throughput" in wanted:
        found["throughput"] = []
        for think in (0.0, options.think):
            found["throughput"].append(throughput(options, think))
            if not options.json:
                show_throughput(found["throughput"][-1])
    if "costs" in wanted:
        found["costs"] = costs(options)
        if not options.json:
            show_costs(found["costs"])
    if options.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
