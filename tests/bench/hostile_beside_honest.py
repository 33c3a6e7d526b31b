"""What a hostile agent's run costs an honest run that works at the same time on another shard.

Usage: python tests/bench/hostile_beside_honest.py [--rounds 3] [--json]

Rounds alternate: the honest run alone, then beside a run whose agent carries out the attacks of
`tests/journeys/attack.py`. Both shards are signed in anew before each. The honest run's time is from its POST to the
moment it is final over HTTP. `/health` is asked every 50 ms all the while. Prints the medians of the honest run's time
and their ratio, how long `/health` took, and the state of the attacked shard after each round.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from moonmind_appliance import settings
from moonmind_appliance.rehearsal.environment import RehearsalEnvironment
from tests.journeys.conftest import API
from tests.journeys.served import Served
from tests.journeys.side_by_side import OVERRIDES, percentile, run_both

ATTACKS = (
    "rollout",
    "stream",
    "configuration",
    "forged_limit",
    "blank_documents",
    "many_questions",
    "disk",
    "swapped_login",
)


def shard_after(served):
    """The attacked shard's login, and why it takes no runs."""
    with served.client() as client:
        shard = client.get(f"{API}/shards").raise_for_status().json()["items"][0]
        return {"login": shard["login"], "why": shard["login_reason"], "rests_until": shard["rests_until"]}


def measure(rounds):
    """Of each round: the outcome without attacks, with them, and the attacked shard's state."""
    with (
        RehearsalEnvironment(settings.load({}).settings, shards=2, overrides=OVERRIDES) as environment,
        tempfile.TemporaryDirectory() as folder,
    ):
        served = Served(environment, Path(folder) / "serve.log").start()
        try:
            # The first run of a process is slower than the next ones.
            run_both(environment, served, ())
            found = []
            for _ in range(rounds):
                alone = run_both(environment, served, ())
                beside = run_both(environment, served, ATTACKS)
                found.append((alone, beside, shard_after(served)))
                for outcome in (alone, beside):
                    if outcome.honest["status"] != "succeeded":
                        sys.exit(f"The honest run ended {outcome.honest['status']}: {outcome.honest['result_summary']}")
            return found
        finally:
            served.close()


def health(outcomes):
    """Milliseconds that `/health` took in all the outcomes together, and how many answers there were."""
    seconds = sorted(value for outcome in outcomes for value in outcome.asking.seconds())
    refused = sum(len(outcome.asking.refused()) for outcome in outcomes)
    shown = {"p50": percentile(seconds, 50), "p99": percentile(seconds, 99), "worst": seconds[-1]}
    return {
        **{name: round(value * 1000, 1) for name, value in shown.items()},
        "asked": len(seconds),
        "not_200": refused,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.rounds)
    alone, beside = [entry[0] for entry in found], [entry[1] for entry in found]
    medians = [statistics.median(outcome.honest_seconds for outcome in outcomes) for outcomes in (alone, beside)]
    result = {
        "rounds": options.rounds,
        "honest_seconds": {"alone": medians[0], "beside": medians[1], "ratio": medians[1] / medians[0]},
        "health_ms": {"alone": health(alone), "beside": health(beside)},
        "hostile_ends": [
            (outcome.hostile["status"], outcome.hostile["failure"] and outcome.hostile["failure"]["code"])
            for outcome in beside
        ],
        "shard_after": [entry[2] for entry in found],
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"honest run alone  {medians[0]:6.2f} s  (medians of {options.rounds} alternating rounds)")
    print(f"honest run beside {medians[1]:6.2f} s  ratio {medians[1] / medians[0]:.2f}")
    print(f"{'/health, ms':18} {'p50':>8} {'p99':>8} {'worst':>8} {'asked':>6} {'not 200':>8}")
    for name, row in result["health_ms"].items():
        columns = f"{row['p50']:8.1f} {row['p99']:8.1f} {row['worst']:8.1f} {row['asked']:6} {row['not_200']:8}"
        print(f"{name:18} {columns}")
    for (status, code), shard in zip(result["hostile_ends"], result["shard_after"], strict=True):
        print(f"hostile run {status} ({code}); its shard: {shard['login']}, {shard['why'] or 'usable'}")


if __name__ == "__main__":
    main()
