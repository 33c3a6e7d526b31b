"""The named points at which the harness kills the appliance or fills its disk, and the wrappers that do it.

The product has no hooks. `install` replaces the functions of the table in the process that the harness starts
(`killable.py`, `fillable.py`). The harness arms one point by writing its name and a number into a file; the process
causes the fault itself at that call, counted from the moment at which the file appeared.
"""

import functools
import importlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ARM_FILE_VARIABLE = "MOONMIND_TEST_KILL_AT"


class Point(NamedTuple):
    """A function call, and whether the process dies before or after it.

    `target` is `module:name` or `module:Class.method`, where the caller looks it up. `most` is the largest number of
    the call at which the harness kills. `of` restricts the calls to those with this positional argument.
    `startup`: it is reached while the process starts, so it must be armed before. `login`: reached by `login-shard`,
    not by `serve`. `needs`: reached only after a `limit` (the next turn's account is used up) or a `cancel` (of a run).
    """

    name: str
    target: str
    when: str
    most: int = 1
    of: str | None = None
    startup: bool = False
    login: bool = False
    needs: str = ""


def _around(name: str, target: str, most: int = 1, **more: Any) -> list[Point]:
    return [Point(f"{when} {name}", target, when, most, **more) for when in ("before", "after")]


_PACKAGE = "moonmind_appliance."

LISTED: list[Point] = [
    # A submission, from the request to the wake-up.
    *_around("storing a submitted run", "store.runs:RunStore.insert"),
    Point("before waking a shard", "dispatch:Workers._send", "before", 2),
    Point("after storing a cancel", "store.runs:RunStore.request_cancel", "after", needs="cancel"),
    # The queue.
    *_around("claiming a run", "store.queue:RunQueue.claim", 2),
    *_around("returning a run to the queue", "store.queue:RunQueue.release", needs="limit"),
    Point("after renewing a claim", "store.queue:RunQueue.heartbeat", "after", 3),
    # Progress: each of these calls is one transaction.
    *_around("saving a phase", "store.progress:RunProgress.save_phase", 24),
    *_around("saving a run's fields", "store.progress:RunProgress.update", 3),
    *_around("ending a run", "store.progress:RunProgress.finish"),
    Point("inside a transaction, before an event", "store.run_changes:record", "before", 4),
    Point("after a commit, before its log lines", "store.connection:log_events", "before", 60),
    # Artifacts: the file and its row are two writes.
    Point("between a new log and its row", "artifact_files:ArtifactFiles.open", "after", 12),
    Point("between a closed log and its row", "artifact_files:ArtifactWriter.close", "after", 12),
    Point("before closing a log", "artifact_files:ArtifactWriter.close", "before", 12),
    Point("between a replaced file and its row", "artifact_files:ArtifactFiles.write", "after", 6),
    Point("before storing the wall's record", "phases.wall:keep_record", "before", 3),
    Point("after saving an artifact's row", "store.artifacts:ArtifactStore.save", "after", 30),
    Point("after dating a run's artifacts", "store.artifacts:ArtifactStore.expire_at", "after"),
    # Docker.
    Point("after creating a volume", "containers.docker:DockerEngine.ensure_volume", "after", 4),
    Point("between creating and starting a container", "containers.docker:DockerEngine._create", "after", 4),
    Point("after starting a container", "containers.docker:DockerEngine.start", "after", 4),
    Point("after putting files into a container", "containers.docker:DockerEngine.put_files", "after", 4),
    *_around("a command in a container", "containers.docker:DockerEngine.execute", 2),
    *_around("starting a program in advance", "containers.docker:DockerEngine.prepare", 5),
    *_around("giving a waiting program its job", "containers.docker:PreparedExecution.run", 5),
    Point("after freezing a container", "containers.docker:DockerEngine.freeze", "after"),
    *_around("removing a container", "containers.docker:DockerEngine.remove", 3),
    # Git and GitHub.
    *_around("the clone", "phases.git_retries:git_command", of="clone"),
    *_around("the commit", "phases.commit_push:git_command", of="stage"),
    *_around("the push", "phases.git_retries:git_command", of="push"),
    Point("before looking for a pull request", "github.rest:GitHub.find_pull_request", "before"),
    *_around("opening a pull request", "github.rest:GitHub.create_pull_request"),
    Point("after labelling a pull request", "github.rest:GitHub.add_labels", "after"),
    # Logins: the check renews one after an unclean stop.
    *_around("reading a renewed login", "shards.check:read_login"),
    *_around("changing a shard's state", "store.shards:ShardStore.change", 2),
    # The start, with recovery.
    Point("after locking the data folder", "store.lock:DataFolderLock.acquire", "after", startup=True),
    Point("after opening the database", "store.connection:Database.migrate", "after", startup=True),
    Point("after replacing the wake-up file", "dispatch:Workers.__init__", "after", startup=True),
    *_around("removing leftovers at the start", "execution.sweep:Sweeper.sweep", startup=True),
    Point("before recovery wakes the shards", "execution.recover:wake_queued", "before", startup=True),
    *_around("starting the workers", "dispatch:Workers.start", startup=True),
    # Only if the process before died while a run executed.
    *_around("completing an interrupted run's artifacts", "artifact_files:ArtifactFiles.remove_all_but", startup=True),
    *_around("requeuing an interrupted run", "store.queue:RunQueue.requeue_abandoned", startup=True),
    # Retention, which begins with the start.
    *_around("removing a run's files", "artifact_files:ArtifactFiles.remove_run", startup=True),
    *_around("removing artifact rows", "store.retention:RetentionStore.remove_artifacts", startup=True),
    Point("after removing a volume", "containers.docker:DockerEngine.remove_volume", "after", startup=True),
    # A sign-in in its own process.
    Point("sign-in: after storing the new login", "shards.login:store_login", "after", login=True),
    Point("sign-in: before storing the new login", "shards.login:store_login", "before", login=True),
    Point("sign-in: before a command", "shards.login:command", "after", 3, login=True),
    Point("sign-in: before recording the new login", "runs.sign_in:record_login_file", "before", login=True),
    Point("sign-in: after starting a container", "containers.docker:DockerEngine.start", "after", 2, login=True),
]

