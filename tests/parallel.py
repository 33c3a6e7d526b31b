"""How tests share the machine when pytest-xdist runs them in several processes (`pytest -n 3`).

A file's tests run in one process, in order. Files that wait for real components come first, since they take longest;
after them those whose components `tests/run` may still be building.
A test marked `alone` runs while no other test does: because it looks at everything on the Docker engine, or measures.
"""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

COMPONENTS = {"docker", "image"}
LATE_COMPONENTS = {"keycloak", "compose"}
_LONGEST_SHOWN = 64


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name no test after long bytes: archives contain the time, and all processes must collect the same names."""
    del config
    return argname if isinstance(val, bytes) and len(val) > _LONGEST_SHOWN else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not hasattr(config, "workerinput"):
        return
    needed: dict[Path, set[str]] = {}
    for item in items:
        needed.setdefault(item.path, set()).update(marker.name for marker in item.iter_markers())
    items.sort(
        key=lambda item: 1 if needed[item.path] & LATE_COMPONENTS else 0 if needed[item.path] & COMPONENTS else 2
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if not hasattr(item.config, "workerinput"):
        return (yield)
    # Each process has a folder of its own below this one.
    folder = item.config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]
    with turn(folder, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait until no test that must be alone runs; with `alone`, until no test runs. Processes share `folder`."""
    with ExitStack() as entered:
        # A test that waits for the others keeps this lock, so that no further test begins before it.
        with locked(folder / "next-test.lock", fcntl.LOCK_EX):
            entered.enter_context(locked(folder / "tests.lock", fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        yield


@contextmanager
def locked(path: Path, operation: int) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, operation)
        try:
            yield
        finally:
            # Closing is not enough: a child process that was forked has the file open too.
            fcntl.flock(file, fcntl.LOCK_UN)
