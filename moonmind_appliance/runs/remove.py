"""Export a run's rows, and remove a run with everything that belongs to it."""

from typing import Any

from moonmind_appliance.errors import NotFound, UnreadableRow
from moonmind_appliance.resources import Resources


def export_run(resources: Resources, run_id: str) -> dict[str, list[dict[str, Any]]]:
    """The run's rows by table, as they are stored. Works for a run whose record cannot be read.

    Raises:
        NotFound: `run_not_found`, there is no such run.
    """
    rows = resources.store.run_rows.export(run_id)
    if not rows["runs"]:
        raise NotFound(f"Run {run_id} does not exist.", code="run_not_found")
    return rows


def remove_run(resources: Resources, run_id: str) -> None:
    """Remove an ended run, or one whose record cannot be read, with its artifacts. The next sweep removes its volumes.

    Raises:
        NotFound: `run_not_found`, there is no such run.
        Conflict: `run_not_final`, it has not ended.
        StoreError: a file of it cannot be removed; retention tries again.
    """
    try:
        unreadable = resources.store.runs.get(run_id) is None
    except UnreadableRow:
        unreadable = True
    # Delete the record first: retention removes the files of a run that has no record.
    if not resources.store.run_rows.remove(run_id, unreadable=unreadable, now=resources.clock()):
        raise NotFound(f"Run {run_id} does not exist.", code="run_not_found")
    resources.files.remove_run(run_id)
