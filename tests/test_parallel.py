"""Tests in several processes take turns."""

import fcntl
import gzip
import threading
import time
from pathlib import Path

import pytest

from tests.parallel import locked, pytest_make_parametrize_id, turn

# Long enough to notice a thread that does not wait.
A_MOMENT = 0.2


class Turn(threading.Thread):
    """Another process: it waits for its turn, runs, and ends when it is released."""

    def __init__(self, folder: Path, *, alone: bool = False) -> None:
        super().__init__(daemon=True)
        self._folder, self._alone = folder, alone
        self.began, self.may_end = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with turn(self._folder, alone=self._alone):
            self.began.set()
            self.may_end.wait(30)

    def end(self) -> None:
        self.may_end.set()
        self.join(30)


def until_another_one_waits(folder: Path) -> None:
    for _ in range(3000):
        try:
            with locked(folder / "next-test.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
                time.sleep(0.01)
        except BlockingIOError:
            return
    raise AssertionError("no other test waits")


def test_two_tests_run_at_once(tmp_path: Path) -> None:
    """A test does not wait for another one."""
    first, second = Turn(tmp_path), Turn(tmp_path)
    assert first.began.wait(30)
    assert second.began.wait(30)
    first.end()
    second.end()


@pytest.mark.parametrize("order", ["first", "second"])
def test_an_alone_test_runs_alone(tmp_path: Path, order: str) -> None:
    """It begins when the others have ended, and no other begins before it has ended."""
    first = Turn(tmp_path, alone=order == "first")
    assert first.began.wait(30)
    second = Turn(tmp_path, alone=order == "second")
    assert not second.began.wait(A_MOMENT)
    first.end()
    assert second.began.wait(30)
    second.end()


def test_an_alone_test_does_not_wait_forever(tmp_path: Path) -> None:
    """While it waits, no further test begins."""
    first = Turn(tmp_path)
    assert first.began.wait(30)
    alone = Turn(tmp_path, alone=True)
    until_another_one_waits(tmp_path)
    third = Turn(tmp_path)
    assert not third.began.wait(A_MOMENT)
    assert not alone.began.is_set()
    first.end()
    assert alone.began.wait(30)
    alone.end()
    assert third.began.wait(30)
    third.end()


@pytest.mark.parametrize(("value", "shown"), [(gzip.compress(b"x" * 200, mtime=1) * 3, "data"), (b"short", None)])
def test_long_bytes_do_not_name_a_test(pytestconfig: pytest.Config, value: bytes, shown: str | None) -> None:
    """Their argument does instead."""
    assert pytest_make_parametrize_id(pytestconfig, value, "data") == shown
