"""Returns freed memory to the system, for a process with many threads that runs for weeks.

Uses glibc's mallopt(3) and malloc_trim(3). With another C library, nothing happens.
"""

import contextlib
import ctypes

# From glibc's malloc.h.
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_ARENAS = 2
_LARGE_BLOCK_BYTES = 256 * 1024


def share_arenas() -> None:
    """Let all threads allocate from two arenas. Call it before threads start; may be called again.

    By default glibc has up to eight arenas for each core, and blocks of up to 32 MiB stay in an arena when they are
    freed: memory that is free, but only for the threads of that arena. Only one thread runs Python code at a time, so
    two arenas cost no speed.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)


def return_to_system() -> None:
    """Return what was freed, in all arenas. Call it after work that needed much memory for a short time."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
