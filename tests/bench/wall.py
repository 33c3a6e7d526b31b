"""What the wall and the login broker cost: runs without the wall, with it, and with the broker, in alternating rounds.

The model answers at once. Prints the medians in seconds, and the ratios to the runs without the wall: from the claim to
the end of the containers' start, to the first turn, the three turns, and the whole run.
`.venv/bin/python tests/bench/wall.py --rounds 10`
"""

import argparse
import statistics
import time
from datetime import datetime
from typing import Any

import httpx

from moonmind_appliance import settings
from moonmind_appliance.api_address import BASE_PATH
from moonmind_appliance.models import FINAL_RUN_STATUSES
from moonmind_appliance.rehearsal.environment import SLUG, RehearsalEnvironment, RunningAppliance
from moonmind_appliance.rehearsal.prepare import SAMPLE_SPEC

TURNS = ("speckit_specify", "speckit_plan", "speckit_tasks")
COLUMNS = ("start", "first turn", "turns", "run")


def seconds(begin: str, end: str) -> float:
    """The seconds between two times of the API."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


class Side:
    """An appliance in its own environment, with or without the wall and the broker."""

    def __init__(self, environment: RehearsalEnvironment, running: RunningAppliance, number: int) -> None:
        environment.github.add_repository(SLUG)
        environment.sign_in(running)
        token = running.appliance.resources.store.tokens.create(f"bench-{number}", operator=True, expires_at=None)
        headers = {"Authorization": f"Bearer {token}"}
        self.client = httpx.Client(base_url=running.url, headers=headers, timeout=30, trust_env=False)

    def run(self, text: str) -> dict[str, float]:
        """The seconds of each column for one run."""
        body = {"repository": SLUG, "specify_text": text}
        run_id = self.client.post(f"{BASE_PATH}/runs", json=body).raise_for_status().json()["run_id"]
        while True:
            run: dict[str, Any] = self.client.get(f"{BASE_PATH}/runs/{run_id}").raise_for_status().json()
            if run["status"] in FINAL_RUN_STATUSES:
                break
            time.sleep(0.05)
        if run["status"] != "succeeded":
            raise RuntimeError(f"The run ended as {run['status']}: {run['failure']}")
        phases = {phase["phase"]: phase for phase in run["phases"]}
        claimed = phases["prepare_job"]["started_at"]
        return {
            "start": seconds(claimed, phases["start_job_container"]["completed_at"]),
            "first turn": seconds(claimed, phases["speckit_specify"]["started_at"]),
            "turns": sum(seconds(phases[name]["started_at"], phases[name]["completed_at"]) for name in TURNS),
            "run": seconds(claimed, run["completed_at"]),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="runs of each kind (default: 10)")
    rounds = parser.parse_args().rounds
    base = settings.load({}).settings
    with (
        RehearsalEnvironment(base) as with_wall,
        RehearsalEnvironment(base, overrides={"AGENT_WALL": "false"}) as without,
        RehearsalEnvironment(base, login_broker=True) as with_broker,
        RunningAppliance(with_wall.settings) as walled,
        RunningAppliance(without.settings) as open_to_all,
        RunningAppliance(with_broker.settings) as brokered,
    ):
        sides = {
            "no wall": Side(without, open_to_all, 1),
            "wall": Side(with_wall, walled, 0),
            "broker": Side(with_broker, brokered, 2),
        }
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        for number in range(-1, rounds):
            order = list(sides) if number % 2 else list(reversed(sides))
            for name in order:
                found = sides[name].run(f"{SAMPLE_SPEC}\n- Round {number} {name}\n")
                if number >= 0:  # the first round fills caches
                    measured[name].append(found)
    print(f"{'':10}" + "".join(f"{column:>14}" for column in COLUMNS))
    medians = {
        name: {column: statistics.median(each[column] for each in found) for column in COLUMNS}
        for name, found in measured.items()
    }
    for name, row in medians.items():
        print(f"{name:10}" + "".join(f"{row[column]:12.2f} s" for column in COLUMNS))
    for name in ("wall", "broker"):
        ratios = (medians[name][column] / medians["no wall"][column] for column in COLUMNS)
        print(f"{name + ' /':10}" + "".join(f"{ratio:14.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
