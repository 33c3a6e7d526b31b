"""KiB of the database for each run, by table and index: with the tables of m0007 beside those of today.

The same runs, by the same code, with the rows of a real one (`tests/typical_runs.py`), three at a time:

- `new`: everything is stored that a run leaves, as in its first days;
- `kept`: the same after each run's artifact rows and events are removed, as retention does after days and months.
  The rest is kept. The compressed week of `tests/faults` measures the same.

Sizes are the growth after the first runs, without free pages. Nothing is timed.

Run it by itself: `python tests/bench/database_size.py [--runs 400]`.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from moonmind_appliance.store import Database, Store
from moonmind_appliance.store.migrations import MIGRATIONS, Migration
from tests.typical_runs import not_durable, remove_what_expires, store_runs

BEFORE = MIGRATIONS[:7]
FIRST = 40
SMALL = 0.05


def sizes(store: Store) -> Counter[str]:
    """The bytes of each table and index."""
    with store.database.read() as connection:
        rows = connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name")
        return Counter(dict(rows))


def growth(migrations: tuple[Migration, ...], count: int) -> dict[str, Counter[str]]:
    """The bytes that each table and index grew by for that many runs: `new` and `kept`."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "appliance.db")
        database.migrate(migrations)
        store = Store(database)
        not_durable(store)
        remove_what_expires(store, store_runs(store, FIRST))
        before = sizes(store)
        ids = store_runs(store, count)
        new = sizes(store)
        remove_what_expires(store, ids)
        kept = sizes(store)
        store.close()
    for after in (new, kept):
        after.subtract(before)
    return {"new": new, "kept": kept}


def main() -> None:
    """Print a table for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    count = parser.parse_args().runs
    before, today = growth(BEFORE, count), growth(MIGRATIONS, count)
    for kind, now in today.items():
        old = before[kind]
        print(f"{kind + ', KiB a run':36} {'m0007':>8} {MIGRATIONS[-1].__name__[:5]:>8} {'ratio':>6}")
        for name, size in (old | now).most_common():
            if size / count / 1024 >= SMALL:
                print(f"{name:36} {old[name] / count / 1024:8.2f} {now[name] / count / 1024:8.2f}")
        was, is_now = old.total() / count / 1024, now.total() / count / 1024
        print(f"{'all':36} {was:8.2f} {is_now:8.2f} {is_now / was:6.2f}\n")


if __name__ == "__main__":
    main()
