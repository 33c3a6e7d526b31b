"""What one operation asks of SQLite: statements (with BEGIN and COMMIT), rows and bytes that SQLite hands to Python.

For the check before a claim (`execution/claim.py`), the claim itself, one list page of 50 runs, and one status read,
with 0, 200 and 5,000 queued runs of 64 KiB. Counts only; the machine's speed does not matter. Rows that a statement
reads inside SQLite, such as those that it counts, are not counted.

Run it by itself: `python tests/bench/statements.py [--runs 0 200 5000]`.
"""

import argparse
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from moonmind_appliance.execution.claim import prepare_claim
from moonmind_appliance.models import LoginState, QuotaWindow, Run, RunFilter, Shard
from moonmind_appliance.resources import Resources
from moonmind_appliance.scheduling.waiting import update_waiting
from moonmind_appliance.store import Store
from moonmind_appliance.store.runs import insert_rows
from moonmind_appliance.store.shards import ShardChange
from moonmind_appliance.views.run_detail import run_detail
from moonmind_appliance.views.run_summary import run_page
from tests.appliance_under_test import make_resources
from tests.fakes import ANN, NOW
from tests.store_cost import Cost, counted

TEXT = "x" * 64 * 1024


def fill(store: Store, count: int) -> str:
    """Queue that many runs in one transaction; returns the last one's id."""
    with store.database.write() as connection:
        for number in range(count):
            run_id = str(uuid.uuid4())
            insert_rows(
                connection,
                Run(
                    run_id=run_id,
                    repository="acme/shop",
                    specify_text=TEXT,
                    accepted_at=NOW + timedelta(seconds=number),
                    created_by=ANN,
                ),
            )
    return run_id if count else ""


def measure(resources: Resources, run_id: str) -> Iterator[tuple[str, Cost]]:
    """The cost of each operation, in order; the claim comes last, as it takes a run out of the queue."""
    store = resources.store

    def cost_of(operation: Callable[[], object]) -> Cost:
        with counted(store) as cost:
            operation()
        return cost

    def shards_are(login: LoginState, quota_of_first: list[QuotaWindow]) -> None:
        for number in range(len(resources.shards)):
            state = Shard(shard=number, login=login, quota=[] if number else quota_of_first)
            store.shards.change(number, lambda _known, state=state: ShardChange(state))

    shards_are(LoginState.PRESENT, [])
    yield "claim check", cost_of(lambda: prepare_claim(resources, 0))
    shards_are(LoginState.PRESENT, [QuotaWindow(95.0, 300, None)])
    yield "claim check, little quota left", cost_of(lambda: prepare_claim(resources, 0))
    yield "why runs wait, no change", cost_of(lambda: update_waiting(resources))
    shards_are(LoginState.ABSENT, [])
    yield "why runs wait, all change", cost_of(lambda: update_waiting(resources))
    yield "list page of 50", cost_of(lambda: run_page(store, RunFilter(), limit=50))
    if run_id:
        yield "status of one run", cost_of(lambda: run_detail(resources.store, ANN, run_id))
    yield "claim", cost_of(lambda: store.queue.claim(0, "lease", now=NOW, lease_seconds=30))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", nargs="+", type=int, default=[0, 200, 5000])
    print(f"{'operation':31} {'queued':>6} {'statements':>10} {'rows':>6} {'KiB':>8}")
    for count in parser.parse_args().runs:
        with tempfile.TemporaryDirectory() as folder:
            store = Store.open(Path(folder))
            resources = make_resources(store, Path(folder))
            for name, cost in measure(resources, fill(store, count)):
                print(f"{name:31} {count:6} {cost.statements:10} {cost.rows:6} {cost.bytes / 1024:8.1f}")
            store.close()


if __name__ == "__main__":
    main()
