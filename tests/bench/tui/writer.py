"""Works on runs as a worker does, without containers, until its standard input ends: `writer.py DATA_FOLDER`.

Ten transactions a second: claim, heartbeat, phases, end. Prints a line for each: `write UNIX_SECONDS MILLISECONDS`,
or `failed UNIX_SECONDS MESSAGE`.
"""

import sys
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from moonmind_appliance.errors import Conflict, LeaseLost, StoreError
from moonmind_appliance.models import PHASE_ORDER, Phase, PhaseStatus, RunStatus
from moonmind_appliance.store import Store

T = TypeVar("T")

_PAUSE_SECONDS = 0.1


def main() -> None:
    store = Store.open(Path(sys.argv[1]))
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    while not stop.is_set():
        try:
            _work(store, stop)
        except (LeaseLost, Conflict):
            continue  # a person cancelled the run
        except StoreError as error:
            print("failed", time.time(), str(error).replace(" ", "_"), flush=True)
            stop.wait(_PAUSE_SECONDS)
    store.close()


def _work(store: Store, stop: threading.Event) -> None:
    lease = str(uuid.uuid4())
    run = _timed(stop, lambda: store.queue.claim(0, lease, now=datetime.now(UTC), lease_seconds=60))
    if run is None:
        return
    for name in PHASE_ORDER:
        began = datetime.now(UTC)
        running = Phase(phase=name, status=PhaseStatus.RUNNING, attempt=1, started_at=began)
        _timed(stop, lambda saved=running: store.progress.save_phase(run.run_id, lease, saved))
        _timed(stop, lambda: store.queue.heartbeat(run.run_id, lease, now=datetime.now(UTC), lease_seconds=60))
        ended = Phase(
            phase=name, status=PhaseStatus.SUCCEEDED, attempt=1, started_at=began, completed_at=datetime.now(UTC)
        )
        _timed(stop, lambda saved=ended: store.progress.save_phase(run.run_id, lease, saved))
    _timed(
        stop,
        lambda: store.progress.finish(
            run.run_id, lease, RunStatus.SUCCEEDED, now=datetime.now(UTC), result_summary=None, failure=None
        ),
    )


def _timed(stop: threading.Event, write: Callable[[], T]) -> T:
    stop.wait(_PAUSE_SECONDS)
    begun = time.perf_counter()
    result = write()
    print("write", time.time(), (time.perf_counter() - begun) * 1000, flush=True)
    return result


if __name__ == "__main__":
    main()
