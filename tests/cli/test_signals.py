"""A signal ends a command as Ctrl-C does."""

import signal
import sys
import time
from collections.abc import Iterator

import click
import pytest

from moonmind_appliance.cli import program
from moonmind_appliance.cli.command import Command, Lazy
from moonmind_appliance.cli.exits import Exit
from moonmind_appliance.cli.signals import STOPPING, stopped_by_signals
from tests.cli.terminal import Terminal


@click.command(cls=Command)
@click.argument("how")
@click.pass_obj
def fails(_: object, how: str) -> None:
    """Be stopped in the given way."""
    if how == "ctrl-c":
        raise KeyboardInterrupt
    signal.raise_signal(signal.Signals[how])
    raise RuntimeError("not stopped")


@pytest.fixture
def failing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal whose program has one more command."""
    monkeypatch.setitem(program.main.lazy, "fails", Lazy(f"{__name__}:fails", "Fail in a way."))
    monkeypatch.setattr(program.main, "get_command", lambda _context, name: fails if name == "fails" else None)
    return terminal


@pytest.fixture
def hangup_not_ignored() -> Iterator[None]:
    """The tests may themselves run under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup_not_ignored")
@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM", "SIGHUP"])
def test_a_stopped_command_has_a_code_of_its_own(failing: Terminal, how: str) -> None:
    """Signals end a command as Ctrl-C does; afterwards they have their handlers from before."""
    before = [signal.getsignal(sig) for sig in STOPPING]
    called = failing.call("fails", how)
    assert called.stderr.strip() == "error: stopped"
    assert called.code == Exit.INTERRUPTED
    assert [signal.getsignal(sig) for sig in STOPPING] == before


def test_an_ignored_signal_stays_ignored(failing: Terminal) -> None:
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert "unexpected RuntimeError" in failing.call("fails", "SIGHUP").stderr
    finally:
        signal.signal(signal.SIGHUP, before)


class StoppedInItsDestructor:
    """Python drops what a signal handler raises there."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


class FailsInItsDestructor:
    """With an error that is no stop."""

    def __del__(self) -> None:
        raise ValueError("failed")


def test_a_stop_that_python_drops_is_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """It ends what follows, nothing is printed, and the hook is restored."""
    before = sys.unraisablehook
    with stopped_by_signals():
        StoppedInItsDestructor()
        with pytest.raises(KeyboardInterrupt):
            time.sleep(20)
    assert capsys.readouterr().err == ""
    assert sys.unraisablehook is before


def test_other_errors_in_destructors_are_reported() -> None:
    """As before."""
    seen: list[object] = []
    before, sys.unraisablehook = sys.unraisablehook, seen.append
    try:
        with stopped_by_signals():
            FailsInItsDestructor()
    finally:
        sys.unraisablehook = before
    assert len(seen) == 1
