"""The author of a change belongs to a context, and to what copies it."""

import threading
from collections.abc import Callable
from contextvars import copy_context

from moonmind_appliance.models import Author, Interface, current_author, set_author

ANN = Author("local:ann", "ann", Interface.API, "192.0.2.1")


def seen_in(context_run: Callable[[Callable[[], None]], None]) -> Author | None:
    """The author that a new thread sees."""
    seen: list[Author | None] = []
    thread = threading.Thread(target=context_run, args=[lambda: seen.append(current_author())])
    thread.start()
    thread.join()
    return seen[0]


def test_a_thread_of_its_own_has_no_author_and_one_with_a_copy_has_it() -> None:
    """What the appliance does by itself has no author. A job of a user has that user as its author."""

    def act() -> None:
        set_author(ANN)
        assert current_author() == ANN
        assert seen_in(lambda work: work()) is None
        assert seen_in(copy_context().run) == ANN

    copy_context().run(act)
    assert current_author() is None