POINTS = {point.name: point for point in LISTED}


def die() -> None:
    """Kill this process."""
    os.kill(os.getpid(), signal.SIGKILL)


class Armed:
    """The armed point, read from the file; causes the fault at its call."""

    def __init__(self, file: Path, fault: Callable[[], None] = die) -> None:
        self._file, self._fault = file, fault
        self._lock = threading.Lock()
        self._calls: dict[str, int] = {}

    def called(self, point: Point) -> None:
        """Count a call of that point if it is armed, and cause the fault if it is the one."""
        try:
            name, _, number = self._file.read_text(encoding="utf-8").rpartition("\t")
        except OSError:
            return
        if name != point.name:
            return
        with self._lock:
            self._calls[name] = self._calls.get(name, 0) + 1
            if self._calls[name] < int(number):
                return
            self._calls.clear()
            # The file's new name reports to the harness that the point was reached.
            self._file.rename(self._file.with_suffix(".reached"))
            self._fault()


def install(armed: Armed) -> None:
    """Replace the functions of all points by wrappers, in this process."""
    by_target: dict[str, list[Point]] = {}
    for point in POINTS.values():
        by_target.setdefault(point.target, []).append(point)
    for target, points in by_target.items():
        owner, name = owner_of(target)
        setattr(owner, name, _wrapped(getattr(owner, name), points, armed))


def owner_of(target: str) -> tuple[Any, str]:
    """The module or class that has the target's function, and the function's name in it."""
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(_PACKAGE + module)
    *classes, name = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    return owner, name


def _wrapped(function: Callable[..., Any], points: list[Point], armed: Armed) -> Callable[..., Any]:
    def call_points(when: str, arguments: tuple[Any, ...]) -> None:
        for point in points:
            if point.when == when and (point.of is None or point.of in arguments):
                armed.called(point)

    @functools.wraps(function)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        call_points("before", arguments)
        result = function(*arguments, **named)
        call_points("after", arguments)
        return result

    return wrapper
