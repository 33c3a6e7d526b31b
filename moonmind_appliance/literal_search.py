"""Tells which of many fixed byte strings occur in some bytes, in one pass.

The library is Hyperscan (on 64-bit ARM its fork Vectorscan), made to search network traffic for thousands of strings:
the time does not depend on how many strings there are, or on how often they occur. Only fixed strings are given to it:
its time for patterns with counted repetitions depends on the input. Facts about its Python module are of version 0.9.1.
"""

import importlib
import threading
from collections.abc import Collection, Sequence
from typing import Any

from moonmind_appliance.freed_memory import return_to_system

# Shorter data does not load the library: a command has a few such texts only.
SHORTEST_FOR_LIBRARY = 2048


class LiteralSearch:
    """Many fixed byte strings, none of them empty. Those in `any_case` are in lower case. Thread-safe."""

    def __init__(self, literals: Sequence[bytes], any_case: Collection[bytes] = ()) -> None:
        self._literals = tuple(literals)
        self._any_case = frozenset(any_case)
        self._database: Any = None
        self._lock = threading.Lock()

    def present(self, data: bytes) -> set[int]:
        """The indexes of the strings that occur in the data.

        Of data of 2 KiB or more, all indexes if the library is not installed, as for a client without a server.
        """
        if not self._literals:
            return set()
        # Once the library is prepared, it is faster for any data: a microsecond instead of about twenty.
        if len(data) < SHORTEST_FOR_LIBRARY and not self._database:
            lower = data.lower() if self._any_case else data
            return {
                index
                for index, literal in enumerate(self._literals)
                if literal in (lower if literal in self._any_case else data)
            }
        found: set[int] = set()
        # The library's working memory serves one search at a time.
        with self._lock:
            if self._database is None:
                self._database = _compiled(self._literals, self._any_case)
            if not self._database:
                return set(range(len(self._literals)))
            self._database.scan(data, match_event_handler=lambda index, *_: found.add(index))
        return found


def _compiled(literals: Sequence[bytes], any_case: Collection[bytes]) -> Any:  # noqa: ANN401 - the library has no types
    """The library's database; False if the library is not installed."""
    try:
        hyperscan = importlib.import_module("hyperscan")
    except ModuleNotFoundError:
        return False
    # One report for each string, however often it occurs.
    once = hyperscan.HS_FLAG_SINGLEMATCH
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[b"".join(b"\\x%02x" % byte for byte in literal) for literal in literals],
        ids=list(range(len(literals))),
        elements=len(literals),
        flags=[once | hyperscan.HS_FLAG_CASELESS if literal in any_case else once for literal in literals],
    )
    # For some sets of strings it needed 40 MB.
    return_to_system()
    return database
