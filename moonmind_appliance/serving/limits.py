"""How many connections the API serves at a time, and how long it waits for a client."""

import resource
from dataclasses import dataclass

_MOST_CONNECTIONS = 2048
_MOST_OF_ONE_ADDRESS = 256
# Files that are not connections: database, Docker, GitHub, logs.
_OTHER_FILES = 256
_WANTED_FILES = 65_536


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on connections; times are in seconds.

    `head`: from the first wait for a request to the end of its headers. `unread_body`: after its headers, for a body
    that the API does not read. `answer`: without progress while the client reads an answer. `close`: how long a
    client may continue to send after the answer that refused its body.
    """

    connections: int = _MOST_CONNECTIONS
    connections_of_one_address: int = _MOST_OF_ONE_ADDRESS
    head: float = 10
    unread_body: float = 90
    answer: float = 30
    close: float = 5


def limits_of(open_files: int) -> Limits:
    """The limits of a process that may have this many files open: a connection may also have an artifact open."""
    connections = min(_MOST_CONNECTIONS, max(16, (open_files - _OTHER_FILES) // 2))
    return Limits(connections=connections, connections_of_one_address=min(_MOST_OF_ONE_ADDRESS, connections // 2))


def raise_file_limit() -> int:
    """Raise the soft limit on open files towards the hard limit; returns the soft limit. Can be called repeatedly.

    A soft limit of 1,024 is usual (for programs that use `select`), and too low for a server.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = _WANTED_FILES if hard == unlimited else min(hard, _WANTED_FILES)
    if soft == unlimited or soft >= wanted:
        return _WANTED_FILES if soft == unlimited else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
