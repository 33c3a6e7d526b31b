"""Memory of `serve` when it is idle: after its start, and after 100,000 requests and 1,000 runs.

Usage: python tests/bench/endurance.py [--requests 100000] [--runs 1000] [--rounds 10] [--idle 30] [--json]

Real engine, three shards without a login, so that no worker takes a run. Each round sends its share of the requests
over some connections that stay open: of 100 requests 70 read a run, 15 a list of 50, 5 the shards, 4 the metrics and
`/health`, and 3 submit a run that another 3 cancel. Then it stores its share of the runs, with all rows and events
that a real run leaves (`tests/typical_runs.py`). These runs go through the store, from this process, without
containers and files: their cost in `serve` is that of reading them.

Prints the resident memory, threads and open files after the start, after each round, and after the last one when
nothing happened for `--idle` seconds, with the ratio to the first; and the highest memory of each round.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from moonmind_appliance import settings
from moonmind_appliance.models import LoginState
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from tests.bench.measure import SUBMISSION, Connection, forget_highest, head_of, highest_mib, quiet
from tests.faults.process import usage_of
from tests.journeys.conftest import API
from tests.journeys.served import Served
from tests.journeys.side_by_side import resources_of
from tests.typical_runs import store_runs
from tests.wide_limits import WIDE_LIMITS

SHARDS = 3
LOGIN_SECONDS = 60
# Of each kind in 100 requests. A submission counts as two, with the cancel that follows.
SHARES = {"status": 70, "list": 15, "shards": 5, "metrics": 2, "health": 2, "submit": 3}
IN_A_HUNDRED = 100
MOST_READ = 2000
"""Runs whose status is read: the newest."""


class Caller:
    """Sends the mixed requests of one round."""

    def __init__(self, served, connections):
        self._served, self._connections = served, connections
        self.run_ids = []

    async def send(self, hundreds, seed):
        """So many times a hundred requests, on all connections together."""
        left = iter(range(hundreds))

        async def client(number):
            dice = random.Random(f"{seed} {number}")  # noqa: S311 - which request comes next
            async with Connection(self._served.port) as connection:
                for _ in left:
                    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
                    dice.shuffle(kinds)
                    for kind in kinds:
                        await self._one(connection, kind, dice)

        await asyncio.gather(*(client(number) for number in range(self._connections)))

    async def _one(self, connection, kind, dice):
        if kind == "submit" or (kind == "status" and not self.run_ids):
            answer = await self._ask(connection, "POST", "/runs", SUBMISSION)
            run_id = json.loads(answer)["run_id"]
            await self._ask(connection, "POST", f"/runs/{run_id}/cancel")
            self.run_ids.append(run_id)
        elif kind == "status":
            await self._ask(connection, "GET", f"/runs/{dice.choice(self.run_ids[-MOST_READ:])}")
        else:
            path = "/runs?limit=50" if kind == "list" else f"/{kind}"
            await self._ask(connection, "GET", path)

    async def _ask(self, connection, method, path, body=b""):
        return await connection.ask(head_of(method, f"{API}{path}", self._served.token, body))


def wait_for_logins(resources):
    """Wait until the appliance has seen that no shard has a login: before that, a shard may claim a run."""
    limit = time.monotonic() + LOGIN_SECONDS
    while any(resources.store.shards.get(shard).login is not LoginState.ABSENT for shard in range(SHARDS)):
        if time.monotonic() > limit:
            sys.exit("The shards' logins were not looked at.")
        time.sleep(0.2)


def measure(served, options):
    """The figures after the start, after each round, and at the end; and the seconds of the rounds."""
    pid = served.process.pid
    caller = Caller(served, options.connections)
    with resources_of(served) as resources:
        wait_for_logins(resources)
        yield "after the start", figures(pid, asyncio.run(quiet(pid, options.idle)).processor_ms)
        for number in range(options.rounds):
            forget_highest(pid)
            began = time.monotonic()
            asyncio.run(caller.send(share_of(options.requests // IN_A_HUNDRED, options.rounds, number), number))
            requests_took = time.monotonic() - began
            caller.run_ids += store_runs(resources.store, share_of(options.runs, options.rounds, number))
            yield (
                f"after round {number + 1}",
                figures(pid) | {"highest_mib": highest_mib(pid), "requests_s": requests_took},
            )
        yield "idle again", figures(pid, asyncio.run(quiet(pid, options.idle)).processor_ms)


def share_of(total, rounds, number):
    """What the round has of the total, so that all rounds together have all of it."""
    return total * (number + 1) // rounds - total * number // rounds


def figures(pid, processor_ms=None):
    """What the process has now."""
    return usage_of(pid)._asdict() | ({} if processor_ms is None else {"processor_ms_per_s": processor_ms})


def show(name, found, first):
    """One line."""
    more = {"highest_mib": "highest {:.1f} MiB", "requests_s": "requests {:.0f} s"}
    more["processor_ms_per_s"] = "processor {:.2f} ms/s"
    text = "".join("   " + form.format(found[key]) for key, form in more.items() if key in found)
    print(
        f"{name:18} {found['rss_mib']:7.1f} MiB   ratio {found['rss_mib'] / first['rss_mib']:.3f}   "
        f"{found['threads']:3} threads   {found['open_files']:3} open files{text}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000, help="in hundreds (100,000)")
    parser.add_argument("--runs", type=int, default=1000, help="stored and ended (1,000)")
    parser.add_argument("--rounds", type=int, default=10, help="in which both are divided (10)")
    parser.add_argument("--connections", type=int, default=8, help="that send the requests (8)")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of idling, before and after (30)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    found = {}
    with (
        RehearsalEnvironment(settings.load({}).settings, shards=SHARDS, overrides=WIDE_LIMITS) as environment,
        tempfile.TemporaryDirectory() as folder,
    ):
        served = Served(environment, Path(folder) / "serve.log").start()
        try:
            for name, of_moment in measure(served, options):
                found[name] = of_moment
                if not options.json:
                    show(name, of_moment, found["after the start"])
        finally:
            served.close()
    if options.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
