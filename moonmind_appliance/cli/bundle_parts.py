"""What a support bundle contains. Each part is collected alone: one that fails or hangs does not stop the others."""

import os
import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from moonmind_appliance.cli.configuration import Configuration
from moonmind_appliance.cli.system_user import system_actor
from moonmind_appliance.errors import ApplianceError
from moonmind_appliance.resources import Resources
from moonmind_appliance.settings import Settings
from moonmind_appliance.store import DATABASE_NAME
from moonmind_appliance.store.database_copy import SQLITE_VERSION, open_database, statistics
from moonmind_appliance.views.run_detail import RunDetail, run_detail
from moonmind_appliance.views.shard_view import shard_views

SERVICE = "moonmind-appliance"
INSTALL_LOG = Path("/var/log/moonmind-appliance-install.log")
EVENTS, LOG_LINES = 2000, 5000
MOST_BYTES = 4 * 1024**2
_JOURNAL_SECONDS = 10
_EVENTS_OF_RUN = 5000
_LEFT_OUT = "[left out]"


class Part(NamedTuple):
    """A file of the bundle: bytes, a text, or anything that can be JSON.

    `limit` is how long it may take, in seconds, `so_far` what to use of it after that.
    """

    name: str
    what: str
    collect: Callable[[], object]
    limit: float = 20.0
    so_far: Sequence[object] = ()


def collected(part: Part) -> object:
    """The part's content. One that fails or takes too long is replaced by the reason; a hung thread is left behind."""
    result: list[object] = []

    def work() -> None:
        try:
            result.append(part.collect())
        except ApplianceError as error:
            result.append({"not_collected": str(error)})
        except Exception as error:  # noqa: BLE001 - a defect in one part must not hide the others
            result.append({"not_collected": f"{type(error).__name__}: {error}"})

    thread = threading.Thread(target=work, name=f"bundle {part.name}", daemon=True)
    thread.start()
    thread.join(part.limit)
    late = {"not_collected": f"It was not complete within {part.limit:.0f} s.", "so_far": list(part.so_far)}
    return result[0] if result else late


def machine() -> dict[str, Any]:
    """Versions of what the appliance runs on."""
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = ""
    return {
        "system": system,
        "kernel": platform.release(),
        "cpu": platform.machine(),
        "cpus": os.cpu_count(),
        "python": sys.version,
        "sqlite": SQLITE_VERSION,
        "in_container": Path("/.dockerenv").exists(),
    }


def settings_table(configuration: Configuration) -> list[dict[str, str]]:
    """Every setting with its source; secrets are masked."""
    return [{"name": row.name, "value": row.shown, "source": row.source} for row in configuration.loaded.table()]


def data_folder(settings: Settings) -> dict[str, Any]:
    """The files in the data folder with their sizes, and the free space."""
    folder = settings.moonmind_data_dir
    usage = shutil.disk_usage(folder)
    entries = []
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        info = entry.stat(follow_symlinks=False)
        entries.append({"name": entry.name, "mode": f"{info.st_mode:o}", "owner": info.st_uid, "bytes": info.st_size})
    runs = folder / "runs"
    return {
        "total_bytes": usage.total,
        "free_bytes": usage.free,
        "entries": entries,
        "runs_with_artifacts": sum(1 for _ in os.scandir(runs)) if runs.is_dir() else 0,
    }


def database(settings: Settings) -> dict[str, Any]:
    """SQLite's figures about the database, and the result of its check."""
    with open_database(settings.moonmind_data_dir / DATABASE_NAME) as connection:
        return statistics(connection)


def shards(resources: Resources) -> object:
    """The shards as `shards --json` shows them."""
    return shard_views(resources.store, resources.settings, now=resources.clock())


def recent_events(resources: Resources) -> str:
    """The newest events, one JSON object per line."""
    events = resources.store.events
    found = events.after(max(0, events.latest() - EVENTS), limit=EVENTS)
    return "".join(f"{msgspec.json.encode(event).decode()}\n" for event in found)


def service_log() -> str:
    """The newest lines of the service's log in the journal, or where else the log is."""
    journal = shutil.which("journalctl")
    if journal is None:
        return "There is no journal here. With Docker Compose add the output of `docker compose logs api`.\n"
    command = [journal, "--unit", SERVICE, "--lines", str(LOG_LINES), "--no-pager", "--output", "short-iso", "--quiet"]
    done = subprocess.run(  # noqa: S603 - fixed arguments
        command, capture_output=True, timeout=_JOURNAL_SECONDS, check=False, stdin=subprocess.DEVNULL
    )
    text = done.stdout.decode(errors="replace")
    return text or f"The journal has no lines of the unit {SERVICE}. {done.stderr.decode(errors='replace')}\n"


def file_tail(path: Path) -> bytes:
    """The end of a log file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MOST_BYTES))
        return file.read(MOST_BYTES)


def run_parts(resources: Resources, run_id: str, *, texts: bool, artifacts: bool) -> Iterator[Part]:
    """What belongs to one run: its detail and events; on request its specification and its artifacts."""
    folder = f"runs/{run_id}"
    yield Part(
        f"{folder}/run.json",
        "phases, failure, list of artifacts",
        lambda: _detail_of(resources, run_id, texts=texts),
    )
    yield Part(f"{folder}/events.jsonl", "its events", lambda: _events_of(resources, run_id))
    if texts:
        yield Part(
            f"{folder}/specification.md", "its specification", lambda: resources.store.runs.specification(run_id)
        )
    if artifacts:
        # Not from the rows: one that cannot be read would hide the files.
        for path in sorted((resources.settings.moonmind_data_dir / folder / "artifacts").glob("[!.]*")):
            yield Part(f"{folder}/artifacts/{path.name}", "artifact", partial(file_tail, path))


def _detail_of(resources: Resources, run_id: str, *, texts: bool) -> RunDetail:
    """The run; without `texts` also without the caller's reference, which can be any text."""
    detail = run_detail(resources.store, system_actor(), run_id)
    return detail if texts or detail.external_ref is None else msgspec.structs.replace(detail, external_ref=_LEFT_OUT)


def _events_of(resources: Resources, run_id: str) -> str:
    found = resources.store.events.after(0, run_id=run_id, limit=_EVENTS_OF_RUN)
    return "".join(f"{msgspec.json.encode(event).decode()}\n" for event in found)
