"""Blocking work runs in threads; its results arrive in the owner's loop."""

import threading
import weakref
from contextvars import copy_context

import pytest

from moonmind_appliance.models import Author, Interface, current_author, set_author
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


def test_a_job_has_the_author_of_whoever_starts_it():
    """Its changes are recorded as this user's, although another thread makes them."""

    class Owner:
        def call_later(self, done, result):
            done(result)

    seen, background = [], Background()
    answered = threading.Event()
    author = Author("os:ann", "ann", Interface.TUI)

    def start():
        set_author(author)
        background.run(Owner(), "", current_author, lambda result: (seen.append(result), answered.set()), print)

    try:
        copy_context().run(start)
        assert answered.wait(10)
    finally:
        background.close()
    assert seen == [author]
