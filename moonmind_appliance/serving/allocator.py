"""The C library's allocator, for a process with many threads that runs for weeks."""

import contextlib
import ctypes

# From glibc's malloc.h; mallopt(3) says what they mean. Other C libraries have no `mallopt`, or ignore the numbers.
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_ARENAS = 2
_LARGE_BLOCK_BYTES = 256 * 1024


def return_freed_memory() -> None:
    """Make glibc return freed memory to the system; call it before threads start. May be called again.

    By default each thread allocates from one of up to eight arenas for each core, and blocks of up to 32 MiB stay in an
    arena when they are freed. The pools of threads here would fill all arenas with memory that is free but not usable
    by the others. Only one thread runs Python code at a time, so few arenas cost no speed.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)
