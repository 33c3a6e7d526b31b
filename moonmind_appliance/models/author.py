"""Who makes a change: the caller of the API, or the user of the command line or the terminal interface.

What runs automatically has no author. The author belongs to the context of a request, a command or a job of the
terminal interface (`contextvars`), so that functions do not have to pass it on to the event.
"""

from contextvars import ContextVar
from enum import StrEnum

import msgspec


class Interface(StrEnum):
    """How a change was requested."""

    API = "api"
    COMMAND = "command"
    TUI = "tui"


class Author(msgspec.Struct, frozen=True):
    """The token's subject or the operating system's user, a name to show, and the interface.

    `address` is the caller's, for the API only.
    """

    subject: str
    username: str
    interface: Interface
    address: str = ""


_current: ContextVar[Author | None] = ContextVar("author", default=None)


def current_author() -> Author | None:
    """The author of this thread's or task's changes; None: they are automatic."""
    return _current.get()


def set_author(author: Author | None) -> None:
    """Set the author for the rest of this context, and for the threads and tasks that copy it."""
    _current.set(author)
