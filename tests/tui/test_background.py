"""Blocking work runs in threads; its results arrive in the owner's loop."""

import threading
import weakref

import pytest

from tui.background import Background

pytestmark = pytest.mark.anyio


def test_a_thread_without_work_keeps_no_owner():
    """The owner of the last job can be collected before the thread gets another job."""

    class Owner:
        def __init__(self):
            self.answered = threading.Event()

        def call_later(self, done, result):
            done(result)

    background = Background()
    try:
        owner = Owner()
        collected = threading.Event()
        weakref.finalize(owner, collected.set)
        answered = owner.answered
        background.run(owner, "", lambda: None, lambda _result, told=answered: told.set(), lambda _error: None)
        assert answered.wait(10)
        del owner
        assert collected.wait(10)
    finally:
        background.close()
