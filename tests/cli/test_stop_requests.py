"""Signals that ask a command to stop are noted, and interrupt nothing."""

import os
import signal

import pytest

from moonmind_appliance.cli.stop_requests import stop_requests


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_the_handlers_come_back(number: int) -> None:
    """Afterwards the signals have their former effect. The tests may themselves run with ignored signals."""
    outside = signal.signal(number, signal.default_int_handler)
    try:
        with stop_requests() as stopped:
            assert not stopped()
            os.kill(os.getpid(), number)
            assert stopped()
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, outside)


def test_an_ignored_signal_stays_ignored() -> None:
    """`nohup` starts commands with an ignored SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests() as stopped:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopped()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
