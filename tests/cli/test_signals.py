"""A signal ends a command as Ctrl-C does."""

import signal
from collections.abc import Iterator

import click
import pytest

from moonmind_appliance.cli import program
from moonmind_appliance.cli.command import Command, Lazy
from moonmind_appliance.cli.exits import Exit
from moonmind_appliance.cli.signals import STOPPING, stops_are_kept
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


def test_a_stop_that_python_drops_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """The next check raises it, nothing is printed, and the handlers are restored."""
    before = [signal.getsignal(sig) for sig in (signal.SIGINT, *STOPPING)]
    with stops_are_kept() as check:
        check()
        StoppedInItsDestructor()
        with pytest.raises(KeyboardInterrupt):
            check()
    assert capsys.readouterr().err == ""
    assert [signal.getsignal(sig) for sig in (signal.SIGINT, *STOPPING)] == before


def test_a_stop_is_raised_at_once() -> None:
    """Where Python does not drop it. Not SIGINT: in a shell's background job it is ignored, and stays so."""
    with pytest.raises(KeyboardInterrupt), stops_are_kept():
        signal.raise_signal(signal.SIGTERM)
